//! Refusals, crashes, shutdown, signals.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use serde_json::Value;

use super::{Subject, assert_ended_gracefully, with_level};
use crate::HostRun;

/// A wrong cookie: text for a person on stderr, nothing on stdout, status 1.
pub fn cookie_mismatch(subject: &Subject<'_>) {
    let found = subject
        .run(&["all"])
        .flag("-cookie=wrong")
        .expect("rejected", &[]);
    let stderr = found["stderr"].as_str().expect("a text");
    assert!(stderr.contains("plugin"), "{stderr:?}");
    assert_eq!(found["kill"]["exited"], true, "{found:#}");
}

/// A crash in mid-call ends all calls at once, and the host knows how it ended.
pub fn crash(subject: &Subject<'_>) {
    for (way, error) in [("EXIT", "exit status 7"), ("KILL", "signal: killed")] {
        let found = subject
            .run(&["probe"])
            .expect("crash", &[&format!("way={way}"), "code=7"]);
        assert_eq!(found["asked"], "Unavailable", "{way}");
        assert_eq!(found["waiting"], "Unavailable", "{way}");
        let noticed = found["noticed_millis"].as_u64().expect("a number");
        assert!(noticed < 2_000, "{way}: noticed after {noticed} ms");
        assert_eq!(found["exit_logs"][0]["error"], error, "{way}");
    }
}

/// A panic that ends the process is an error record on the host.
pub fn crash_by_panic(subject: &Subject<'_>) {
    let found = subject
        .run(&["probe"])
        .expect("crash", &["way=PANIC", "message=boom and bust"]);
    let records = with_level(&found["message_logs"], "error");
    assert!(!records.is_empty(), "{found:#}");
    let message = records[0]["@message"].as_str().expect("a text");
    assert!(message.starts_with("panic: boom and bust"), "{message:?}");
}

/// Where a panic ends the process, one of a handler is the plugin's own: an error record in the form of
/// Go's, and the host's own word for the end.
pub fn handler_panic_aborts(subject: &Subject<'_>) {
    let found = subject
        .run(&["probe"])
        .expect("crash", &["way=HANDLER", "message=boom and bust"]);
    assert_eq!(found["asked"], "Unavailable", "{found:#}");
    assert_eq!(found["waiting"], "Unavailable", "{found:#}");
    let told = found["exit_logs"][0]["error"].as_str().expect("a text");
    assert!(told.starts_with("signal: aborted"), "{found:#}");
    let records = found["message_logs"].as_array().expect("a list");
    let [record] = &records[..] else {
        panic!("one record, not {records:#?}")
    };
    assert_eq!(record["@level"], "error", "{record:#}");
    let message = record["@message"].as_str().expect("a text");
    assert!(message.starts_with("panic: boom and bust"), "{message:?}");
}

/// The plugin's own code after serving runs when the host ends it.
pub fn shutdown(subject: &Subject<'_>) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("ended");
    let found = subject
        .run(&["probe"])
        .env("INTEROP_EXIT_FILE", &file)
        .expect("shutdown", &[]);
    assert!(file.is_file(), "the plugin did not get to its end");
    assert_ended_gracefully(&found);
}

/// A plugin that does not go is killed after the grace of two seconds.
pub fn shutdown_ignored(subject: &Subject<'_>) {
    let found = subject.run(&["hang"]).expect("shutdown", &[]);
    let kill = &found["kill"];
    assert_eq!(kill["forced"], true, "{found:#}");
    assert_eq!(kill["exited"], true, "{found:#}");
    assert!(kill["millis"].as_u64() >= Some(1_900), "{found:#}");
}

/// SIGINT does not matter to a plugin.
pub fn interrupt_ignored(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("signal", &["signal=INT"]);
    assert_eq!(found["exited"], false);
    assert_ended_gracefully(&found);
}

/// SIGTERM ends it.
pub fn terminate_obeyed(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("signal", &["signal=TERM"]);
    assert!(
        !found["exit_logs"].as_array().is_none_or(Vec::is_empty),
        "{found:#}"
    );
}

/// How a host dies in [`host_death`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// It exits without a word to the plugin.
    Exit,
    /// It is killed.
    Kill,
}

/// Lets the host die and returns the plugin's process id. The caller looks
/// after the plugin.
#[must_use]
pub fn host_death(subject: &Subject<'_>, death: Death) -> u32 {
    host_death_of(subject.run(&["probe"]), death)
}

/// The same in a run of the Go host.
///
/// # Panics
/// When the host does not get as far as its death.
#[must_use]
pub fn host_death_of(run: HostRun, death: Death) -> u32 {
    let how = match death {
        Death::Exit => "how=exit",
        Death::Kill => "how=wait",
    };
    let mut command = run.command("host-death", &[how]);
    // As in `sockets_are_removed`: the host's own value would win over the plugin's.
    let mut host: Child = command
        .env_remove("TMPDIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the Go host");
    let mut line = String::new();
    let stdout = host.stdout.take().expect("a pipe");
    // Only the first line: with `how=wait` the host does not end by itself.
    let _ = BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the host's report");
    let found: Value = serde_json::from_str(&line).expect("one JSON object");
    assert_eq!(found["ok"], true, "{found:#}");
    if death == Death::Kill {
        host.kill().expect("the host can be killed");
    }
    let _ = host.wait().expect("the host can be reaped");
    found["plugin"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .expect("a process id")
}
