//! Hosts that attach to what runs already: Go's to plugins in Rust and the other way round, over gRPC and
//! net/rpc, unix sockets and TCP, to what a host has launched and to what a test serves.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use outboard::netrpc::{Instance, Value};
use outboard::rt::SharedRuntime;
use outboard::tls::{Identity, KeyKind};
use outboard::{
    AttachError, ExitReason, Host, HostError, NetRpc, Protocol, ReattachConfig, RunningPlugin,
    Status,
};
use outboard_conformance::axes::RuntimeKind;
use outboard_interop::proto::examples::{
    AddHelper, AddHelperServer, Counter as _, CounterClient, CounterGetRequest, CounterPutRequest,
    SumRequest, SumResponse,
};
use outboard_interop::proto::probe::{Payload, Probe as _, ProbeClient};
use outboard_interop::rust_host::{HANDSHAKE, Peer};
use outboard_interop::tls::on;
use outboard_interop::{GoPeers, HostRun, Wait, go, is_alive, run_to_end, wait_until_gone};
use tempfile::TempDir;

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");
const NETRPC: &str = env!("CARGO_BIN_EXE_rust-netrpc-peer");

/// A plugin that no host has launched, with its record. It goes with this.
struct ByHand {
    child: Child,
    record: ReattachConfig,
    dir: TempDir,
}

impl ByHand {
    fn start(program: impl AsRef<Path>, mode: &str, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(program.as_ref())
            .arg(mode)
            .current_dir(dir.path())
            .env("TMPDIR", dir.path())
            // Each of both knows its own.
            .env("INTEROP_TEST_MODE", "1")
            .env("OUTBOARD_DEBUG", "1")
            .env_remove("BASIC_PLUGIN")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        let record = ReattachConfig::from_json(&line).unwrap_or_else(|error| panic!("{error}"));
        assert!(record.test);
        assert_eq!(record.pid, Some(child.id()));
        Self { child, record, dir }
    }

    /// It runs, as no host may change.
    fn assert_untouched(&mut self) {
        assert!(self.child.try_wait().expect("a child").is_none());
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What the host lends to the plugin.
struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        let r = request.a + request.b;
        Ok(SumResponse { r })
    }
}

/// A Rust host attaches, and is let go of in this way.
async fn attach(runtime: &SharedRuntime, record: &ReattachConfig, dir: &Path) -> RunningPlugin {
    let host = Host::new(HANDSHAKE).socket_dir(dir).attach(record.clone());
    let host = match record.protocol {
        Protocol::NetRpc => host.transport(NetRpc::new()),
        _ => host,
    };
    let plugin = host.start(runtime.clone()).await;
    plugin.unwrap_or_else(|error| panic!("{record:?}: {error:?}"))
}

/// Calls and health over gRPC.
async fn use_grpc(plugin: &RunningPlugin) {
    plugin.ping().await.expect("it serves");
    let interfaces = plugin.interfaces().await.expect("it has reflection");
    assert!(
        interfaces.iter().any(|name| name == "proto.Counter"),
        "{interfaces:?}"
    );
    let probe: ProbeClient = plugin.dispense("probe").await.expect("no names are given");
    let data = vec![7; 1 << 20];
    let echoed = probe.echo(Payload { data: data.clone() }).await;
    assert!(echoed.expect("an answer").data == data);
}

/// Live interfaces over gRPC. A plugin of go-plugin has one broker for all its hosts, which is closed for
/// good with the first of their connections that ends.
async fn use_broker(plugin: &RunningPlugin) -> Result<(), Status> {
    let counter: CounterClient = plugin.dispense("counter").await.expect("the same");
    let key = || "count".to_owned();
    let get = || CounterGetRequest { key: key() };
    let before = counter.get(get()).await.map_or(0, |reply| reply.value);
    for value in [5, 6] {
        let helper = plugin.broker().serve(AddHelperServer::new(Adder));
        let helper = helper.expect("the host serves");
        let put = CounterPutRequest {
            add_server: helper.id(),
            key: key(),
            value,
        };
        counter.put(put).await?;
    }
    assert_eq!(counter.get(get()).await.expect("get").value, before + 11);
    Ok(())
}

