//! TLS between outboard and itself, and against a process that is neither of the two.
#![cfg(unix)]

use std::time::Duration;

use outboard::tls::KeyKind;
use outboard::{Command, ConfigError, Handshake, Host, HostError, StartFailure, Status, Tokio};
use outboard_conformance::axes::RuntimeKind;
use outboard_interop::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, SumRequest, SumResponse,
};
use outboard_interop::proto::probe::{Nothing, Probe as _};
use outboard_interop::rust_host::{HANDSHAKE, Peer, end, run};
use outboard_interop::tls::on;
use outboard_interop::tls::pairs::{Kind, Sides, brokered, try_out, use_all};
use outboard_interop::{go, plugin_without_tls, run_to_end};
use outboard_kit::files::sockets_in;

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];

/// A time in which what should happen at once has happened, also on a busy machine.
const PROMPT: Duration = Duration::from_secs(8);

fn pairs_of_runtimes() -> impl Iterator<Item = (RuntimeKind, RuntimeKind)> {
    RUNTIMES
        .into_iter()
        .flat_map(|host| RUNTIMES.map(|plugin| (host, plugin)))
}

/// AutoMTLS on each pair of runtimes, with every kind of key on either side.
#[test]
fn auto_mtls() {
    for (host_on, plugin_on) in pairs_of_runtimes() {
        for (ours, theirs) in [
            (KeyKind::P256, "p256"),
            (KeyKind::P384, "ed25519"),
            (KeyKind::P521, "p384"),
            (KeyKind::Ed25519, "p521"),
        ] {
            let command = Peer::rust(PLUGIN)
                .command(&["all"])
                .env("INTEROP_RUNTIME", plugin_on.to_string())
                .env("INTEROP_TLS_KEY", theirs);
            let host = Host::new(HANDSHAKE).command(command);
            let host = host.auto_mtls(true).identity_key(ours);
            on(host_on, async |runtime| use_all(host, &runtime).await);
        }
    }
}

/// TLS of the application's own, in each of its versions, whoever of the two insists on it.
#[test]
fn own_tls() {
    let sides = Sides::default();
    for (host_on, plugin_on) in pairs_of_runtimes() {
        for (ours, theirs) in [
            (Some("1.2"), None),
            (Some("1.3"), None),
            (None, Some("1.2")),
        ] {
            let mut command = Peer::rust(PLUGIN)
                .command(&["all"])
                .env("INTEROP_RUNTIME", plugin_on.to_string());
            for (name, value) in sides.plugin(Kind::Own) {
                command = command.env(name, value);
            }
            if let Some(version) = theirs {
                command = command.env("INTEROP_TLS_VERSION", version);
            }
            let host = Host::new(HANDSHAKE).command(command);
            let host = sides.host(Kind::Own, host, ours);
            on(host_on, async |runtime| use_all(host, &runtime).await);
        }
    }
}

/// The same where every connection is a stream of one, secured by itself.
fn own_tls_in_streams(peer: &Peer, host_on: RuntimeKind, plugin_on: RuntimeKind) {
    let sides = Sides::default();
    let mut command = peer
        .command(&["all"])
        .env("INTEROP_RUNTIME", plugin_on.to_string());
    for (name, value) in sides.plugin(Kind::Own) {
        command = command.env(name, value);
    }
    let host = Host::new(HANDSHAKE).command(command).multiplex(true);
    let host = sides.host(Kind::Own, host, None);
    on(host_on, async |runtime| use_all(host, &runtime).await);
}

#[test]
fn own_tls_in_streams_of_rust_and_rust() {
    for (host_on, plugin_on) in pairs_of_runtimes() {
        own_tls_in_streams(&Peer::rust(PLUGIN), host_on, plugin_on);
    }
}

#[test]
fn own_tls_in_streams_of_rust_and_go() {
    let Some(peers) = go() else { return };
    for host_on in RUNTIMES {
        own_tls_in_streams(&Peer::go(peers), host_on, RuntimeKind::Tokio);
    }
}

#[test]
fn nine_pairs() {
    let sides = Sides::default();
    for runtime in RUNTIMES {
        for (host, plugin) in Kind::pairs() {
            sides.expect(runtime, &Peer::rust(PLUGIN), host, plugin);
        }
    }
}

