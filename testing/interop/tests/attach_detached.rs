//! What a detached plugin in Rust prints and logs while no host is there, and who gets it: a host in Go and one
//! in Rust, over gRPC and net/rpc.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;

use outboard::hclog::{Missing, Record};
use outboard::{ExitReason, Host, NetRpc, Protocol, ReattachConfig, RunningPlugin};
use outboard_conformance::axes::RuntimeKind;
use outboard_conformance::orders::Orders;
use outboard_conformance::watched::{Sink, Watched};
use outboard_core::hclog;
use outboard_interop::rust_host::HANDSHAKE;
use outboard_interop::tls::on;
use outboard_interop::{HostRun, Wait, go, run_to_end, wait_until_gone};
use tempfile::TempDir;

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");
const NETRPC: &str = env!("CARGO_BIN_EXE_rust-netrpc-peer");

/// Far more lines than the plugin keeps.
const LINES: usize = 2000;
const KEPT: &str = "16384";

/// A plugin that its host has left, after which it has said [`LINES`] lines.
struct Left {
    record: ReattachConfig,
    dir: TempDir,
}

impl Left {
    fn new(kind: RuntimeKind, program: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let orders = Orders::new(dir.path());
        let mode = if program == NETRPC { "plain" } else { "all" };
        let record = on(kind, async |runtime| {
            let command = outboard::Command::new(program)
                .arg(mode)
                .env("INTEROP_RUNTIME", kind.to_string())
                .env("INTEROP_OUTLIVE", KEPT)
                .env("INTEROP_ORDERS", orders.path())
                .outlive_host(true)
                .inherit_stdin(false);
            let host = Host::new(HANDSHAKE).command(command).socket_dir(dir.path());
            let host = if program == NETRPC {
                host.transport(NetRpc::new())
            } else {
                host
            };
            let first = host.start(runtime).await.expect("it starts");
            let record = first.reattach_config().expect("it listens");
            assert_eq!(first.detach().await.reason, ExitReason::Released);
            record
        });
        orders.give(LINES, "all");
        Self { record, dir }
    }

    fn assert_gone(&self) {
        let pid = self.record.pid.expect("it is known");
        assert!(wait_until_gone(pid, Wait::default()), "{pid} is there");
    }
}

/// The newest lines, without a gap, of which so many are missing; but for some of the log that are outboard's
/// own.
fn assert_newest(text: &str, what: &str, missing: u64) {
    let counted = usize::try_from(missing).expect("few");
    let first = text.lines().next().and_then(|line| line.split_once(' '));
    let missing: usize = first.expect("a line").1.parse().expect("a number");
    let others = if what == "record" { 10 } else { 0 };
    // What was on its way to the first host when that let go is not known to be missing.
    let counted = counted.saturating_sub(others)..counted + 500;
    assert!(counted.contains(&missing), "{what}: {counted:?}, {missing}");
    assert!((500..LINES - 50).contains(&missing), "{missing}");
    let expected: String = (missing..LINES).map(|n| format!("{what} {n}\n")).collect();
    assert!(text == expected, "{what}, without {missing}: {text}");
}

/// What a host has got that knows no log of its own: the newest, with a line before it that says what is missing, and
/// each record a line.
fn assert_mixed(stdout: &str, stderr: &str) {
    let mut printed = String::new();
    let mut logged = String::new();
    let mut missing = None;
    for line in stderr.lines() {
        if !line.starts_with('{') {
            printed.push_str(&format!("{line}\n"));
            continue;
        }
        let record = hclog::parse(line.as_bytes());
        assert_eq!(record.kind, hclog::Kind::Structured, "{line}");
        if let Some(told) = Missing::of(&record) {
            assert_eq!(
                (&*printed, &*logged, missing),
                ("", "", None),
                "it is first"
            );
            missing = Some(told);
        } else if record.message.starts_with("record ") {
            logged.push_str(&format!("{}\n", record.message));
        }
    }
    let missing = missing.expect("it is told");
    assert_newest(stdout, "out", missing.stdout.lines);
    assert_newest(&printed, "err", missing.stderr.lines);
    assert_newest(&logged, "record", missing.log.lines);
}

#[test]
fn a_go_host_gets_the_newest_of_what_nobody_took() {
    let Some(peers) = go() else { return };
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        let left = Left::new(kind, PLUGIN);
        let record = left.record.to_json();
        let run = HostRun::new(peers, &[]).flag(&format!("-reattach={record}"));
        let last = format!("last={}", LINES - 1);
        let found = run.expect("missed", &[&last]);
        let text = |what: &str| found[what].as_str().expect("text").to_owned();
        assert_mixed(&text("stdout"), &text("stderr"));
        assert_eq!(found["kill"]["forced"], false, "{found:#}");
        left.assert_gone();
    }
}