/// Calls over net/rpc.
async fn use_netrpc(plugin: &RunningPlugin) {
    plugin.ping().await.expect("it serves");
    for _ in 0..2 {
        let greeter: Instance = plugin.dispense("greeter").await.expect("it is provided");
        let text: String = greeter
            .call("Plugin.Greet", &Value::Nil)
            .await
            .expect("a text");
        assert_eq!(text, "Hello!");
        let doubled: i64 = greeter.call("Plugin.Double", &21).await.expect("a number");
        assert_eq!(doubled, 42);
    }
}

async fn use_it(plugin: &RunningPlugin) {
    match plugin.protocol() {
        Protocol::NetRpc => use_netrpc(plugin).await,
        _ => use_grpc(plugin).await,
    }
}

/// Rust hosts, one after another and two at once, use a plugin that is a test's.
fn used_by_rust(mut plugin: ByHand) {
    let is_rust = plugin.record.started.is_some();
    let mut first = true;
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        let (record, dir) = (&plugin.record, plugin.dir.path());
        on(kind, async |runtime| {
            for _ in 0..2 {
                let one = attach(&runtime, record, dir).await;
                let two = attach(&runtime, record, dir).await;
                assert_eq!(
                    one.negotiated_version(),
                    record.version.expect("Go's have one")
                );
                use_it(&one).await;
                use_it(&two).await;
                if record.protocol == Protocol::Grpc {
                    let used = use_broker(&one).await;
                    assert_eq!(used.is_ok(), is_rust || first, "{used:?}");
                }
                first = false;
                assert_eq!(one.detach().await.reason, ExitReason::Released);
                use_it(&two).await;
                let report = two.shutdown().await.expect("it lets go of it");
                assert_eq!(report.reason, ExitReason::Released, "{report}");
            }
        });
        plugin.assert_untouched();
    }
}

#[test]
fn a_rust_host_attaches_to_go_in_test_mode() {
    let Some(peers) = go() else { return };
    used_by_rust(ByHand::start(&peers.plugin, "all", &[]));
}

#[test]
fn a_rust_host_attaches_to_go_over_net_rpc() {
    let Some(peers) = go() else { return };
    used_by_rust(ByHand::start(&peers.netrpc, "plain", &[]));
}

#[test]
fn a_rust_host_attaches_to_rust_over_net_rpc_and_tcp() {
    used_by_rust(ByHand::start(NETRPC, "plain", &[]));
    used_by_rust(ByHand::start(PLUGIN, "all", &[("INTEROP_TCP", "1")]));
}

/// A Go host attaches by this record, and does all of this.
fn used_by_go(peers: &GoPeers, record: &ReattachConfig) {
    let is_rust = record.started.is_some();
    let run = || HostRun::new(peers, &[]).flag(&format!("-reattach={}", record.to_json()));
    // Of go-plugin's own hosts only the first can use the broker of its plugins, see `use_broker`.
    let all = ["counter", "broker", "echo", "metadata", "streams", "health"];
    for scenario in all.into_iter().filter(|name| is_rust || *name != "broker") {
        let found = run().expect(scenario, &[]);
        assert_eq!(found["kill"]["exited"], false, "{scenario}: {found:#}");
    }
}

#[test]
fn a_go_host_attaches_to_rust_in_test_mode() {
    let Some(peers) = go() else { return };
    for kind in ["tokio", "smol"] {
        for more in [None, Some(("INTEROP_TCP", "1"))] {
            let variables: Vec<_> = more
                .into_iter()
                .chain([("INTEROP_RUNTIME", kind)])
                .collect();
            let mut plugin = ByHand::start(PLUGIN, "all", &variables);
            used_by_go(peers, &plugin.record);
            plugin.assert_untouched();
        }
    }
}

#[test]
fn go_does_the_same_with_its_own() {
    let Some(peers) = go() else { return };
    let mut plugin = ByHand::start(&peers.plugin, "all", &[]);
    used_by_go(peers, &plugin.record);
    plugin.assert_untouched();
}

#[test]
fn a_go_host_attaches_to_rust_over_net_rpc() {
    let Some(peers) = go() else { return };
    for kind in ["tokio", "smol"] {
        let mut plugin = ByHand::start(NETRPC, "plain", &[("INTEROP_RUNTIME", kind)]);
        for scenario in ["calls", "broker", "streams"] {
            let mut host = Command::new(&peers.netrpc);
            host.arg("host")
                .arg(format!("-reattach={}", plugin.record.to_json()));
            host.args([scenario, "--"]).env("TMPDIR", plugin.dir.path());
            let output = run_to_end(&mut host, Wait::default().0 * 3);
            let told = String::from_utf8_lossy(&output.stdout);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{scenario}: {told}\n{stderr}");
            assert!(told.contains("still there"), "{scenario}: {told}");
            plugin.assert_untouched();
        }
    }
}