/// A plugin that was built without TLS says so to a host that asks for it, and serves others.
#[test]
fn a_plugin_built_without_tls() {
    let plugin = plugin_without_tls();
    let host = || {
        let command = Command::new(&plugin).inherit_stdin(false);
        Host::new(Handshake::new(1, "GREETER_PLUGIN", "hello")).command(command)
    };
    run(async {
        let error = host().auto_mtls(true).start(Tokio::current()).await;
        let HostError::Start { error, .. } = error.expect_err("it has none") else {
            panic!("another error")
        };
        assert!(
            matches!(error.failure, StartFailure::Refused(_)),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains("AutoMTLS") && text.contains("feature \"tls\""),
            "{text}"
        );
        let plugin = host().start(Tokio::current()).await.expect("it serves");
        plugin.ping().await.expect("in the clear");
        end(plugin).await;
    });
}

/// Both kinds of TLS at once exclude each other, which is said before anything runs.
#[test]
fn two_kinds_of_tls() {
    let sides = Sides::default();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("ran");
    let command = Command::new("/bin/sh").arg("-c");
    let command = command.arg(format!("echo > {}", file.display()));
    let host = Host::new(HANDSHAKE).command(command).auto_mtls(true);
    let host = sides.host(Kind::Own, host, None);
    let error = run(async { host.start(Tokio::current()).await }).expect_err("both");
    assert!(
        matches!(error, HostError::Config(ConfigError::TwoKindsOfTls)),
        "{error:?}"
    );
    assert!(!file.exists());
}

struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        Ok(SumResponse {
            r: request.a + request.b,
        })
    }
}

/// Nobody but the two is served on any of their sockets: not the plugin's, nor those of the broker on
/// either side, not even a process of the same user, which may read what there is to be read of them.
/// The two go on as if nothing had been.
fn a_third_is_refused(peer: &Peer, host_on: RuntimeKind, plugin_on: RuntimeKind) {
    let dir = tempfile::tempdir().expect("a directory");
    let command = peer
        .command(&["all"])
        .env("INTEROP_RUNTIME", plugin_on.to_string());
    let host = Host::new(HANDSHAKE).command(command).auto_mtls(true);
    let host = host.socket_dir(dir.path());
    on(host_on, async |runtime| {
        let tried = try_out(host, &runtime).await;
        let (plugin, probe) = tried.unwrap_or_else(|why| panic!("it is of no use: {why:?}"));
        let served = plugin.broker().serve(AddHelperServer::new(Adder));
        let served = served.expect("the host serves");
        let accepted = probe.broker_accept(Nothing {}).await.expect("it serves");
        // A Go plugin tells the id before it listens: it does once it was dialled.
        let dialled = plugin.broker().dial::<AddHelperClient>(accepted.id).await;
        let theirs = dialled.expect("a dial");
        let sum = || theirs.sum(SumRequest { a: 1, b: 1 });
        assert_eq!(sum().await.expect("a sum").r, 2);
        let sockets = sockets_in(dir.path());
        assert_eq!(sockets.len(), 3, "{sockets:?}");
        let pid = plugin.pid().expect("it runs");
        // Any process of this user can read that.
        let variables = std::fs::read(format!("/proc/{pid}/environ")).expect("Linux");
        let told = variables
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"PLUGIN_CLIENT_CERT="));
        let known = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(known.path(), told.expect("it was told")).expect("written");
        let mut third = std::process::Command::new(PLUGIN);
        third.arg("knock").arg(known.path()).args(sockets);
        let ended = outboard_kit::elsewhere(move || run_to_end(&mut third, 4 * PROMPT)).await;
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{told}");
        assert_eq!(sum().await.expect("a sum").r, 2);
        brokered(&plugin, &probe).await;
        drop(served);
        let report = plugin.shutdown().await.expect("it ends by itself");
        assert!(report.exit.success(), "{report}");
    });
}

#[test]
fn a_third_process_beside_rust_and_rust() {
    for (host_on, plugin_on) in pairs_of_runtimes() {
        a_third_is_refused(&Peer::rust(PLUGIN), host_on, plugin_on);
    }
}

#[test]
fn a_third_process_beside_rust_and_go() {
    let Some(peers) = go() else { return };
    for host_on in RUNTIMES {
        a_third_is_refused(&Peer::go(peers), host_on, RuntimeKind::Tokio);
    }
}
