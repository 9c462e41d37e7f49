//! How plugins end: by themselves, in mid-call, and when they are asked to.

use std::time::{Duration, Instant};

use futures_util::future::join3;
use outboard::netrpc::{CallError, Instance, Value};
use outboard::{DispenseError, ExitReason, ExitReport, RunningPlugin, ShutdownError};
use rustix::process::{Pid, Signal, kill_process};

use super::case::{Case, Running, Subject};
use crate::is_alive;

/// Far longer than what is not waited for takes.
const AT_ONCE: Duration = Duration::from_secs(10);

fn lost<R: std::fmt::Debug>(answer: Result<R, CallError>) -> String {
    match answer {
        Err(CallError::Lost { fault, .. }) => fault.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A call is held by the plugin while `ends` ends it. What the call failed with.
async fn in_mid_call<R>(
    running: Running,
    ends: impl AsyncFnOnce(RunningPlugin, Instance) -> R,
) -> (String, R) {
    let (holder, other) = (running.greeter().await, running.greeter().await);
    let exited = running.plugin.exited();
    let (plugin, pid) = (running.plugin, running.pid);
    let ending = async {
        let begun = other.call::<_, ()>("Plugin.Begun", "held").await;
        begun.expect("an answer");
        ends(plugin, other).await
    };
    let held = holder.call::<_, String>("Plugin.Hold", "held");
    let (held, ended, _report) = join3(held, ending, exited).await;
    assert!(!is_alive(pid), "the process is still there");
    // And so does whatever comes later, at once.
    let began = Instant::now();
    let later = lost(holder.call::<_, String>("Plugin.Greet", &Value::Nil).await);
    assert!(began.elapsed() < AT_ONCE, "{later}");
    (lost(held), ended)
}

/// The plugin ends in mid-call: every call fails with how the process ended, and says what it said last.
///
/// # Panics
/// If not.
pub fn crash(subject: &Subject) {
    subject.each(async |case| {
        let ends = async |plugin: RunningPlugin, greeter: Instance| {
            let began = Instant::now();
            let asked = lost(greeter.call::<_, ()>("Plugin.Exit", &7).await);
            assert!(began.elapsed() < AT_ONCE, "{asked}");
            let report = plugin.exited().await;
            let later = plugin.dispense::<Instance>("greeter").await;
            assert!(
                matches!(later, Err(DispenseError::Exited { .. })),
                "{later:?}"
            );
            (asked, report)
        };
        let (held, (asked, report)) = in_mid_call(case.start("plain").await, ends).await;
        for text in [held, asked] {
            assert!(text.contains("exited with status 7"), "{case:?}: {text}");
            assert!(text.contains("leaving in mid-call"), "{case:?}: {text}");
        }
        assert_crashed(&report);
        let ends = async |plugin: RunningPlugin, greeter: Instance| {
            let asked = lost(greeter.call::<_, ()>("Plugin.Die", &Value::Nil).await);
            (asked, plugin.exited().await)
        };
        let (held, (asked, report)) = in_mid_call(case.start("plain").await, ends).await;
        for text in [held, asked] {
            assert!(text.contains("signal 9"), "{case:?}: {text}");
        }
        assert_crashed(&report);
    });
}

fn assert_crashed(report: &ExitReport) {
    assert_eq!(report.reason, ExitReason::Crashed, "{report}");
    assert!(!report.exit.success(), "{report}");
}

/// The panic of a handler is the error of its call, and of no other. Go's net/rpc ends with the process.
///
/// # Panics
/// If not.
pub fn panic_of_a_handler(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let panicked = greeter
            .call::<_, ()>("Plugin.Panic", "no cheese today")
            .await;
        let Err(CallError::Answered { text, .. }) = panicked else {
            panic!("{panicked:?}");
        };
        assert!(text.contains("no cheese today"), "{text}");
        let doubled: Result<i64, _> = greeter.call("Plugin.Double", &21).await;
        assert_eq!(doubled.expect("a number"), 42);
        running.end().await;
    });
}