/// What one host has launched is handed on to the next, which ends it.
#[test]
fn a_go_host_takes_over_what_a_rust_host_has_launched() {
    let Some(peers) = go() else { return };
    for (peer, scenario) in [(Peer::rust(PLUGIN), "broker"), (Peer::go(peers), "streams")] {
        on(RuntimeKind::Tokio, async |runtime| {
            let first = peer.host(&["all"]).start(runtime).await.expect("it starts");
            let record = first.reattach_config().expect("it listens");
            assert!(!record.test);
            let run = HostRun::new(peers, &[]).flag(&format!("-reattach={}", record.to_json()));
            let found = outboard_kit::elsewhere(move || run.expect(scenario, &[])).await;
            assert_eq!(found["kill"]["exited"], true, "{found:#}");
            assert_eq!(found["kill"]["forced"], false, "{found:#}");
            let report = first.exited().await;
            assert!(report.exit.success(), "{report}");
        });
    }
}

#[test]
fn a_rust_host_takes_over_what_a_go_host_has_launched() {
    let Some(peers) = go() else { return };
    for kill in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let plugin = [peers.plugin.clone().into(), "all".into()];
        let run = HostRun::new(peers, &plugin).dir(dir.path());
        let found = run.env("TMPDIR", dir.path()).expect("hand-on", &[]);
        let record = ReattachConfig::from_json(&found["record"].to_string()).expect("a record");
        let pid = record.pid.expect("Go tells it");
        // Go's hosts tell no version where the plugin is not a test's.
        assert_eq!(record.version, Some(0));
        on(RuntimeKind::Smol, async |runtime| {
            let plugin = attach(&runtime, &record, dir.path()).await;
            assert_eq!(plugin.negotiated_version(), 1, "the lowest of the host's");
            use_it(&plugin).await;
            let report = if kill {
                // It is known to be the one that listens at the record's socket.
                plugin.kill().await
            } else {
                plugin.shutdown().await.expect("in good order")
            };
            let expected = if kill {
                ExitReason::Killed
            } else {
                ExitReason::Shutdown
            };
            assert_eq!(report.reason, expected, "{report}");
        });
        assert!(
            wait_until_gone(pid, Wait::default()),
            "{pid} is still there"
        );
    }
}

/// Rounds of attaching, calling, passing interfaces and letting go leave a plugin as it was: its
/// descriptors, its threads and, to a small part, its memory. `OUTBOARD_ATTACH_ROUNDS` says how many.
#[test]
#[cfg(target_os = "linux")]
fn rounds_of_attaching_leave_a_plugin_as_it_was() {
    let rounds = std::env::var("OUTBOARD_ATTACH_ROUNDS");
    let rounds: u32 = rounds.map_or(300, |rounds| rounds.parse().expect("a number"));
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        let plugin = ByHand::start(PLUGIN, "all", &[("INTEROP_RUNTIME", &kind.to_string())]);
        let seen = || {
            let of = |what: &str| format!("/proc/{}/{what}", plugin.child.id());
            let count = |what| std::fs::read_dir(of(what)).expect("it runs").count();
            let status = std::fs::read_to_string(of("status")).expect("it runs");
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let resident = resident.and_then(|line| line.split_whitespace().next());
            let kib: usize = resident.expect("a size").parse().expect("a number");
            (count("fd"), count("task"), kib)
        };
        // Each batch has a runtime of its own, and the time that a scenario has.
        let batch = |rounds: u32, until: &dyn Fn() -> bool| {
            on(kind, async |runtime| {
                let round = async || {
                    let attached = attach(&runtime, &plugin.record, plugin.dir.path()).await;
                    let probe: ProbeClient = attached.dispense("probe").await.expect("it is there");
                    let data = b"round".to_vec();
                    let echoed = probe.echo(Payload { data: data.clone() }).await;
                    assert_eq!(echoed.expect("an answer").data, data);
                    use_broker(&attached).await.expect("it has one of its own");
                    assert_eq!(attached.detach().await.reason, ExitReason::Released);
                };
                for _ in 0..rounds {
                    round().await;
                }
                while !until() {
                    round().await;
                }
            });
        };
        // What is made once is made by then.
        batch(100, &|| true);
        let (descriptors, threads, before) = seen();
        for done in (0..rounds).step_by(300) {
            batch((rounds - done).min(300), &|| true);
        }
        // The last connection may be about to be closed.
        batch(0, &|| seen().0 <= descriptors && seen().1 <= threads);
        let (_, _, after) = seen();
        println!("{kind}: {rounds} rounds, {before} KiB before, {after} KiB after");
        assert!(
            after < before + 4096,
            "{before} KiB before, {after} KiB after"
        );
        let left = std::fs::read_dir(plugin.dir.path()).expect("it").count();
        // Its socket, and the file of the counter.
        assert!(left <= 2, "{left}");
    }
}

