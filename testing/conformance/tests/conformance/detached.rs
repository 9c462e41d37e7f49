//! What a plugin that outlives its host prints and logs while none is there. (Over stdio none outlives its host,
//! whose pipes are the connection.)

use std::time::Duration;

use outboard::hclog::{Lost, Missing, Record};
use outboard::{Endpoint, ExitReason, Host, Protocol, ReattachConfig};
use outboard_conformance::HANDSHAKE;
use outboard_conformance::axes;
use outboard_conformance::orders::Orders;
use outboard_conformance::watched::Sink;
use outboard_kit::files::sockets_in;

use crate::harness::{Harness, Rig};
use crate::logs::Records;
use crate::output::synced;
use crate::shutdown::{host_and_plugin, kill_host};

/// Far more than any of this takes, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

/// A plugin whose host has been killed, and how it is told what to say.
struct Left {
    orders: Option<Orders>,
    record: ReattachConfig,
    pid: u32,
}

impl Left {
    async fn new(h: &Harness, options: &[&str]) -> Self {
        let orders = Orders::new(h.dir());
        let mut host = h.suite_host(&["wait"]);
        host.args(options).args(["--outlive", "--orders"]);
        host.arg(orders.path());
        let (host, pid) = host_and_plugin(h, host).await;
        kill_host(host);
        let endpoint = Endpoint::Unix(sockets_in(h.dir()).remove(0));
        let mut record = ReattachConfig::new(Protocol::Grpc, endpoint);
        record.pid = Some(pid);
        Self {
            orders: Some(orders),
            record,
            pid,
        }
    }

    async fn say(&mut self, h: &Harness, lines: usize) {
        let orders = self.orders.take().expect("they are given back");
        let given = h.elsewhere(move || {
            orders.give(lines, "all");
            orders
        });
        self.orders = Some(h.within(LONG, given).await);
    }

    /// A host that attaches, and what it gets.
    async fn attach(&self, h: &Harness) -> Next {
        let host = axes::of_host(h.on.transport, Host::new(HANDSHAKE)).socket_dir(h.dir());
        let (host, stdout, stderr) = synced(host.attach(self.record.clone()));
        let (records, raw) = (Records::default(), Sink::default());
        let host = records.of(host).log_sink(raw.writer());
        Next {
            rig: h.start_host(host).await,
            stdout,
            stderr,
            records,
            raw,
        }
    }

    fn resident_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|line| line.split_whitespace().next());
        kib.expect("a size").parse().expect("a number")
    }
}

struct Next {
    rig: Rig,
    stdout: Sink,
    stderr: Sink,
    records: Records,
    raw: Sink,
}

impl Next {
    /// Waits until a line with this number has come of everything.
    async fn until(&self, h: &Harness, number: usize) {
        let all = async {
            self.stdout.until_contains(&format!("out {number}\n")).await;
            self.stderr.until_contains(&format!("err {number}\n")).await;
            self.records.with(&format!("record {number}")).await;
        };
        h.within(LONG, all).await;
    }

    /// What came is all of these numbers, and nothing else.
    fn assert_numbers(&self, from: [usize; 3], end: usize) {
        let text = |what: &str, from: usize| -> String {
            (from..end).map(|n| format!("{what} {n}\n")).collect()
        };
        let printed = |sink: &Sink| String::from_utf8_lossy(&sink.bytes()).into_owned();
        for (sink, what, from) in [
            (&self.stdout, "out", from[0]),
            (&self.stderr, "err", from[1]),
        ] {
            let (printed, expected) = (printed(sink), text(what, from));
            let differ = |(place, (one, other))| (one != other).then_some(place);
            let mut lines = printed.lines().zip(expected.lines()).enumerate();
            let at = lines.find_map(differ).unwrap_or_default();
            let there: Vec<&str> = printed.lines().skip(at).take(3).collect();
            assert!(
                printed == expected,
                "{what} from {from}, line {at} and after: {there:?}"
            );
        }
        let records = self.records.all();
        // What outboard itself says may be among them, where the dead host has not read it.
        let said = records
            .iter()
            .filter(|record| record.message.starts_with("record "));
        let said: String = said.map(|record| format!("{}\n", record.message)).collect();
        assert!(said == text("record", from[2]), "{said}");
        // As one line each.
        let raw = printed(&self.raw);
        assert_eq!(raw.lines().count(), records.len());
        assert!(raw.lines().all(|line| line.starts_with('{')), "{raw}");
    }

