//! A plugin whose host does not read its log.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use outboard::hclog::{Missing, Record};
use outboard_conformance::orders::Orders;
use outboard_core::hclog;

use crate::harness::Harness;
use crate::leftovers;
use crate::raw::{Serving, plugin};

/// Far more than any of this takes, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

/// A host that stands still, under a debugger say, gets what there is room for, then nothing is waited for, and
/// once it reads it is told what is missing and gets the newest.
pub async fn a_host_that_does_not_read_the_log_holds_up_none_that_outlives_it(h: Harness) {
    let orders = Orders::new(h.dir());
    let path = orders.path().to_str().expect("text");
    let options = ["--outlive", "--backlog", "65536", "--orders", path];
    let mut serving = Serving::start(&mut plugin(&h, &options));
    let stderr = serving.child.stderr.take().expect("piped");
    let given = h.elsewhere(move || {
        orders.give(5000, "log");
        orders
    });
    let orders = h.within(LONG, given).await;
    let (first_read, is_first_read) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let mut records: Vec<Record> = Vec::new();
        while records
            .last()
            .is_none_or(|record| record.message != "record 5000")
        {
            let line = lines.next().expect("there is more");
            records.push(hclog::parse(line.as_bytes()));
            let _once = first_read.send(());
        }
        records
    });
    is_first_read.recv().expect("there is some");
    // The next line finds room, and what was kept goes before it. If the host takes its time again, a later one does.
    let reading = h.elsewhere(move || {
        while !reading.is_finished() {
            orders.give(1, "log");
        }
        reading
    });
    let reading = h.within(LONG, reading).await;
    let records = h.elsewhere(move || reading.join().expect("no panic"));
    let records = h.within(LONG, records).await;
    let at = |record: &Record| Missing::of(record).is_some();
    let at = records.iter().position(at).expect("it is told");
    let missing = Missing::of(&records[at]).expect("it is told").log;
    let number = |record: &Record| {
        let number = record.message.strip_prefix("record ");
        number.map(|number| number.parse::<u64>().expect("a number"))
    };
    let (first, newest) = records.split_at(at);
    let first: Vec<u64> = first.iter().filter_map(number).collect();
    let newest: Vec<u64> = newest.iter().filter_map(number).collect();
    let gap = first.len() as u64 + missing.lines;
    // What outboard itself has said may be among what is missing.
    let others = gap - newest.first().expect("there are some");
    assert!(others < 10, "{others} of {missing:?}");
    let gap = gap - others;
    assert_eq!(first, (0..first.len() as u64).collect::<Vec<_>>());
    assert_eq!(newest, (gap..=5000).collect::<Vec<_>>());
    assert!(first.len() > 100 && newest.len() > 100, "{missing:?}");
    let socket = PathBuf::from(serving.fields()[3]);
    leftovers::kill(serving.pid());
    serving.child.wait().expect("a child");
    std::fs::remove_file(socket).expect("the socket of a killed plugin");
}
