//! Plugins that end without having been asked.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all, poll_immediate};
use outboard::codegen::Prost;
use outboard::{Code, DispenseError, Exit, ExitReason, StartFailure, Status};
use outboard_conformance::proto::{
    CrashRequest, Nothing, PourRequest, Probe as _, ProbeClient, Process as _, crash_request::How,
};
use outboard_conformance::{PROBE, axes};

use crate::calls::payload;
use crate::harness::{Harness, Rig, timed};
use crate::leftovers;

fn crash(how: How, code: i32, text: &str) -> CrashRequest {
    CrashRequest {
        how: how.into(),
        code,
        text: text.to_owned(),
        ..CrashRequest::default()
    }
}

/// The status of a call to a plugin that has ended so.
fn tells(status: &Status, texts: &[&str]) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.is_connection_lost(), "{status:?}");
    for text in texts {
        assert!(status.message().contains(text), "{text:?} in {status}");
    }
}

/// Crashes the plugin, and checks what is told then and afterwards.
async fn crashes(h: &Harness, rig: &Rig, request: CrashRequest, exit: Exit, texts: &[&str]) {
    let pid = rig.pid();
    let exited = rig.plugin.exited();
    let status = h.promptly(rig.process.crash(request)).await;
    tells(&status.expect_err("it crashed"), texts);
    let report = h.promptly(exited).await;
    assert_eq!((report.exit, report.reason), (exit, ExitReason::Crashed));
    assert!(rig.plugin.is_exited() && rig.plugin.pid().is_none());
    assert_eq!(rig.plugin.exit_report(), Some(report));
    assert!(!leftovers::exists(pid), "it was reaped");
    // Later calls say the same at once.
    let later = h.promptly(rig.probe.echo(payload("x"))).await;
    tells(&later.expect_err("it is gone"), texts);
    let pinged = h.promptly(rig.plugin.ping()).await;
    assert!(pinged.is_err());
    let dispensed = rig.plugin.dispense::<ProbeClient>(PROBE).await;
    assert!(matches!(dispensed, Err(DispenseError::Exited { .. })));
}

pub async fn an_exit_in_mid_call_is_told_with_code_and_last_words(h: Harness) {
    let rig = h.start().await;
    let request = crash(How::Exit, 3, "the cheese is out");
    let texts = ["exited with status 3", "the cheese is out", "suite-plugin"];
    crashes(&h, &rig, request, Exit::Code(3), &texts).await;
}

pub async fn a_kill_is_told_with_the_signal(h: Harness) {
    let rig = h.start().await;
    let killed = Exit::Signal {
        signal: 9,
        core_dumped: false,
    };
    crashes(
        &h,
        &rig,
        crash(How::Kill, 0, ""),
        killed,
        &["signal 9", "SIGKILL"],
    )
    .await;
}

pub async fn an_abort_is_told_with_the_signal(h: Harness) {
    let rig = h.start().await;
    let request = crash(How::Abort, 0, "giving up");
    let status = h
        .promptly(rig.process.crash(request))
        .await
        .expect_err("it aborted");
    tells(&status, &["signal 6", "SIGABRT", "giving up"]);
    // Whether there is a core file is up to the system.
    assert_eq!(h.promptly(rig.plugin.exited()).await.exit.signal(), Some(6));
}

pub async fn what_is_written_on_stderr_right_before_the_exit_is_evidence(h: Harness) {
    let rig = h.start().await;
    let request = CrashRequest {
        on_stderr: true,
        ..crash(How::Exit, 3, "fatal: no cheese")
    };
    let exited = rig.plugin.exited();
    let status = h.promptly(rig.process.crash(request)).await;
    tells(
        &status.expect_err("it crashed"),
        &["exited with status 3", "fatal: no cheese"],
    );
    let report = h.promptly(exited).await;
    let last = report.stderr.last().map(String::as_str);
    assert_eq!(last, Some("fatal: no cheese"), "{report:?}");
}