    fn missing(&self) -> Vec<Missing> {
        let records: Vec<Record> = self.records.all();
        records.iter().filter_map(Missing::of).collect()
    }

    /// Ends the plugin.
    async fn shutdown(self, h: &Harness) {
        let report = h.within(LONG, self.rig.plugin.shutdown()).await;
        let report = report.expect("in good order");
        assert_eq!(report.reason, ExitReason::Shutdown, "{report}");
    }
}

/// What the dead host ran on does not matter.
fn is_one_of_many(h: &Harness) -> bool {
    h.on.host != h.on.plugin
}

pub async fn the_next_host_gets_what_nobody_took(h: Harness) {
    if is_one_of_many(&h) {
        return;
    }
    let mut left = Left::new(&h, &["--sigpipe"]).await;
    for _ in 0..3 {
        left.say(&h, 100).await;
    }
    let next = left.attach(&h).await;
    next.until(&h, 299).await;
    next.assert_numbers([0; 3], 300);
    assert_eq!(next.missing(), []);
    next.shutdown(&h).await;
}

pub async fn the_next_host_is_told_what_is_missing(h: Harness) {
    if is_one_of_many(&h) {
        return;
    }
    const LINES: usize = 30_000;
    let mut left = Left::new(&h, &["--backlog", "65536"]).await;
    left.say(&h, 1000).await;
    let before = left.resident_kib();
    left.say(&h, LINES - 1000).await;
    let after = left.resident_kib();
    // Ten times as much was said.
    assert!(after < before + 2048, "{before} KiB, {after} KiB");
    let next = left.attach(&h).await;
    next.until(&h, LINES - 1).await;
    let missing = next.missing();
    let [missing] = missing[..] else {
        panic!("{missing:?}");
    };
    let mut from = [missing.stdout, missing.stderr, missing.log]
        .map(|lost| usize::try_from(lost.lines).expect("few"));
    assert!(from.iter().all(|lost| *lost > 1000), "{missing:?}");
    // What outboard itself has said may be among what is missing.
    let first = next.records.with("record ").await.message;
    let first = first.strip_prefix("record ").expect("it begins so");
    let others = from[2] - first.parse::<usize>().expect("a number");
    assert!(others < 10, "{others} of {missing:?}");
    from[2] -= others;
    next.assert_numbers(from, LINES);
    let bytes = |what: &str, lines: usize| -> u64 {
        let lines = (0..lines).map(|n| format!("{what} {n}\n").len() as u64);
        lines.sum()
    };
    assert_eq!(missing.stdout.bytes, bytes("out", from[0]));
    assert_eq!(missing.stderr.bytes, bytes("err", from[1]));
    let Lost { bytes, lines, .. } = missing.log;
    assert!(bytes > lines * 100, "{missing:?}");
    // It stands before what follows.
    assert_eq!(Missing::of(&next.records.all()[0]), Some(missing));
    next.shutdown(&h).await;
}

pub async fn what_is_said_while_a_host_has_attached_comes_at_once(h: Harness) {
    if is_one_of_many(&h) {
        return;
    }
    let mut left = Left::new(&h, &[]).await;
    let next = left.attach(&h).await;
    for number in 1..=5 {
        left.say(&h, 10).await;
        next.until(&h, number * 10 - 1).await;
    }
    next.assert_numbers([0; 3], 50);
    next.shutdown(&h).await;
}
