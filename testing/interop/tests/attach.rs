//! Hosts that attach to what runs already: Go's to plugins in Rust and the other way round, over gRPC and
//! net/rpc, unix sockets and TCP, to what a host has launched and to what a test serves.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use outboard::netrpc::{Instance, Value};
use outboard::rt::SharedRuntime;
use outboard::{
    AttachError, ExitReason, Host, HostError, NetRpc, Protocol, ReattachConfig, RunningPlugin,
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
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, outboard::Status> {
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

/// Calls, live interfaces and health over gRPC.
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
        counter.put(put).await.expect("the plugin calls it");
    }
    assert_eq!(counter.get(get()).await.expect("get").value, before + 11);
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
    let run = || HostRun::new(peers, &[]).flag(&format!("-reattach={}", record.to_json()));
    let scenarios = [
        "counter", "broker", "echo", "deadline", "metadata", "streams", "health",
    ];
    for scenario in scenarios {
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
        for scenario in ["talk", "broker", "streams"] {
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
    for (peer, end) in [(Peer::rust(PLUGIN), true), (Peer::go(peers), true)] {
        on(RuntimeKind::Tokio, async |runtime| {
            let first = peer.host(&["all"]).start(runtime).await.expect("it starts");
            let record = first.reattach_config().expect("it listens");
            assert!(!record.test);
            let run = HostRun::new(peers, &[]).flag(&format!("-reattach={}", record.to_json()));
            let found = outboard_kit::elsewhere(move || run.expect("broker", &[])).await;
            assert_eq!(found["kill"]["exited"], end, "{found:#}");
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
