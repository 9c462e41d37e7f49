//! Plugins over stdio under an outboard host, among them one in Python that was written from
//! `docs/stdio-protocol.md`; and how a host that speaks stdio gets on with plugins that do not.
#![cfg(unix)]

use outboard::hclog::Level;
use outboard::{Code, ExitReason, H2, Handshake, Host, HostError, StartFailure, Stdio, Tokio};
use outboard_interop::proto::examples::{
    Counter as _, CounterClient, CounterPutRequest, GetRequest, Kv as _, KvClient, PutRequest,
};
use outboard_interop::rust_host::recorder::Recorder;
use outboard_interop::rust_host::{HANDSHAKE, Peer, calls, end, life, output, run, services};
use outboard_interop::scenarios::{self, Subject};
use outboard_interop::{go, is_alive, kill, python, python_stdio};
use outboard_kit::files::sockets_in;

const RUST: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// Gives a host both transports, in an order of preference.
type Choose = fn(Host) -> Host;

/// Both orders, each with the number of sockets that a plugin with both transports then has.
const BOTH_WAYS: [(Choose, usize); 2] = [
    (|host| host.transport(Stdio::new()).transport(H2::new()), 0),
    (|host| host.transport(H2::new()).transport(Stdio::new()), 1),
];

/// Puts and gets a value with a plugin, and counts its sockets meanwhile.
async fn sockets_in_use(host: Host, mark: &str) -> usize {
    let dir = tempfile::tempdir().expect("a directory");
    let host = host.socket_dir(dir.path());
    let plugin = host.start(Tokio::current()).await.expect("a plugin");
    let kv: KvClient = plugin.dispense("kv").await.expect("a client");
    // The plugin keeps its files in the working directory, which it shares with this test.
    let key = format!("of_{mark}_{}", std::process::id());
    let value = b"world".to_vec();
    let put = PutRequest {
        key: key.clone(),
        value,
    };
    kv.put(put).await.expect("put");
    let reply = kv.get(GetRequest { key: key.clone() }).await.expect("get");
    assert!(reply.value.starts_with(b"world"));
    std::fs::remove_file(format!("kv_{key}")).expect("the plugin wrote it");
    let sockets = sockets_in(dir.path()).len();
    end(plugin).await;
    sockets
}

/// Why a host does not start.
async fn refused(host: Host) -> (StartFailure, String) {
    let error = host.start(Tokio::current()).await;
    let error = error.expect_err("they have no transport in common");
    let text = format!("{error:?}");
    match error {
        HostError::Start { error, .. } => (error.failure, text),
        other => panic!("{other:?}"),
    }
}

/// One test per scenario, each with the Rust plugin and, if it has the service, the Python one.
macro_rules! scenarios {
    ($(rust: $($module:ident::$name:ident)*; python: $($also:ident::$of_python:ident)*;)*) => {
        mod rust_plugin {
            use super::*;
            $($(
                #[test]
                fn $name() {
                    $module::$name(&Peer::rust(RUST).over_stdio());
                }
            )*)*
        }
        mod python_plugin {
            use super::*;
            $($(
                #[test]
                fn $of_python() {
                    if let Some(peer) = python_stdio() {
                        $also::$of_python(&Peer::python(&peer));
                    }
                }
            )*)*
        }
    };
}

scenarios! {
    rust: services::kv services::negotiated services::incompatible_version services::counter
        services::streamer calls::status calls::streams calls::metadata output::stdio
        output::logs life::crash life::shutdown life::killed;
    python: services::kv services::counter services::streamer;
}

/// The one that the host named first is used, whichever comes first in the plugin.
#[test]
fn the_hosts_first_choice_counts() {
    run(async {
        for (choose, sockets) in BOTH_WAYS {
            let host = choose(Peer::rust(RUST).host(&["kv"]));
            assert_eq!(sockets_in_use(host, "rust").await, sockets);
        }
    });
}

/// Told nothing, a host is as go-plugin's, also where stdio is compiled in.
#[test]
fn by_default_a_host_speaks_grpc() {
    run(async {
        let host = Peer::rust(RUST).host(&["kv"]);
        assert_eq!(sockets_in_use(host, "default").await, 1);
    });
}

/// A host that would like stdio takes gRPC where the plugin has nothing else.
#[test]
fn a_go_plugin_is_fallen_back_to() {
    let Some(peers) = go() else { return };
    run(async {
        for (choose, _) in BOTH_WAYS {
            let host = choose(Peer::go(peers).host(&["kv"]));
            assert_eq!(sockets_in_use(host, "go").await, 1);
        }
    });
}

