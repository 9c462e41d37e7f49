//! What plugins write right before they end by themselves, in whatever way.

use std::time::Duration;

use outboard::hclog::{Kind, Level};
use outboard::{Exit, ExitReason, Host};
use outboard_conformance::proto::{
    CrashRequest, Nothing, Process as _, crash_request::How, print_request::How as Print,
};
use outboard_conformance::watched::Sink;

use crate::harness::{Harness, Rig};
use crate::leftovers;
use crate::logs::Records;
use crate::output::{Slow, print, synced};

const PRINTED: &str = "a last order; ";
const WRITTEN: &str = "fatal: no cheese";

fn crash(how: How) -> CrashRequest {
    CrashRequest {
        how: how.into(),
        code: 3,
        text: WRITTEN.to_owned(),
        on_stderr: true,
        printed: PRINTED.to_owned(),
    }
}

/// Whether it ended in this way. Whether there is a core file is up to the system.
fn ended_so(exit: Exit, how: How) -> bool {
    match how {
        How::Exit | How::ExitNow => exit == Exit::Code(3),
        How::Kill => exit.signal() == Some(9),
        // The language ends an overflow with an abort, or lets the fault have its way.
        How::Abort | How::Overflow => matches!(exit.signal(), Some(6 | 11)),
        How::PanicElsewhere => false,
    }
}

/// Crashes the plugin; gives how it ended once all of its output has been handed over.
async fn crashes(h: &Harness, rig: Rig, request: CrashRequest) -> outboard::ExitReport {
    let exited = rig.plugin.exited();
    let crashed = h.promptly(rig.process.crash(request)).await;
    let status = crashed.expect_err("it crashed");
    assert!(status.message().contains(WRITTEN), "{status}");
    h.promptly(exited).await
}

pub async fn whatever_ends_a_plugin_what_it_has_written_arrives(h: Harness) {
    let ways = [
        How::Exit,
        How::ExitNow,
        How::Abort,
        How::Kill,
        How::Overflow,
    ];
    for how in ways {
        let (host, stdout, stderr) = synced(h.host([""; 0]));
        let rig = h.start_host(host).await;
        let report = crashes(&h, rig, crash(how)).await;
        assert!(ended_so(report.exit, how), "{how:?}: {report}");
        assert_eq!(report.reason, ExitReason::Crashed);
        assert_eq!(stdout.bytes(), PRINTED.as_bytes(), "{how:?}");
        let written = String::from_utf8(stderr.bytes()).expect("text");
        let rest = written.strip_prefix(&format!("{WRITTEN}\n"));
        let rest = rest.unwrap_or_else(|| panic!("{how:?}: {written:?}"));
        // Outboard's own records, which the log is full of, are none of the program's words.
        assert_eq!(report.stderr[0], WRITTEN, "{report}");
        if how == How::Overflow {
            assert!(rest.contains("has overflowed its stack"), "{written:?}");
            let told = report.stderr.join("\n");
            assert!(told.contains("has overflowed its stack"), "{report}");
        } else {
            assert_eq!((rest, report.stderr.len()), ("", 1), "{how:?}: {report}");
        }
    }
}

pub async fn whatever_ends_it_before_it_serves_what_it_has_written_arrives(h: Harness) {
    const WRITTEN: &str = "no cheese today";
    for (option, how) in [
        ("exit", How::Exit),
        ("exit-now", How::ExitNow),
        ("abort", How::Abort),
        ("kill", How::Kill),
        ("overflow", How::Overflow),
    ] {
        let options = ["--print-first", PRINTED, "--fail-first", option];
        let (host, stdout, stderr) = synced(h.host(options));
        let error = h.start_error(host).await;
        let exit = error.evidence.exit.expect("it ended by itself");
        assert!(ended_so(exit, how), "{option}: {error}");
        assert_eq!(error.evidence.stderr[0], WRITTEN, "{option}: {error}");
        assert_eq!(stdout.bytes(), format!("{PRINTED}\n").as_bytes());
        let written = String::from_utf8(stderr.bytes()).expect("text");
        let rest = written.strip_prefix(&format!("{WRITTEN}\n"));
        let rest = rest.unwrap_or_else(|| panic!("{option}: {written:?}"));
        let overflow = rest.contains("has overflowed its stack");
        assert_eq!(overflow, how == How::Overflow, "{option}: {written:?}");
        assert!(overflow || rest.is_empty(), "{option}: {written:?}");
    }
}

