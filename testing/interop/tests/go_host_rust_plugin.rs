//! Go host and Rust plugin: an outboard plugin under go-plugin itself.
#![cfg(unix)]

use std::time::Duration;

use outboard_interop::{
    GoPeers, Wait, go,
    scenarios::{Subject, calls, life, output, services},
    wait_until_gone,
};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

fn rust(peers: &GoPeers) -> Subject<'_> {
    Subject {
        peers,
        command: vec![PLUGIN.into()],
        put_note: "\n\nWritten from plugin-rust",
    }
}

/// The same scenarios that the Go plugin passes.
macro_rules! scenarios {
    ($($module:ident: $($name:ident)*;)*) => {$($(
        #[test]
        fn $name() {
            if let Some(peers) = go() {
                $module::$name(&rust(peers));
            }
        }
    )*)*};
}

scenarios! {
    services: kv negotiated incompatible_version counter broker broker_timeout streamer;
    calls: large_message status deadline cancel metadata sequential parallel streams unknown_method
        health reflection;
    output: stdio logs raw_stderr;
    life: cookie_mismatch crash crash_by_panic shutdown shutdown_ignored interrupt_ignored
        terminate_obeyed;
}

/// A refused start prints nothing on stdout and exits with status 1.
#[test]
fn cookie_refusal_exits_with_1() {
    for cookie in [None, Some(""), Some("wrong")] {
        let mut command = std::process::Command::new(PLUGIN);
        command.arg("kv").env_remove("BASIC_PLUGIN");
        if let Some(cookie) = cookie {
            command.env("BASIC_PLUGIN", cookie);
        }
        let refused = outboard_interop::run_to_end(&mut command, Wait::default().0);
        assert_eq!(refused.status.code(), Some(1), "{cookie:?}");
        assert_eq!(refused.stdout, b"", "{cookie:?}");
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert!(stderr.contains("plugin"), "{cookie:?}: {stderr:?}");
    }
}

/// A host that offers only version 1: the plugin falls back to its lowest, and
/// the host names both.
#[test]
fn version_without_a_match() {
    let Some(peers) = go() else { return };
    let found = rust(peers)
        .run(&["negotiated", "2,3"])
        .expect("rejected", &[]);
    let error = found["start_error"].as_str().expect("a text");
    assert!(error.contains('2') && error.contains('1'), "{error}");
}

/// A plugin that is not to multiplex does not claim to, so that a host that insists on it refuses it by
/// that name, and does not hang.
#[test]
fn multiplexing_is_not_claimed() {
    let Some(peers) = go() else { return };
    let found = rust(peers)
        .run(&["all"])
        .env("INTEROP_MULTIPLEX", "no")
        .flag("-multiplex")
        .expect("rejected", &[]);
    let error = found["start_error"].as_str().expect("a text");
    assert!(error.contains("multiplex"), "{error}");
    assert_eq!(found["kill"]["exited"], true, "{found:#}");
}

/// A handler that panics fails its own call with INTERNAL, shows as one error
/// record, and nothing else happens.
#[test]
fn handler_panic() {
    let Some(peers) = go() else { return };
    let found = rust(peers)
        .run(&["probe"])
        .expect("handler-panic", &["message=spilt milk"]);
    assert_eq!(found["code"], "Internal", "{found:#}");
    assert_eq!(found["exited"], false, "{found:#}");
    let records = found["message_logs"].as_array().expect("a list");
    let [record] = &records[..] else {
        panic!("one record, not {records:#?}")
    };
    assert_eq!(record["@level"], "error");
    let message = record["@message"].as_str().expect("a text");
    assert!(
        message.contains("/outboard.interop.Probe/Crash"),
        "{message}"
    );
    assert_eq!(found["kill"]["forced"], false, "{found:#}");
}

/// The plugin's own limit on messages, as grpc-go's: 4 MiB of message, of which
/// the field's tag and length take 5 bytes.
#[test]
fn limit_of_the_plugin() {
    let Some(peers) = go() else { return };
    let run = |size: &str| {
        rust(peers)
            .run(&["probe"])
            .env("INTEROP_DEFAULT_LIMITS", "1")
            .report("echo", &[size])
            .found
    };
    assert_eq!(run("size=4194299")["ok"], true);
    assert_eq!(run("size=4194300")["code"], "ResourceExhausted");
}