/// A plugin that was told of both speaks the only one it has.
#[test]
fn a_python_plugin_over_stdio_is_found_by_both() {
    let Some(peer) = python_stdio() else { return };
    run(async {
        for (choose, _) in BOTH_WAYS {
            let host = Host::new(HANDSHAKE).command(Peer::python(&peer).command(&[]));
            assert_eq!(sockets_in_use(choose(host), "python").await, 0);
        }
    });
}

/// A host of stdio alone refuses a plugin of gRPC with the names of both.
#[test]
fn stdio_alone_does_not_get_on_with_grpc_alone() {
    let mut plugins = Vec::new();
    if let Some(peers) = go() {
        plugins.push(Peer::go(peers).command(&["all"]));
    }
    if let Some(peer) = python() {
        let command = peer.command(&[]);
        let (program, arguments) = command.split_first().expect("a program");
        plugins.push(outboard::Command::new(program).args(arguments));
    }
    run(async {
        for command in plugins {
            let host = Host::new(HANDSHAKE)
                .command(command)
                .transport(Stdio::new());
            let (failure, text) = refused(host).await;
            assert!(matches!(failure, StartFailure::Handshake(_)), "{text}");
            for part in ["\"grpc\"", "\"stdio\""] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    });
}

/// And the other way round: the plugin says why it does not serve, and the host passes it on.
#[test]
fn grpc_alone_does_not_get_on_with_stdio_alone() {
    let Some(peer) = python_stdio() else { return };
    run(async {
        let host = Host::new(HANDSHAKE).command(Peer::python(&peer).command(&[]));
        let (_, text) = refused(host.transport(H2::new())).await;
        assert!(text.contains("speaks the stdio protocol alone"), "{text}");
        assert!(text.contains("status 1"), "{text}");
    });
}

/// One program, built with both transports: over stdio for a Rust host, over gRPC for a Go host.
#[test]
fn the_same_plugin_serves_a_go_host_too() {
    let Some(peers) = go() else { return };
    services::kv(&Peer::rust(RUST).over_stdio());
    scenarios::services::kv(&Subject {
        peers,
        command: vec![RUST.into()],
        put_note: "\n\nWritten from plugin-rust",
    });
}

/// What the Python plugin prints on its stderr is its log, and its own refusal is passed on.
#[test]
fn the_python_plugin_speaks_to_people_on_stderr() {
    let Some(peer) = python_stdio() else { return };
    run(async {
        let log = Recorder::new();
        let hook = log.clone();
        let host = Peer::python(&peer)
            .host(&[])
            .on_log(move |record| hook.extend(&[(record.level, record.message.clone())]));
        let plugin = host.start(Tokio::current()).await.expect("a plugin");
        log.until(|log| log.contains(&(Level::Debug, "serving".to_owned())))
            .await;
        plugin.ping().await.expect("it serves");
        end(plugin).await;

        let other = Handshake::new(1, "BASIC_PLUGIN", "good bye");
        let host = Host::new(other).command(Peer::python(&peer).command(&[]));
        let (_, text) = refused(host.transport(Stdio::new())).await;
        for part in ["This is a plugin", "status 1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    });
}

/// The Python plugin has no such channel to call, says so, and goes on; killed, it is told with
/// the signal.
#[test]
fn the_python_plugins_errors_arrive() {
    let Some(peer) = python_stdio() else { return };
    run(async {
        let host = Peer::python(&peer).host(&[]);
        let plugin = host.start(Tokio::current()).await.expect("a plugin");
        let counter: CounterClient = plugin.dispense("counter").await.expect("a client");
        let put = CounterPutRequest {
            add_server: 4242,
            key: "count".into(),
            value: 1,
        };
        let status = counter.put(put).await.expect_err("nobody serves it");
        assert!(status.message().contains("4242"), "{status}");
        let kv: KvClient = plugin.dispense("kv").await.expect("a client");
        let get = || kv.get(GetRequest { key: "none".into() });
        assert_eq!(get().await.expect_err("none").code(), Code::Unknown);

        let pid = plugin.pid().expect("it runs");
        kill(pid);
        assert_eq!(plugin.exited().await.reason, ExitReason::Crashed);
        let status = get().await.expect_err("it is gone");
        assert!(status.is_connection_lost(), "{status}");
        assert!(status.message().contains("SIGKILL"), "{status}");
        assert!(!is_alive(pid));
    });
}
