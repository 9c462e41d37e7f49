//! A Rust plugin that multiplexes, under the Go host.
#![cfg(unix)]

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use outboard_conformance::axes::RuntimeKind;
use outboard_interop::scenarios::{Subject, life};
use outboard_interop::tap::Tapped;
use outboard_interop::{GoPeers, HostRun, Wait, go, run_to_end, wait_until_gone};
use serde_json::Value;

const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];
const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// With and without AutoMTLS.
const SECURED: [bool; 2] = [false, true];

fn subject<'a>(peers: &'a GoPeers, command: &[&str]) -> Subject<'a> {
    Subject::go(peers).with_command(command.iter().map(OsString::from).collect())
}

fn host(peers: &GoPeers, runtime: RuntimeKind, tls: bool) -> HostRun {
    on(subject(peers, &[PLUGIN]).run(&["all"]), runtime, tls)
}

fn on(run: HostRun, runtime: RuntimeKind, tls: bool) -> HostRun {
    let run = run.env("INTEROP_RUNTIME", runtime.to_string());
    let run = run.flag("-multiplex");
    if tls { run.flag("-automtls") } else { run }
}

/// Each dial has reached whom it was meant for, and where there is TLS, all agreed on `h2`.
fn assert_reached(found: &Value, dials: usize, tls: bool) {
    for by in ["by_plugin", "by_host"] {
        assert_eq!(found[by]["reached"], dials, "{by}: {found:#}");
        assert_eq!(found[by]["swapped"], 0, "{by}: {found:#}");
    }
    let protocol = if tls { "h2" } else { "" };
    let agreed = found["agreed"].as_object().expect("an object");
    let protocols: Vec<&String> = agreed.keys().collect();
    assert_eq!(protocols, [protocol], "{found:#}");
    assert_eq!(found["kill"]["forced"], false, "{found:#}");
}

#[test]
fn a_hundred_in_turn() {
    let Some(peers) = go() else { return };
    for runtime in RUNTIMES {
        for tls in SECURED {
            let run = host(peers, runtime, tls);
            let found = run.expect("many", &["count=100", "how=in-turn"]);
            assert_reached(&found, 100, tls);
        }
    }
}

/// Go's own dials wait for one another, and so do ours: neither side is ever asked for two streams at
/// once, which Go's host would give to either.
#[test]
fn a_hundred_at_once_on_both_sides() {
    let Some(peers) = go() else { return };
    for runtime in RUNTIMES {
        for tls in SECURED {
            let run = host(peers, runtime, tls);
            let found = run.expect("many", &["count=100", "how=at-once"]);
            assert_reached(&found, 100, tls);
        }
    }
}

/// The host dials what the plugin stops serving meanwhile: each dial reaches its own server or fails
/// with what the plugin says, and what comes later goes on.
#[test]
fn dials_that_race_with_dropped_servers() {
    let Some(peers) = go() else { return };
    for runtime in RUNTIMES {
        for tls in SECURED {
            let parameters = ["count=100", "how=at-once", "drop=while-dialled"];
            let found = host(peers, runtime, tls).expect("many", &parameters);
            assert_eq!(found["by_plugin"]["reached"], 100, "{found:#}");
            assert_eq!(found["by_host"]["swapped"], 0, "{found:#}");
            let failed = found["by_host"]["failed"].as_object().expect("an object");
            let failed = failed.values().map(|count| count.as_u64().expect("many"));
            let reached = found["by_host"]["reached"].as_u64().expect("a number");
            assert_eq!(reached + failed.sum::<u64>(), 100, "{found:#}");
            assert_eq!(found["kill"]["forced"], false, "{found:#}");
        }
    }
}

/// What passes between the two: one connection, in which each stream is opened by who has knocked, once
/// that was acknowledged, under numbers of its side; and with AutoMTLS each is secured by itself.
#[test]
fn streams_after_knocks() {
    let Some(peers) = go() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    for runtime in RUNTIMES {
        for tls in SECURED {
            let record = dir.path().join(format!("{runtime}-{tls}"));
            let tap = [PLUGIN, "tap", record.to_str().expect("text"), PLUGIN];
            let run = on(subject(peers, &tap).run(&["all"]), runtime, tls);
            let found = run.expect("many", &["count=10", "how=at-once"]);
            assert_reached(&found, 10, tls);
            let tapped = Tapped::read(&record);
            // Three more each way show at the end that all still works.
            tapped.assert_dialled(10 + 3, tls);
            assert!(tapped.waits_until_taken(false), "{tapped}");
        }
    }
}