pub async fn a_plugin_that_cannot_serve_says_why(h: Harness) {
    let nowhere = "/no/such/directory";
    let host = h.host([""; 0]).socket_dir(nowhere);
    let error = h.start_error(host).await;
    let StartFailure::Refused(refusal) = &error.failure else {
        panic!("{error:?}")
    };
    assert!(refusal.reason().contains(nowhere), "{error}");
    let told = "the plugin says why it cannot serve: ";
    assert!(error.to_string().starts_with(told), "{error}");
    assert_eq!(error.evidence.exit, Some(Exit::Code(1)));
    assert!(!error.evidence.killed);
}

pub async fn what_ends_a_plugin_before_it_serves_is_told(h: Harness) {
    for (how, exit, reason) in [
        ("return", Exit::Code(2), "ended before it served"),
        ("exit", Exit::Code(3), "ended before it served"),
        (
            "panic",
            Exit::Code(101),
            "it panicked: no cheese today (at ",
        ),
    ] {
        let error = h.start_error(h.host(["--fail-first", how])).await;
        let StartFailure::Refused(refusal) = &error.failure else {
            panic!("{error:?}")
        };
        assert!(refusal.reason().contains(reason), "{how}: {error}");
        assert_eq!(error.evidence.exit, Some(exit), "{how}: {error}");
        let stderr = error.evidence.stderr.join("\n");
        assert!(stderr.contains("no cheese today"), "{how}: {error}");
    }
    // Nothing of the program's runs any more after an abort.
    let error = h.start_error(h.host(["--fail-first", "abort"])).await;
    assert!(matches!(error.failure, StartFailure::Exited { .. }));
    assert_eq!(error.evidence.stderr, ["no cheese today"]);
}

pub async fn everything_pending_fails_at_once(h: Harness) {
    let rig = h.start().await;
    let endless = PourRequest {
        count: u64::MAX,
        size: 1000,
    };
    let mut stream = rig.probe.pour(endless).await.expect("starts");
    assert!(stream.message().await.expect("ok").is_some());
    let waiting = join_all((0..50).map(|_| rig.probe.wait(Nothing {})));
    let crashing = rig.process.crash(crash(How::Exit, 7, ""));
    let (waited, crashed) = h.promptly(join(waiting, crashing)).await;
    for result in waited.into_iter().chain([crashed]) {
        tells(&result.expect_err("it is gone"), &["exited with status 7"]);
    }
    // What had arrived may still be read, and then comes the reason.
    let reading = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it did not end well"),
                Err(status) => break status,
            }
        }
    };
    tells(&h.promptly(reading).await, &["exited with status 7"]);
}

pub async fn calls_fail_within_milliseconds(h: Harness) {
    // Well below what the host waits for if one of the signs of an end does not come: half a second
    // for the exit, a tenth for the last of the log. The best of some, since the machine is shared.
    const LIMIT: Duration = Duration::from_millis(50);
    let mut best = [Duration::MAX; 2];
    for _ in 0..50 {
        if best.iter().all(|best| *best < LIMIT) {
            return;
        }
        // It ends by itself, with last words and a reason.
        let rig = h.start().await;
        let crashing = rig.process.crash(crash(How::Exit, 3, "out of cheese"));
        let (crashed, took) = timed(h.promptly(crashing)).await;
        let told = ["exited with status 3", "out of cheese"];
        tells(&crashed.expect_err("it is gone"), &told);
        best[0] = best[0].min(took);
        // It is killed while a call waits.
        let rig = h.start().await;
        let killing = async {
            let note = rig.probe.next_note(Nothing {}).await;
            assert_eq!(note.expect("ok").text, "wait began");
            leftovers::kill(rig.pid());
            Instant::now()
        };
        let waiting = async { (rig.probe.wait(Nothing {}).await, Instant::now()) };
        let (killed, (waited, failed)) = h.promptly(join(killing, waiting)).await;
        tells(&waited.expect_err("it is gone"), &["SIGKILL"]);
        let took = failed - killed;
        best[1] = best[1].min(took);
    }
    panic!("at best {best:?}, where {LIMIT:?} are allowed");
}

/// As programs for the command line have it: what is written to a plugin that is gone ends in an
/// error of the call and not in the end of the host.
pub async fn a_host_with_sigpipe_at_its_default_survives_its_plugins(h: Harness) {
    let mut host = h.suite_host(&["sigpipe"]);
    let output = h.elsewhere(move || host.output().expect("it runs")).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 3 * 2 * 4, "{text}");
    for line in text.lines() {
        assert!(line.contains("signal 9 (SIGKILL)"), "{line}");
    }
}

