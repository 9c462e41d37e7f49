//! A Rust plugin over net/rpc under go-plugin's host, on each runtime, with and without AutoMTLS. The
//! scenarios are those of `go/cmd/go-netrpc-peer`, and the same with its plugin show that what is expected
//! is Go's own.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outboard_conformance::axes::RuntimeKind;
use outboard_interop::{go, run_to_end};
use serde_json::{Value, json};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-netrpc-peer");

/// Longer than any scenario takes on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(120);

/// A Go host with a plugin.
struct Pair {
    name: String,
    host: Command,
    is_go: bool,
    /// Where all sockets are.
    dir: tempfile::TempDir,
}

/// What the Go host says of a scenario: each line's name, and its value or `error: …`.
type Lines = Vec<(String, Value)>;

impl Pair {
    fn new(host: &Path, plugin: &Path, how: (&str, &str), on: (Option<RuntimeKind>, bool)) -> Self {
        let ((scenario, mode), (runtime, tls)) = (how, on);
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(host);
        command.arg("host");
        if tls {
            command.arg("-automtls");
        }
        if let Some((name, versions)) = scenario.split_once('=') {
            command.arg(format!("-{name}={versions}")).arg(name);
        } else {
            command.arg(scenario);
        }
        command.arg("--").arg(plugin).arg(mode);
        command.env("TMPDIR", dir.path());
        if let Some(runtime) = runtime {
            command.env("INTEROP_RUNTIME", runtime.to_string());
        }
        Self {
            name: format!("{scenario} {mode}: {runtime:?}, AutoMTLS {tls}"),
            host: command,
            is_go: runtime.is_none(),
            dir,
        }
    }

    fn run(mut self) -> Lines {
        let output = run_to_end(&mut self.host, LIMIT);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}\n{stderr}", self.name);
        let left = std::fs::read_dir(self.dir.path()).expect("it").count();
        // One that is killed leaves its socket.
        let is_killed = self.is_go || told.contains("by force");
        assert!(is_killed || left == 0, "{}: {left} are left", self.name);
        let lines = told.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let what = line["what"].as_str().expect("a text").to_owned();
            match line["error"].as_str() {
                Some(error) => (what, json!(format!("error: {error}"))),
                None => (what, line["value"].clone()),
            }
        });
        lines.collect()
    }
}

/// Runs a scenario with a plugin of Go's, and with one of ours on each runtime, with and without AutoMTLS.
fn each(scenario: &str, mode: &str, check: impl Fn(&str, bool, Lines)) {
    with_go(scenario, mode, &check);
    with_rust(scenario, mode, &check);
}

fn with_go(scenario: &str, mode: &str, check: impl Fn(&str, bool, Lines)) {
    let Some(peers) = go() else { return };
    let how = (scenario, mode);
    let pair = Pair::new(&peers.netrpc, &peers.netrpc, how, (None, false));
    check(&pair.name.clone(), true, pair.run());
}

fn with_rust(scenario: &str, mode: &str, check: impl Fn(&str, bool, Lines)) {
    let Some(peers) = go() else { return };
    for runtime in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        for tls in [false, true] {
            let (how, on) = ((scenario, mode), (Some(runtime), tls));
            let pair = Pair::new(&peers.netrpc, PLUGIN.as_ref(), how, on);
            check(&pair.name.clone(), false, pair.run());
        }
    }
}

/// The lines as expected; of an error in each side's own words only that it is one.
fn assert_lines(pair: &str, lines: &[(String, Value)], expected: &[(&str, Value)]) {
    let names: Vec<_> = lines.iter().map(|(what, _)| what.as_str()).collect();
    let wanted: Vec<_> = expected.iter().map(|(what, _)| *what).collect();
    assert_eq!(names, wanted, "{pair}: {lines:#?}");
    for ((what, found), (_, value)) in lines.iter().zip(expected) {
        if value == "error" {
            let text = found.as_str().expect("an error");
            assert!(text.starts_with("error: "), "{pair}: {what}: {found}");
        } else {
            assert_eq!(found, value, "{pair}: {what}");
        }
    }
}

/// How a plugin ends that is asked to: Go's may die before it has answered.
fn assert_ended(pair: &str, is_go: bool, lines: &mut Lines) {
    let (what, how) = lines.pop().expect("the last line");
    assert_eq!(what, "ended", "{pair}");
    assert!(is_go || how == "by itself", "{pair}: {how}");
}

/// Ping, dispensing, calls, errors and output; two instances at once, one of which is closed while the
/// other is at work; answers in any order, and a hundred calls at once.
#[test]
fn talk() {
    each("talk", "plain", |pair, is_go, mut lines| {
        assert_ended(pair, is_go, &mut lines);
        let instance = || {
            [
                ("greet", json!("Hello!")),
                ("double", json!(42)),
                ("error", json!("error: it is too large")),
                ("nope", json!("error: rpc: can't find method Plugin.Nope")),
                (
                    "other",
                    json!("error: rpc: can't find service Other.Double"),
                ),
                ("misfit", json!("error")),
                ("mirror", json!({"X": -1, "Y": 0})),
                ("map", json!("k=v")),
                ("echo", json!(1 << 20)),
                ("many", json!(100)),
                ("order", json!("210")),
                ("print", json!(null)),
            ]
        };
        let mut expected = vec![("ping", json!(null)), ("unknown", json!("error"))];
        expected.extend(instance());
        expected.push(("second", json!("second")));
        expected.extend(instance());
        let printed = json!("printed\nprinted\n");
        expected.extend([("printed", printed.clone()), ("printed", printed)]);
        assert_lines(pair, &lines, &expected);
    });
}