/// With certificates that host and plugin have made for each other, the next host has the first one's
/// identity, or is refused before anything is done.
#[test]
fn a_host_attaches_to_what_is_secured_by_the_first_ones_identity() {
    let Some(peers) = go() else { return };
    let identity = || {
        let made = Identity::generate_pem(KeyKind::P256, SystemTime::now());
        made.expect("a key can be made")
    };
    for (peer, is_rust) in [(Peer::rust(PLUGIN), true), (Peer::go(peers), false)] {
        for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
            let (secret, other) = (identity(), identity());
            let dir = tempfile::tempdir().expect("a directory");
            let known = |text: &str| Identity::from_pem(text).expect("it was just written");
            on(kind, async |runtime| {
                let command = peer.command(&["all"]).current_dir(dir.path());
                let host = peer.host(&[]).command(command).identity(known(&secret));
                let first = host.start(runtime.clone()).await.expect("it starts");
                let record = first.reattach_config().expect("it listens");
                let text = record.to_json();
                let key = secret
                    .split("-----BEGIN PRIVATE KEY-----\n")
                    .nth(1)
                    .expect("a key");
                assert!(
                    !text.contains(key.lines().next().expect("a line")),
                    "{text}"
                );
                let record = ReattachConfig::from_json(&text).expect("it was just written");
                let attach = |record| Host::new(HANDSHAKE).attach(record);
                let second = attach(record.clone()).identity(known(&secret));
                let second = second.start(runtime.clone()).await.expect("it is the same");
                use_grpc(&second).await;
                if is_rust {
                    use_broker(&second).await.expect("it has one of its own");
                }
                second.detach().await;
                use_grpc(&first).await;

                let refused = async |host: Host| match host.start(runtime.clone()).await {
                    Err(HostError::Attach { error, .. }) => *error,
                    other => panic!("{other:?}"),
                };
                let error = refused(attach(record.clone())).await;
                assert_eq!(error, AttachError::NoIdentity);
                let mut bare = record.clone();
                bare.certificate = None;
                let error = refused(attach(bare).identity(known(&secret))).await;
                assert_eq!(error, AttachError::NoCertificate);
                // The plugin takes nobody for its host that has another identity.
                let stranger = attach(record.clone()).identity(known(&other));
                let stranger = stranger.reconnect_within(Duration::ZERO);
                if let Ok(stranger) = stranger.start(runtime.clone()).await {
                    stranger.ping().await.expect_err("it is a stranger");
                    stranger.detach().await;
                }
                use_grpc(&first).await;
                first.shutdown().await.expect("in good order");
            });
        }
    }
}

/// A record of what has ended is refused as stale, by number and by socket.
#[test]
fn what_has_ended_is_told_as_that() {
    let Some(peers) = go() else { return };
    let plugin = ByHand::start(&peers.plugin, "all", &[]);
    let (record, pid) = (plugin.record.clone(), plugin.child.id());
    drop(plugin);
    assert!(!is_alive(pid));
    on(RuntimeKind::Tokio, async |runtime| {
        let host = Host::new(HANDSHAKE).attach(record.clone());
        match host.start(runtime.clone()).await {
            Err(HostError::Attach { error, .. }) => {
                assert_eq!(*error, AttachError::NoProcess { pid });
            }
            other => panic!("{other:?}"),
        }
        let mut without = record.clone();
        without.pid = None;
        let host = Host::new(HANDSHAKE).attach(without);
        match host.start(runtime).await {
            Err(HostError::Attach { error, .. }) => {
                assert!(matches!(*error, AttachError::NobodyListens(_)), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    });
}
