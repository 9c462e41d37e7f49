//! One host that is started again, and several times at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join3};
use outboard_conformance::proto::{LogRequest, Probe as _, Process as _, print_request::How};
use outboard_conformance::watched::{Sink, Watched};

use crate::calls::payload;
use crate::events;
use crate::harness::{Harness, Rig};
use crate::output::{print, synced};

/// The writers that a host has had made, in the order of the starts.
#[derive(Clone, Default)]
struct Made(Arc<Watched<Vec<Sink>>>);

impl Made {
    fn writer(&self) -> impl Fn() -> Sink + Send + Sync + use<> {
        let made = Arc::clone(&self.0);
        move || {
            let sink = Sink::default();
            made.change(|made| made.push(sink.clone()));
            sink
        }
    }

    fn all(&self) -> Vec<Sink> {
        self.0.change(|made| made.clone())
    }
}

/// A text that no pipe and no piece holds whole.
fn text(name: &str) -> String {
    (0..20_000).map(|n| format!("{name} {n},")).collect()
}

async fn log(rig: &Rig, message: &str) {
    let request = LogRequest {
        level: "info".to_owned(),
        message: message.to_owned(),
    };
    rig.process.log(request).await.expect("it logs");
}

pub async fn a_host_is_started_again_and_again(h: Harness) {
    let made = Made::default();
    let host = h.host([""; 0]).sync_stdout(made.writer());
    for n in 0..3 {
        let rig = h.start_host(host.clone()).await;
        assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
        print(&rig, How::Handler, false, &format!("start {n}")).await;
        rig.shutdown().await;
    }
    let came: Vec<_> = made.all().iter().map(Sink::bytes).collect();
    assert_eq!(came, [b"start 0", b"start 1", b"start 2"]);
}

pub async fn plugins_of_one_host_print_and_log_at_once(h: Harness) {
    let (made, logs) = (Made::default(), Made::default());
    let records = Arc::new(Watched::<Vec<String>>::default());
    let told = Arc::clone(&records);
    let host = h
        .host([""; 0])
        .sync_stdout(made.writer())
        .log_sink(logs.writer())
        .on_log(move |record| told.change(|all| all.push(record.message.clone())));
    let starts = [(); 3].map(|()| h.start_host(host.clone()));
    let [one, two, three] = starts;
    // The writers are made by the first poll, so in this order.
    let (one, two, three) = join3(one, two, three).await;
    let rigs = [one, two, three];
    let pids = rigs.each_ref().map(Rig::pid);
    assert!(pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2]);
    let texts = ["one", "two", "three"].map(text);
    let print = |n: usize| print(&rigs[n], How::Handler, false, &texts[n]);
    let log = |n: usize| log(&rigs[n], &texts[n][..100]);
    join(
        join3(print(0), print(1), print(2)),
        join3(log(0), log(1), log(2)),
    )
    .await;
    for text in &texts {
        let found = |all: &mut Vec<String>| all.iter().any(|m| *m == text[..100]).then_some(());
        h.promptly(records.until(found)).await;
    }
    // The end of one is none of the others.
    let [one, two, three] = rigs;
    one.shutdown().await;
    assert_eq!(two.probe.echo(payload("x")).await, Ok(payload("x")));
    h.promptly(two.plugin.kill()).await;
    three.shutdown().await;
    let (made, logs) = (made.all(), logs.all());
    assert_eq!((made.len(), logs.len()), (3, 3));
    for n in [0, 2] {
        assert!(made[n].bytes() == texts[n].as_bytes(), "all of its own");
    }
    // What a plugin had not sent when it was killed does not come.
    assert!(texts[1].as_bytes().starts_with(&made[1].bytes()));
    for (log, own) in logs.iter().zip(&texts) {
        let log = String::from_utf8_lossy(&log.bytes()).into_owned();
        for text in &texts {
            assert_eq!(log.contains(&text[..100]), text == own, "its own log");
        }
    }
}

/// Writers of which the first one panics.
enum OfTest {
    Panics,
    Takes(Sink),
}

impl io::Write for OfTest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Panics => panic!("the first writer of a test"),
            Self::Takes(sink) => sink.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub async fn what_panics_is_gone_for_its_plugin_alone(h: Harness) {
    events::collect();
    let name = format!("{:?} again", h.on);
    let (sink, starts) = (Sink::default(), AtomicUsize::new(0));
    let writer = sink.writer();
    let records = Arc::new(Watched::<Vec<String>>::default());
    let told = Arc::clone(&records);
    let host = h.host([""; 0]).name(&name).on_log(move |record| {
        assert!(!record.message.contains("no more"), "the hook of a test");
        told.change(|all| all.push(record.message.clone()));
    });
    let (host, _, stderr) = synced(host);
    let host = host.sync_stdout(move || match starts.fetch_add(1, Ordering::Relaxed) {
        0 => OfTest::Panics,
        _ => OfTest::Takes(writer()),
    });
    let first = h.start_host(host.clone()).await;
    let second = h.start_host(host.clone()).await;
    for rig in [&first, &second] {
        print(rig, How::Handler, false, "out").await;
    }
    print(&first, How::Handler, true, "err").await;
    log(&first, "no more").await;
    log(&first, "a record of the first").await;
    log(&second, "a record of the second").await;
    let found = |all: &mut Vec<String>| {
        let second = |message: &String| message.contains("of the second");
        all.iter().any(second).then_some(())
    };
    h.promptly(records.until(found)).await;
    first.shutdown().await;
    second.shutdown().await;
    assert_eq!(sink.bytes(), b"out", "of the second");
    assert_eq!(stderr.bytes(), b"err", "whose writer is another one");
    records.change(|all| assert!(!all.iter().any(|m| m.contains("of the first")), "{all:?}"));
    let mut told = events::of(&name);
    told.sort();
    let expected = [
        "the hook given to on_log panicked: the hook of a test; it gets nothing more",
        "the writer of what the plugin prints panicked: the first writer of a test; it gets nothing \
         more",
    ];
    assert_eq!(told, expected);
    // The host is none the worse.
    let third = h.start_host(host).await;
    print(&third, How::Handler, false, " and out").await;
    third.shutdown().await;
    assert_eq!(sink.bytes(), b"out and out");
}