/// An interface that holds nothing, for a method that there is not. A plugin of go-plugin hangs.
#[test]
fn nil_for_an_unknown_method() {
    with_rust("nil-unknown", "plain", |pair, is_go, mut lines| {
        assert_ended(pair, is_go, &mut lines);
        let nope = json!("error: rpc: can't find method Plugin.Nope");
        assert_lines(pair, &lines, &[("nope", nope), ("greet", json!("Hello!"))]);
    });
}

/// The broker in both directions, and ids that nobody serves.
#[test]
fn broker() {
    each("broker", "plain", |pair, is_go, mut lines| {
        assert_ended(pair, is_go, &mut lines);
        let expected = [
            ("dial", json!("from the host")),
            ("callback", json!(42)),
            ("serve", json!(8)),
            ("nobody there", json!("error")),
            ("nobody here", json!("error")),
            ("greet", json!("Hello!")),
        ];
        assert_lines(pair, &lines, &expected);
    });
}

/// A hundred MiB each way, beside a stream that nobody reads meanwhile.
#[test]
fn streams() {
    each("streams", "plain", |pair, is_go, mut lines| {
        assert_ended(pair, is_go, &mut lines);
        let (fast, slow) = (json!(100 << 20), json!(4 << 20));
        let expected = [
            ("fast here", fast.clone()),
            ("slow here", slow.clone()),
            ("fast there", fast),
            ("slow there", slow),
        ];
        assert_lines(pair, &lines, &expected);
    });
}

/// The plugin ends in mid-call.
#[test]
fn crash() {
    each("crash", "plain", |pair, _, mut lines| {
        let _how = lines.pop();
        let expected = [
            ("asked", json!("error")),
            ("waiting", json!("error")),
            ("exit", json!("exit status 7")),
        ];
        assert_lines(pair, &lines, &expected);
    });
}

/// The host ends it in mid-call: it has answered the request to quit, and ended by itself.
#[test]
fn kill_in_mid_call() {
    each("kill", "plain", |pair, is_go, mut lines| {
        assert_ended(pair, is_go, &mut lines);
        let killed = lines.remove(0);
        assert!(
            is_go || killed == ("killed".into(), json!("by itself")),
            "{pair}: {killed:?}"
        );
        assert_lines(pair, &lines, &[("waiting", json!("error"))]);
    });
}

/// Twenty plugins of ours answer the request to quit before they exit, and end by themselves.
#[test]
fn quit_is_answered_every_time() {
    with_rust("quit", "plain", |pair, _, lines| {
        let ends = &lines[0];
        assert_eq!(
            *ends,
            ("ends".to_owned(), json!({"by itself": 20})),
            "{pair}"
        );
    });
}

/// One that does not end is killed.
#[test]
fn does_not_end() {
    each("linger", "linger", |pair, _, lines| {
        let killed = ("killed".to_owned(), json!("by force"));
        assert_eq!(lines[0], killed, "{pair}");
    });
}

/// What is printed between calls, a MiB at once, and right before the end; ours also has what was printed
/// before it served.
#[test]
fn output() {
    each("output", "prints", |pair, is_go, mut lines| {
        assert_ended(pair, is_go, &mut lines);
        if is_go {
            // Its end may overtake what it printed last.
            let before = ("before".to_owned(), json!(true));
            assert_eq!(lines[2], before, "{pair}");
            return;
        }
        let printed = |lines: &[&str]| json!({"lines": lines, "many": 1 << 14});
        let stdout = printed(&["before, on stdout", "between", "last"]);
        // What it says on stderr before it serves is in the log.
        let stderr = printed(&["between", "last"]);
        let before = json!(true);
        let expected = [("stdout", stdout), ("stderr", stderr), ("before", before)];
        assert_lines(pair, &lines, &expected);
    });
}

/// The records of its log, with their levels and fields.
#[test]
fn logs() {
    each("logs", "plain", |pair, is_go, mut lines| {
        assert_ended(pair, is_go, &mut lines);
        let levels = ["trace", "debug", "info", "warn", "error"];
        let expected = levels.map(|level| {
            let record = json!({"@level": level, "count": 7, "text": "a b", "flag": true});
            ("record", record)
        });
        assert_lines(pair, &lines, &expected);
    });
}

/// Version 1 over net/rpc and version 2 over gRPC, and hosts that have one, both, or another.
#[test]
fn versions() {
    for (offered, version, called) in [
        ("versions=1", 1, Some("net/rpc")),
        ("versions=2", 2, Some("gRPC")),
        ("versions=1,2", 2, Some("gRPC")),
        ("versions=3", 3, None),
    ] {
        each(offered, "versions", |pair, is_go, mut lines| {
            if let Some(called) = called {
                assert_ended(pair, is_go, &mut lines);
                let expected = [("version", json!(version)), (called, json!(42))];
                assert_lines(pair, &lines, &expected);
            } else {
                let _how = lines.pop();
                assert_lines(pair, &lines, &[("refused", json!("error"))]);
            }
        });
    }
}
