//! What is going on, as plain values.

use std::time::Duration;

use futures_util::future::join_all;
use outboard::figures::MethodFigures;
use outboard::supervisor::{Backoff, Supervision};
use outboard::{Code, Streaming};
use outboard_conformance::proto::{
    CrashRequest, FailRequest, Nothing, PourRequest, Probe as _, Process as _, ProcessClient,
    crash_request::How,
};
use outboard_conformance::{PROBE, PROCESS};

use crate::calls::payload;
use crate::harness::Harness;

fn of<'a>(calls: &'a [MethodFigures], method: &str) -> &'a MethodFigures {
    let found = calls.iter().find(|figures| figures.path.ends_with(method));
    found.unwrap_or_else(|| panic!("no {method} in {calls:?}"))
}

pub async fn calls_are_counted_by_method_if_that_is_wanted(h: Harness) {
    let plain = h.start().await;
    plain.probe.echo(payload(b"x")).await.expect("an answer");
    assert_eq!(plain.plugin.figures().calls, None);
    plain.shutdown().await;

    let rig = h.start_host(h.host([""; 0]).figures(true)).await;
    let echoes = (0..20).map(|_| rig.probe.echo(payload([1; 100])));
    assert!(join_all(echoes).await.iter().all(Result::is_ok));
    let fail = FailRequest {
        code: Code::Aborted as u32,
        message: "on purpose".to_owned(),
        details: Vec::new(),
    };
    rig.probe.fail(fail).await.expect_err("it was to fail");
    let hasty = rig.probe.with_timeout(Duration::from_millis(20));
    hasty.wait(Nothing {}).await.expect_err("nobody answers");
    let request = PourRequest {
        count: 10,
        size: 1000,
    };
    let mut poured = rig.probe.pour(request).await.expect("it began");
    while poured.message().await.expect("a piece").is_some() {}
    let pieces = (0..10).map(|_| payload([1; 1000]));
    let collected = rig.probe.collect(Streaming::iter(pieces)).await;
    assert_eq!(collected.expect("an answer").messages, 10);
    let (_open, requests) = Streaming::channel(1);
    let mut chat = rig.probe.chat(requests).await.expect("it began");
    let pending = futures_util::future::poll_immediate(chat.message()).await;
    assert!(pending.is_none());
    let figures = rig.plugin.figures();
    assert_eq!(figures.restarts, 0);
    let calls = figures.calls.expect("they are counted");
    assert_eq!(of(&calls, "/Chat").in_flight(), 1);
    drop(chat);

    let calls = rig.plugin.figures().calls.expect("they are counted");
    let echo = of(&calls, "/outboard.suite.Probe/Echo");
    assert_eq!((echo.begun, echo.in_flight(), echo.failed()), (20, 0, 0));
    // Two bytes before each message's data.
    assert_eq!((echo.bytes_sent, echo.bytes_received), (20 * 102, 20 * 102));
    assert!(echo.latency.min() > Some(Duration::ZERO));
    assert!(echo.latency.percentile(50.0) <= echo.latency.max());
    let fail = of(&calls, "/Fail");
    assert_eq!((fail.failed(), fail.ended_with(Code::Aborted)), (1, 1));
    let wait = of(&calls, "/Wait");
    assert_eq!(wait.ended_with(Code::DeadlineExceeded), 1);
    assert!(wait.latency.min() >= Some(Duration::from_millis(20)));
    let pour = of(&calls, "/Pour");
    assert_eq!((pour.begun, pour.ended_with(Code::Ok)), (1, 1));
    // Three before those of longer ones.
    assert_eq!(pour.bytes_received, 10 * 1003);
    assert_eq!(of(&calls, "/Collect").bytes_sent, 10 * 1003);
    assert_eq!(of(&calls, "/Chat").ended_with(Code::Cancelled), 1);
    rig.shutdown().await;
}

pub async fn the_start_and_the_process_are_told(h: Harness) {
    let rig = h.start().await;
    let figures = rig.plugin.figures();
    let start = figures.start;
    let phases = [start.launch, start.handshake, start.connect];
    assert!(phases.iter().all(Option::is_some), "{start:?}");
    assert!(start.total() > Duration::ZERO);
    let resident = figures.resident_bytes.expect("Linux tells");
    // A program of this size has some, and not all there is.
    assert!((100 << 10..4 << 30).contains(&resident), "{resident}");
    assert_eq!((figures.calls_waiting, figures.output_waiting), (0, 0));
    let killed = rig.plugin.exited();
    crate::leftovers::kill(rig.pid());
    killed.await;
    assert_eq!(rig.plugin.figures().resident_bytes, None);
}

pub async fn those_of_a_supervised_plugin_are_of_all_its_processes(h: Harness) {
    let pause = Backoff::new().first(Duration::from_millis(1));
    let host = h.host([""; 0]).figures(true);
    let plugin = host.supervise(Supervision::new().backoff(pause), h.runtime.clone());
    let process: ProcessClient = plugin.dispense(PROCESS).await.expect("it has one");
    assert_eq!(plugin.figures().resident_bytes, None);
    for _ in 0..3 {
        process.facts(Nothing {}).await.expect("an answer");
    }
    let crash = CrashRequest {
        how: How::Exit.into(),
        code: 3,
        ..CrashRequest::default()
    };
    process.crash(crash).await.expect_err("it ended");
    process
        .facts(Nothing {})
        .await
        .expect("the next one answers");
    let figures = plugin.figures();
    assert_eq!(figures.restarts, 1);
    assert!(figures.start.total() > Duration::ZERO);
    assert!(figures.resident_bytes.is_some());
    let calls = figures.calls.expect("they are counted");
    assert_eq!(of(&calls, "/Facts").ended_with(Code::Ok), 4);
    assert_eq!(of(&calls, "/Crash").ended_with(Code::Unavailable), 1);
    let probe: outboard_conformance::proto::ProbeClient =
        plugin.dispense(PROBE).await.expect("it has one");
    probe.echo(payload(b"x")).await.expect("an answer");
    let calls = plugin.figures().calls.expect("they are counted");
    assert_eq!(of(&calls, "/Echo").begun, 1);
    plugin.shutdown().await.expect("in good order");
}