/// A dial that nobody answers fails after five seconds on both sides, and the session goes on.
#[test]
fn dials_that_nobody_answers() {
    let Some(peers) = go() else { return };
    thread::scope(|scope| {
        for (runtime, tls) in RUNTIMES.into_iter().zip(SECURED) {
            scope.spawn(move || {
                let found = host(peers, runtime, tls).expect("broker-timeout", &[]);
                let millis = found["plugin_millis"].as_u64().expect("a number");
                assert!((4_900..10_000).contains(&millis), "{found:#}");
                let error = found["plugin_error"].as_str().expect("a text");
                assert!(error.contains("4242"), "{found:#}");
                assert_eq!(found["kill"]["forced"], false, "{found:#}");
            });
        }
    });
}

/// A plugin that multiplexes and to which nobody connects says so and ends by itself, in good order,
/// and leaves no socket behind.
#[test]
fn nobody_connects() {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            scope.spawn(move || {
                let dir = tempfile::tempdir().expect("a directory");
                let began = Instant::now();
                let mut plugin = Command::new(PLUGIN)
                    .arg("all")
                    .env("BASIC_PLUGIN", "hello")
                    .env("INTEROP_RUNTIME", runtime.to_string())
                    .env("PLUGIN_MULTIPLEX_GRPC", "true")
                    .env("PLUGIN_UNIX_SOCKET_DIR", dir.path())
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .expect("a plugin");
                // Held open until the end: their host lives.
                let mut stdout = BufReader::new(plugin.stdout.take().expect("a pipe"));
                let mut stderr = plugin.stderr.take().expect("a pipe");
                let mut line = String::new();
                let _length = stdout.read_line(&mut line).expect("a line");
                let fields: Vec<&str> = line.trim_end().split('|').collect();
                assert_eq!((fields.len(), fields.last()), (7, Some(&"true")), "{line}");
                let socket = PathBuf::from(fields[3]);
                assert!(socket.starts_with(dir.path()) && socket.exists(), "{line}");
                let mut log = String::new();
                let _length = stderr.read_to_string(&mut log).expect("its log");
                let ended = plugin.wait().expect("its end");
                let took = began.elapsed();
                assert!(took >= Duration::from_millis(4_900), "{took:?}");
                assert!(took < Duration::from_secs(15), "{took:?}");
                assert!(ended.success(), "{ended}: {log}");
                assert!(log.contains("NobodyConnected"), "{log}");
                let left = std::fs::read_dir(dir.path()).expect("it").count();
                assert_eq!(left, 0, "sockets");
            });
        }
    });
}

/// Neither the plugin nor its socket stays behind when its host is gone, or has ended it.
#[test]
fn nothing_is_left() {
    let Some(peers) = go() else { return };
    for runtime in RUNTIMES {
        for tls in SECURED {
            let dir = tempfile::tempdir().expect("a directory");
            let left = || {
                let entries = std::fs::read_dir(dir.path()).expect("the directory");
                let names = entries.map(|entry| entry.expect("an entry").file_name());
                names.collect::<Vec<_>>()
            };
            // Without a directory from the host, the plugin takes the one of the system.
            let run = || host(peers, runtime, tls).env("TMPDIR", dir.path());
            for death in [life::Death::Exit, life::Death::Kill] {
                let plugin = life::host_death_of(run(), death);
                let promptly = Wait(Duration::from_secs(5));
                assert!(wait_until_gone(plugin, promptly), "{runtime}: {death:?}");
                assert_eq!(left(), [""; 0], "{runtime}: {death:?}");
            }
            let mut host = run().command("broker", &[]);
            // The host's own value would win over the plugin's.
            let ended = run_to_end(host.env_remove("TMPDIR"), Wait::default().0 * 4);
            let found = String::from_utf8_lossy(&ended.stdout);
            assert!(ended.status.success(), "{found}");
            assert_eq!(left(), [""; 0], "{runtime}");
        }
    }
}