pub async fn text_before_serving_is_in_the_log_too(h: Harness) {
    let (sink, records) = (Sink::default(), Records::default());
    let host = h.host(["--fail-first", "exit"]).log_sink(sink.writer());
    h.start_error(records.of(host)).await;
    let record = h.promptly(records.with("no cheese today")).await;
    assert_eq!((record.kind, record.level), (Kind::Text, Level::Debug));
    let raw = String::from_utf8(sink.bytes()).expect("text");
    assert!(raw.lines().any(|line| line == "no cheese today"), "{raw}");
}

pub async fn events_before_serving_are_logged(h: Harness) {
    let records = Records::default();
    let host = h.host(["--log-first", "there is little cheese"]);
    let rig = h.start_host(records.of(host)).await;
    let record = h.promptly(records.with("there is little cheese")).await;
    assert_eq!((record.kind, record.level), (Kind::Structured, Level::Warn));
    rig.shutdown().await;
}

pub async fn a_child_that_holds_the_streams_is_not_waited_for(h: Harness) {
    let (host, stdout, stderr) = synced(h.host([""; 0]));
    let rig = h.start_host(host).await;
    let child = rig.process.spawn(Nothing {}).await.expect("spawned").pid;
    let report = crashes(&h, rig, crash(How::Abort)).await;
    assert_eq!(report.stderr, [WRITTEN]);
    assert_eq!(stdout.bytes(), PRINTED.as_bytes());
    assert_eq!(stderr.bytes(), format!("{WRITTEN}\n").as_bytes());
    assert!(leftovers::exists(child), "it held the streams all the time");
    leftovers::kill(child);
}

pub async fn a_slow_writer_gets_all_of_a_crash(h: Harness) {
    let slow = |sink: &Sink| Slow::writer(sink, Duration::from_millis(1));
    let (stdout, stderr) = (Sink::default(), Sink::default());
    let host: Host = h.host([""; 0]);
    let host = host.sync_stdout(slow(&stdout)).sync_stderr(slow(&stderr));
    let rig = h.start_host(host).await;
    // More than a pipe holds, on both.
    let (printed, text) = ("p".repeat(200_000), "e".repeat(100_000) + WRITTEN);
    let request = CrashRequest {
        printed: printed.clone(),
        text: text.clone(),
        ..crash(How::Abort)
    };
    let exited = rig.plugin.exited();
    let long = Duration::from_secs(60);
    let crashed = h.within(long, rig.process.crash(request)).await;
    assert!(crashed.is_err());
    h.within(long, exited).await;
    assert_eq!(stdout.bytes().len(), printed.len());
    assert_eq!(stdout.bytes(), printed.as_bytes());
    assert_eq!(stderr.bytes(), (text + "\n").as_bytes());
}

/// As under hosts that make none, Go's above all: nothing is lost as long as it can end in order.
pub async fn without_pipes_of_its_own_a_plugin_is_heard_all_the_same(h: Harness) {
    let without = |host: Host| synced(host.private_socket_dir(false));
    let (host, stdout, stderr) = without(h.host([""; 0]));
    let rig = h.start_host(host).await;
    let report = crashes(&h, rig, crash(How::Exit)).await;
    assert_eq!(report.stderr.last().map(String::as_str), Some(WRITTEN));
    drop((stdout, stderr));
    // What has come over the connection is evidence, too, however it ends.
    let (host, _stdout, stderr) = without(h.host([""; 0]));
    let rig = h.start_host(host).await;
    print(&rig, Print::Handler, true, "the cheese is old\n").await;
    h.promptly(stderr.until_contains("old\n")).await;
    let exited = rig.plugin.exited();
    let killed = CrashRequest {
        how: How::Kill.into(),
        ..CrashRequest::default()
    };
    assert!(h.promptly(rig.process.crash(killed)).await.is_err());
    let report = h.promptly(exited).await;
    assert_eq!(report.stderr, ["the cheese is old"]);
    let (host, ..) = without(h.host(["--fail-first", "abort"]));
    let error = h.start_error(host).await;
    assert_eq!(error.evidence.stderr, ["no cheese today"]);
}