/// The panic of a handler of Go's is the end of its process, and every call says which it was.
///
/// # Panics
/// If not.
pub fn panic_of_the_process(subject: &Subject) {
    subject.each(async |case| {
        let ends = async |plugin: RunningPlugin, greeter: Instance| {
            let panicked = greeter
                .call::<_, ()>("Plugin.Panic", "no cheese today")
                .await;
            (lost(panicked), plugin.exited().await)
        };
        let (held, (asked, report)) = in_mid_call(case.start("plain").await, ends).await;
        for text in [held, asked] {
            assert!(text.contains("exited with status 2"), "{case:?}: {text}");
            assert!(text.contains("no cheese today"), "{case:?}: {text}");
        }
        assert_crashed(&report);
        let told = report
            .panic
            .is_some_and(|text| text.contains("no cheese today"));
        assert!(told, "{case:?}");
    });
}

/// The host kills it in mid-call, asks it to end in mid-call, and lets go of it in mid-call.
///
/// # Panics
/// If a call goes on, or the process does.
pub fn kill(subject: &Subject) {
    subject.each(async |case| {
        let kill = async |plugin: RunningPlugin, _| plugin.kill().await;
        let (held, report) = in_mid_call(case.start("plain").await, kill).await;
        assert_eq!(report.reason, ExitReason::Killed, "{report}");
        assert!(held.contains("was killed by its host"), "{held}");
        let shutdown = async |plugin: RunningPlugin, _| plugin.shutdown().await;
        let (_held, report) = in_mid_call(case.start("plain").await, shutdown).await;
        let report = report.unwrap_or_else(|error| panic!("{case:?}: {error:?}"));
        assert!(report.exit.success(), "{report}");
        let dropped = async |plugin, _| drop(plugin);
        let (held, ()) = in_mid_call(case.start("plain").await, dropped).await;
        assert!(held.contains("was killed by its host"), "{held}");
        case.start("plain").await.drop_it().await;
    });
}

/// Twenty plugins end in good order, one after another.
///
/// # Panics
/// If one does not.
pub fn quits(subject: &Subject) {
    subject.each(async |case| {
        for _ in 0..20 {
            let (running, greeter) = case.greeter().await;
            let text: Result<String, _> = greeter.call("Plugin.Greet", &Value::Nil).await;
            assert_eq!(text.expect("a text"), "Hello!");
            let report = running.end().await;
            assert_eq!(report.reason, ExitReason::Shutdown, "{report}");
        }
    });
}

const GRACE: Duration = Duration::from_millis(700);

/// It is killed once the grace is over, and not before.
async fn outlasts_the_grace(case: &Case<'_>, running: Running) {
    let began = Instant::now();
    let ended = running.plugin.shutdown().await;
    let expired = matches!(ended, Err(ShutdownError::GraceExpired { .. }));
    assert!(expired, "{case:?}: {ended:?}");
    assert!(began.elapsed() >= GRACE, "{case:?}: {:?}", began.elapsed());
    assert!(!is_alive(running.pid), "the process is still there");
}

/// Whether all threads of a process have stopped: each does when it takes notice of the signal.
fn is_stopped(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        // A thread that has ended meanwhile does nothing either.
        state.is_none_or(|state| state.starts_with('T'))
    })
}

/// One that answers and does not end, and one that hangs and does not answer.
///
/// # Panics
/// If they are not killed, or too early.
pub fn does_not_end(subject: &Subject) {
    subject.each(async |case| {
        let host = case.host("linger").shutdown_grace(GRACE);
        outlasts_the_grace(case, case.started(host).await).await;
        let host = case.host("plain").shutdown_grace(GRACE);
        let running = case.started(host).await;
        let pid = i32::try_from(running.pid).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), Signal::STOP).expect("it is ours");
        while !is_stopped(running.pid) {
            std::thread::yield_now();
        }
        outlasts_the_grace(case, running).await;
    });
}

/// The answer to the request to quit is lost: that is no error, and the grace is as long as ever.
///
/// # Panics
/// If not.
pub fn lost_answer(subject: &Subject) {
    subject.on_each_runtime(async |case| {
        let running = case.start("lost-answer").await;
        let report = running.end().await;
        assert_eq!(report.reason, ExitReason::Shutdown, "{report}");
        let host = case.host("lost-answer-stays").shutdown_grace(GRACE);
        outlasts_the_grace(case, case.started(host).await).await;
    });
}