/// Over TCP everything is the same.
#[test]
fn tcp() {
    let Some(peers) = go() else { return };
    let found = rust(peers)
        .run(&["all"])
        .env("INTEROP_TCP", "1")
        .expect("broker", &[]);
    assert_eq!(found["host_served"], 3);
    assert_eq!(found["kill"]["forced"], false, "{found:#}");
}

/// The end waits for a call that is short enough, and not for one that is not.
#[test]
fn shutdown_in_call() {
    let Some(peers) = go() else { return };
    for (millis, ended) in [("millis=500", "OK"), ("millis=60000", "Unavailable")] {
        let found = rust(peers)
            .run(&["probe"])
            .expect("shutdown-in-call", &[millis]);
        assert_eq!(found["call"], ended, "{millis}: {found:#}");
        assert_eq!(found["kill"]["exited"], true, "{found:#}");
        assert_eq!(found["kill"]["forced"], false, "{millis}: {found:#}");
    }
}

/// Go plugins lose the race between their answer and their end now and then;
/// outboard's never do. The count is small for a test that runs often; set
/// `INTEROP_SHUTDOWNS` for more.
#[test]
fn shutdown_is_never_forced() {
    let Some(peers) = go() else { return };
    let runs =
        std::env::var("INTEROP_SHUTDOWNS").map_or(120, |runs| runs.parse().expect("a number"));
    for run in 0..runs {
        let found = rust(peers).run(&["probe"]).expect("shutdown", &[]);
        assert_eq!(found["kill"]["forced"], false, "run {run}: {found:#}");
    }
}

/// A flood on the real stdout, which a Go host stops reading: calls still work,
/// and so does the end.
#[test]
fn flood() {
    let Some(peers) = go() else { return };
    let found = rust(peers).run(&["flood"]).expect("sequential", &[]);
    assert_eq!(found["calls"], 1000);
    assert_eq!(found["kill"]["forced"], false, "{found:#}");
}

/// A Go host waits for whoever holds the pipes, but the plugin itself ended in
/// good order before.
#[test]
fn grandchild() {
    let Some(peers) = go() else { return };
    let found = rust(peers)
        .run(&["probe"])
        .expect("grandchild", &["millis=3000"]);
    assert_eq!(found["kill"]["exited"], true, "{found:#}");
}

/// The plugin does not stay behind when its host is gone.
#[test]
fn host_death() {
    let Some(peers) = go() else { return };
    for death in [life::Death::Exit, life::Death::Kill] {
        let plugin = life::host_death(&rust(peers), death);
        let promptly = Wait(Duration::from_secs(5));
        assert!(wait_until_gone(plugin, promptly), "{death:?}");
    }
}

/// No socket of a plugin stays behind: not after its end in good order, not after a crash that
/// runs exit handlers.
#[test]
fn sockets_are_removed() {
    let Some(peers) = go() else { return };
    for (mode, scenario, parameter) in [("all", "broker", "x=y"), ("probe", "crash", "way=EXIT")] {
        let dir = tempfile::tempdir().expect("a directory");
        // Without a directory from the host, the plugin takes the one of the system.
        let run = rust(peers).run(&[mode]).env("TMPDIR", dir.path());
        let mut host = run.command(scenario, &[parameter]);
        // The host's own value would win over the plugin's.
        let ended = outboard_interop::run_to_end(host.env_remove("TMPDIR"), Wait::default().0 * 4);
        let found = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{scenario}: {found}");
        let entries = std::fs::read_dir(dir.path()).expect("the directory");
        let left: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left, [""; 0], "{scenario}");
    }
}

/// Why a plugin cannot serve stands in the error of its host.
#[test]
fn the_reason_of_a_refusal_is_quoted() {
    let Some(peers) = go() else { return };
    let found = rust(peers)
        .run(&["kv"])
        .env("TMPDIR", "/no/such/directory")
        .expect("rejected", &[]);
    let error = found["start_error"].as_str().expect("a text");
    assert!(error.contains("this plugin cannot serve: "), "{error}");
    assert!(error.contains("/no/such/directory"), "{error}");
}