#[test]
fn a_go_host_gets_it_over_net_rpc() {
    let Some(peers) = go() else { return };
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        let left = Left::new(kind, NETRPC);
        let mut host = Command::new(&peers.netrpc);
        host.arg("host")
            .arg(format!("-reattach={}", left.record.to_json()));
        host.args(["missed", "--"]).env("TMPDIR", left.dir.path());
        let output = run_to_end(&mut host, Wait::default().0 * 3);
        let told = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}\n{stderr}");
        let text = |what: &str| {
            let lines = told
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"));
            let mut found = lines.filter(|line: &serde_json::Value| line["what"] == what);
            let found = found.next().expect("it is said");
            found["value"].as_str().expect("text").to_owned()
        };
        assert_mixed(&text("stdout"), &text("stderr"));
        left.assert_gone();
    }
}

/// A Rust host that attaches, and what it gets.
async fn attach(
    runtime: outboard::rt::SharedRuntime,
    record: &ReattachConfig,
    dir: &Path,
) -> (
    RunningPlugin,
    [Sink; 2],
    std::sync::Arc<Watched<Vec<Record>>>,
) {
    let sinks = [Sink::default(), Sink::default()];
    let records = std::sync::Arc::new(Watched::<Vec<Record>>::default());
    let told = std::sync::Arc::clone(&records);
    let host = Host::new(HANDSHAKE)
        .attach(record.clone())
        .socket_dir(dir)
        .sync_stdout(sinks[0].writer())
        .sync_stderr(sinks[1].writer())
        .on_log(move |record| told.change(|all| all.push(record.clone())));
    let host = match record.protocol {
        Protocol::NetRpc => host.transport(NetRpc::new()),
        _ => host,
    };
    let plugin = host.start(runtime).await.expect("it is there");
    (plugin, sinks, records)
}

/// Over net/rpc there are two streams and no more: the log is on that of stderr.
#[test]
fn a_rust_host_gets_it_over_net_rpc() {
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        let left = Left::new(kind, NETRPC);
        on(kind, async |runtime| {
            let (plugin, [stdout, stderr], records) =
                attach(runtime, &left.record, left.dir.path()).await;
            let stdout = stdout.until_contains(&format!("out {}\n", LINES - 1)).await;
            // A record is there at once, and a print when it was read.
            let last = [
                format!("err {}\n", LINES - 1),
                format!("record {}\"", LINES - 1),
            ];
            let all = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                last.iter().all(|last| text.contains(last))
            };
            let stderr = String::from_utf8(stderr.until(all).await).expect("text");
            assert_mixed(&stdout, &stderr);
            assert_eq!(records.change(|all| all.len()), 0);
            plugin.shutdown().await.expect("in good order");
        });
        left.assert_gone();
    }
}

/// A plugin that a Go host has launched, and left.
#[test]
fn a_rust_host_gets_what_came_after_a_go_host() {
    let Some(peers) = go() else { return };
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        let dir = tempfile::tempdir().expect("a directory");
        let orders = Orders::new(dir.path());
        let plugin = [PathBuf::from(PLUGIN).into(), "all".into()];
        let run = HostRun::new(peers, &plugin)
            .dir(dir.path())
            .env("TMPDIR", dir.path())
            .env("INTEROP_RUNTIME", kind.to_string())
            .env("INTEROP_OUTLIVE", KEPT)
            .env("INTEROP_ORDERS", orders.path());
        let found = run.expect("hand-on", &[]);
        let record = ReattachConfig::from_json(&found["record"].to_string()).expect("a record");
        orders.give(LINES, "all");
        on(kind, async |runtime| {
            let (plugin, [stdout, stderr], records) = attach(runtime, &record, dir.path()).await;
            let last = format!("record {}", LINES - 1);
            let all = records.until(|all| {
                let last = all.last().is_some_and(|record| record.message == last);
                last.then(|| all.clone())
            });
            let mut all = all.await;
            // All else was said before it.
            let stdout = stdout.until_contains(&format!("out {}\n", LINES - 1)).await;
            let stderr = stderr.until_contains(&format!("err {}\n", LINES - 1)).await;
            let missing = Missing::of(&all.remove(0)).expect("it is told");
            all.retain(|record| record.message.starts_with("record "));
            assert_newest(&stdout, "out", missing.stdout.lines);
            assert_newest(&stderr, "err", missing.stderr.lines);
            let logged: String = all.iter().map(|r| format!("{}\n", r.message)).collect();
            assert_newest(&logged, "record", missing.log.lines);
            plugin.shutdown().await.expect("in good order");
        });
        let pid = record.pid.expect("Go tells it");
        assert!(wait_until_gone(pid, Wait::default()), "{pid} is there");
    }
}