pub async fn a_crashed_plugin_can_be_shut_down(h: Harness) {
    let rig = h.start().await;
    let _crashed = rig.process.crash(crash(How::Exit, 5, "")).await;
    let report = h
        .promptly(rig.plugin.shutdown())
        .await
        .expect("nothing to wait for");
    assert_eq!(
        (report.exit, report.reason),
        (Exit::Code(5), ExitReason::Crashed)
    );
    // The same at the same moment.
    let rig = h.start().await;
    let plugin = rig.plugin;
    let crashing = rig.process.crash(crash(How::Exit, 5, ""));
    let both = join(crashing, plugin.shutdown());
    let (crashed, _any) = h.within(Duration::from_secs(10), both).await;
    assert!(crashed.is_err());
}

pub async fn a_kill_from_outside_is_noticed_without_a_call(h: Harness) {
    let rig = h.start().await;
    let exited = rig.plugin.exited();
    leftovers::kill(rig.pid());
    let report = h.promptly(exited).await;
    assert_eq!(
        (report.exit.signal(), report.reason),
        (Some(9), ExitReason::Crashed)
    );
    assert!(!rig.plugin.is_disconnected(), "it is not there at all");
}

pub async fn it_can_be_ended_from_several_sides_at_once(h: Harness) {
    for side in ["kill", "controller", "crash", "nobody", "given up"] {
        let rig = h.start().await;
        let pid = rig.pid();
        let (exited, also) = (rig.plugin.exited(), rig.plugin.exited());
        let other = async {
            match side {
                "kill" => leftovers::kill(pid),
                // As another host of the same plugin would.
                "controller" => {
                    let channel = rig.probe.channel();
                    let head = channel.head("/plugin.GRPCController/Shutdown");
                    let _any = channel
                        .unary::<_, Nothing, Nothing>(Prost, head, &Nothing {})
                        .await;
                }
                "crash" => {
                    let _crashed = rig.process.crash(crash(How::Exit, 5, "")).await;
                }
                _ => {}
            }
        };
        if side == "given up" {
            // Asked to end, and then not waited for: whoever else waits sees the end.
            let asked = poll_immediate(pin!(rig.plugin.shutdown())).await;
            assert!(asked.is_none(), "it takes a while");
        } else {
            let ends = join(other, rig.plugin.shutdown());
            let ((), ended) = h.promptly(ends).await;
            let report = ended.expect("in good order, or by the other side");
            let may_be = match side {
                "kill" | "crash" => vec![ExitReason::Shutdown, ExitReason::Crashed],
                _ => vec![ExitReason::Shutdown],
            };
            assert!(may_be.contains(&report.reason), "{side}: {report}");
        }
        // Whoever else waits for the end sees the same.
        let (report, same) = h.promptly(join(exited, also)).await;
        assert_eq!(report, same, "{side}");
        assert!(!leftovers::exists(pid), "it was reaped");
    }
}

/// Nobody drives a plugin any more whose host's runtime is gone: it goes, too, and its calls say why,
/// the same over every transport.
pub async fn calls_say_that_the_runtime_is_gone(h: Harness) {
    let (on, host) = (h.on, h.host([""; 0]));
    let (plugin, probe, pid) = h
        .elsewhere(move || {
            axes::block_on(on.host, |runtime| async move {
                let plugin = host.start(runtime).await.expect("the plugin starts");
                let probe: ProbeClient = plugin.dispense(PROBE).await.expect("it has one");
                assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
                let pid = plugin.pid().expect("it runs");
                (plugin, probe, pid)
            })
        })
        .await;
    for _ in 0..2 {
        let status = h.promptly(probe.echo(payload("x"))).await;
        let status = status.expect_err("nobody drives it");
        tells(&status, &["the async runtime that drove it was shut down"]);
    }
    let report = h.promptly(plugin.exited()).await;
    assert_eq!(report.reason, ExitReason::Killed);
    assert!(leftovers::gone(pid), "it goes with the runtime");
}
