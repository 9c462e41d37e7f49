//! A Rust host and plugins made by hand: a process that prints a handshake line, and the test itself
//! at the other end of the socket. Shows what no proper plugin can. Needs no other toolchain.
#![cfg(unix)]

use std::future::poll_fn;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use outboard::Endpoint;
use outboard::codegen::{
    Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_bidirectional, serve_server_streaming,
};
use outboard::rt::SharedRuntime;
use outboard::{
    BrokerError, Channel, Client as _, ConfigError, H2, Host, HostError, RunningPlugin, Service,
    StartError, StartFailure, Status, Streaming, Tokio, Transport as _,
};
use outboard_core::handshake::HandshakeError;
use outboard_core::rpc::{
    Call, CallContext, ConnectionConfig, Router, ServerConfig, ServiceDescriptor,
};
use outboard_core::wire::plugin::{BROKER, ConnInfo, Empty, STDIO, StdioData, stdio_data};
use outboard_interop::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, Empty as NoValue, GetRequest, GetResponse, Kv,
    KvClient, KvServer, PutRequest, SumRequest, SumResponse,
};
use outboard_interop::rust_host::{HANDSHAKE, Peer, end, recorder::Recorder, run};
use outboard_kit::files::sockets_in;
use tokio::sync::Notify;

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// A host of a process that prints this line and does nothing else.
fn host_of(line: &str) -> Host {
    Peer::rust(PLUGIN).host(&["print-and-block", line])
}

struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        Ok(SumResponse {
            r: request.a + request.b,
        })
    }
}

async fn adds(channel: Channel) {
    let helper = AddHelperClient::from_channel(channel);
    let sum = helper.sum(SumRequest { a: 2, b: 3 }).await;
    assert_eq!(sum.expect("a sum").r, 5);
}

/// Serves these services at `path`, on every connection.
fn serve(path: &Path, router: Router) {
    let runtime: SharedRuntime = Tokio::current().into();
    let endpoint = Endpoint::Unix(path.to_owned());
    let socket = UnixListener::bind(path).expect("a socket");
    let mut listener = runtime
        .listener(socket.into(), endpoint)
        .expect("a listener");
    let router = Arc::new(router);
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(accepted) = poll_fn(|cx| listener.poll_accept(cx)).await {
            let io = accepted.io;
            let router = Arc::clone(&router);
            connections.push(H2::default().serve(&runtime, io, router, ServerConfig::default()));
        }
    });
}

fn router_of(service: impl Service) -> Router {
    let mut router = Router::new();
    router.add(Arc::new(service)).expect("the first service");
    router
}

async fn started(host: Host) -> RunningPlugin {
    let outcome = host.start(Tokio::current()).await;
    outcome.unwrap_or_else(|error| panic!("it does not start: {error:?}"))
}

async fn refused(host: Host) -> StartError {
    match host.start(Tokio::current()).await {
        Ok(plugin) => panic!("it started: {plugin:?}"),
        Err(HostError::Start { error, .. }) => *error,
        Err(other) => panic!("{other:?}"),
    }
}

/// What has the outline of a certificate, in unpadded base64: a sequence of a sequence, a sequence
/// and a bit string.
const CERTIFICATE: &str = "MCswIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMAMGASoDAgAA";

/// Every form of the line that a host has to take: fields that are missing, too short to be a
/// certificate, not asked for, or not known yet; and white space around them.
#[test]
fn lines_that_are_accepted() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin1");
        serve(&path, router_of(AddHelperServer::new(Adder)));
        let path = path.display();
        let (json, fifty) = ("eyJ".repeat(16), "!".repeat(50));
        for line in [
            format!("1|1|unix|{path}|grpc\n"),
            format!("1|1|unix|{path}|grpc|\n"),
            format!("+01|01|unix|{path}|grpc|\n"),
            format!("1|1|unix|{path}|grpc||true\n"),
            format!("1|1|unix|{path}|grpc||no boolean\n"),
            format!("1|1|unix|{path}|grpc||false|something new|\n"),
            format!(" \t1|1|unix|{path}|grpc| \r\n"),
            format!("1|1|unix|{path}|grpc|{json}\n"),
            format!("1|1|unix|{path}|grpc|{fifty}\n"),
            format!("1|1|unix|{path}|grpc|{CERTIFICATE}\n"),
        ] {
            let plugin = started(host_of(&line)).await;
            let helper: AddHelperClient = plugin.dispense("add").await.expect("a client");
            let sum = helper.sum(SumRequest { a: 2, b: 3 }).await;
            assert_eq!(sum.expect("a sum").r, 5, "{line:?}");
            let _killed = plugin.kill().await;
        }
    });
}

/// Lines that come close: each has its own error, and the process is gone.
#[test]
fn lines_that_are_refused() {
    type Expected = fn(&HandshakeError) -> bool;
    let cases: [(String, Expected); 6] = [
        ("1|1|unix|/x\n".to_owned(), |error| {
            matches!(error, HandshakeError::NetRpcUnsupported)
        }),
        ("1|1|unix|/x| grpc |\n".to_owned(), |error| {
            matches!(error, HandshakeError::ProtocolNotAllowed { .. })
        }),
        ("1|1| unix|/x|grpc|\n".to_owned(), |error| {
            matches!(error, HandshakeError::UnknownNetwork { .. })
        }),
        ("1 |1|unix|/x|grpc|\n".to_owned(), |error| {
            matches!(error, HandshakeError::CoreVersionNotInteger { .. })
        }),
        (format!("1|1|unix|/x|grpc|{}\n", "!".repeat(51)), |error| {
            matches!(error, HandshakeError::Certificate(_))
        }),
        (format!("1|1|unix|/x|grpc|{CERTIFICATE}==\n"), |error| {
            matches!(error, HandshakeError::Certificate(_))
        }),
    ];
    run(async {
        for (line, expected) in cases {
            let error = refused(host_of(&line)).await;
            let StartFailure::Handshake(failure) = &error.failure else {
                panic!("{line:?}: {error:?}")
            };
            assert!(expected(failure), "{line:?}: {error:?}");
            assert!(error.evidence.killed && error.evidence.exit.is_some());
        }
    });
}

/// Without a command there is nothing to start.
#[test]
fn a_host_without_a_command_is_refused() {
    run(async {
        let error = Host::new(HANDSHAKE).start(Tokio::current()).await;
        let error = error.expect_err("no command");
        assert!(
            matches!(error, HostError::Config(ConfigError::NoCommand)),
            "{error:?}"
        );
    });
}

/// Prints how often it was asked for what it prints, and then nothing more.
struct Output(Arc<AtomicUsize>);

impl Service for Output {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &STDIO
    }

    fn unary(&self, method: usize, _: CallContext, _: outboard::codegen::Bytes) -> UnaryAnswer {
        no_such_method(&STDIO, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let nth = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        serve_server_streaming(Prost, context, call, move |_request: Empty| async move {
            let (mut sender, pieces) = Streaming::channel(1);
            tokio::spawn(async move {
                let piece = StdioData {
                    channel: stdio_data::Channel::Stdout.into(),
                    data: nth.to_string().into_bytes().into(),
                };
                if sender.send(piece).await.is_ok() {
                    // Held open for as long as the test runs.
                    std::future::pending::<()>().await;
                }
            });
            Ok(pieces)
        })
    }
}

/// A host asks for the plugin's output once, before anybody uses the plugin, and not again.
#[test]
fn output_is_asked_for_once() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin1");
        let asked = Arc::new(AtomicUsize::new(0));
        let mut router = router_of(AddHelperServer::new(Adder));
        let output = router.add(Arc::new(Output(Arc::clone(&asked))));
        output.expect("the first of its name");
        serve(&path, router);
        let out = Recorder::new();
        let line = format!("1|1|unix|{}|grpc|\n", path.display());
        let plugin = started(host_of(&line).sync_stdout(out.writer())).await;
        out.until(|out| !out.is_empty()).await;
        for _ in 0..3 {
            adds(plugin.channel()).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(out.now(), b"1");
        let _killed = plugin.kill().await;
    });
}

/// A plugin without a broker ends the control stream at once. From then on whatever needs the
/// broker fails without waiting; calls go on.
#[test]
fn without_a_control_stream_the_broker_fails_promptly() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin1");
        serve(&path, router_of(AddHelperServer::new(Adder)));
        let line = format!("1|1|unix|{}|grpc|\n", path.display());
        let plugin = started(host_of(&line)).await;
        let begin = Instant::now();
        for _ in 0..2 {
            let error = plugin.broker().dial::<AddHelperClient>(1).await;
            let error = error.expect_err("there is no broker");
            assert!(matches!(error, BrokerError::Broker(_)), "{error:?}");
            assert!(error.to_string().contains("control stream"), "{error}");
            let served = plugin.broker().serve(AddHelperServer::new(Adder));
            let _refused = served.expect_err("nobody can be told");
        }
        // An unanswered dial would take five.
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        let helper: AddHelperClient = plugin.dispense("add").await.expect("a client");
        let sum = helper.sum(SumRequest { a: 1, b: 1 }).await;
        assert_eq!(sum.expect("a sum").r, 2);
        let _killed = plugin.kill().await;
    });
}

/// Announces one served id, and ends the control stream when it is told to.
struct OneAnnouncement {
    info: ConnInfo,
    end: Arc<Notify>,
}

impl Service for OneAnnouncement {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &BROKER
    }

    fn unary(&self, method: usize, _: CallContext, _: outboard::codegen::Bytes) -> UnaryAnswer {
        no_such_method(&BROKER, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let (info, end) = (self.info.clone(), Arc::clone(&self.end));
        serve_bidirectional(
            Prost,
            context,
            call,
            move |_: Streaming<ConnInfo>| async move {
                let (mut sender, outgoing) = Streaming::channel(1);
                tokio::spawn(async move {
                    let _sent = sender.send(info).await;
                    end.notified().await;
                });
                Ok(outgoing)
            },
        )
    }
}

/// A control stream that ends after it has worked: what waits for it fails at once, and so does
/// whatever needs it from then on. What was dialled before goes on.
#[test]
fn a_control_stream_that_ends_later_fails_what_needs_it() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (main, brokered) = (dir.path().join("plugin1"), dir.path().join("plugin2"));
        serve(&brokered, router_of(AddHelperServer::new(Adder)));
        let end = Arc::new(Notify::new());
        serve(
            &main,
            router_of(OneAnnouncement {
                info: ConnInfo {
                    service_id: 7,
                    network: "unix".into(),
                    address: brokered.to_str().expect("text").into(),
                    ..ConnInfo::default()
                },
                end: Arc::clone(&end),
            }),
        );
        let line = format!("1|1|unix|{}|grpc|\n", main.display());
        let plugin = started(host_of(&line)).await;
        let broker = plugin.broker().clone();
        let helper = broker.dial_channel(7).await.expect("announced");
        adds(helper.clone()).await;
        let begin = Instant::now();
        let mut waiting = pin!(broker.dial::<AddHelperClient>(8));
        let first = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(first.is_pending(), "it may still come");
        end.notify_one();
        let (waited, later) = (waiting.await, broker.dial::<AddHelperClient>(9));
        for error in [waited.err(), later.await.err()] {
            let error = error.expect("nothing can be announced any more");
            assert!(matches!(error, BrokerError::Broker(_)), "{error:?}");
            assert!(error.to_string().contains("control stream"), "{error}");
        }
        let served = broker.serve(AddHelperServer::new(Adder));
        let refused = served.expect_err("nobody can be told");
        assert!(refused.to_string().contains("control stream"), "{refused}");
        // An unanswered dial would take five.
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        adds(helper).await;
        let _killed = plugin.kill().await;
    });
}

struct Store;

impl Kv for Store {
    async fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        Ok(GetResponse {
            value: request.key.into_bytes(),
        })
    }

    async fn put(&self, _: PutRequest) -> Result<NoValue, Status> {
        Err(Status::permission_denied("for reading only"))
    }
}

/// A channel of its own to a unix socket.
async fn connect(path: &Path) -> Channel {
    let runtime: SharedRuntime = Tokio::current().into();
    let endpoint = Endpoint::Unix(path.to_owned());
    let io = runtime.connect(&endpoint).await.expect("a connection");
    Channel::new(H2::default().connect(&runtime, io, ConnectionConfig::default()))
}

/// A directory of the launch's own is in the way of some programs.
#[test]
fn sockets_are_where_they_are_wanted_if_not_in_a_directory_of_their_own() {
    run(async {
        let base = tempfile::tempdir().expect("a directory");
        let peer = Peer::rust(PLUGIN);
        let asked = peer
            .command(&["probe"])
            .env("PLUGIN_UNIX_SOCKET_DIR", base.path());
        for host in [
            peer.host(&["probe"])
                .socket_dir(base.path())
                .private_socket_dir(false),
            peer.host(&[]).command(asked),
        ] {
            let plugin = started(host).await;
            let sockets = sockets_in(base.path());
            assert_eq!(sockets.len(), 1, "{sockets:?}");
            assert_eq!(sockets[0].parent(), Some(base.path()));
            end(plugin).await;
            assert_eq!(sockets_in(base.path()).len(), 0);
        }
    });
}

/// What the host serves through its broker takes any number of connections, at once and one after
/// the other, and several services can share an id.
#[test]
fn brokered_sockets_take_many_connections_and_services() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let files = || sockets_in(dir.path());
        let host = Peer::rust(PLUGIN).host(&["probe"]).socket_dir(dir.path());
        let plugin = started(host).await;
        let before = files();
        let mut router = router_of(AddHelperServer::new(Adder));
        let store = router.add(Arc::new(KvServer::new(Store)));
        store.expect("another name");
        let served = plugin.broker().serve_router(router).expect("a socket");
        let new: Vec<_> = files()
            .into_iter()
            .filter(|file| !before.contains(file))
            .collect();
        let [socket] = &new[..] else {
            panic!("one socket, not {new:?}")
        };
        let first = connect(socket).await;
        let second = connect(socket).await;
        for channel in [&first, &second] {
            adds(channel.clone()).await;
            let kv = KvClient::from_channel(channel.clone());
            let got = Kv::get(&kv, GetRequest { key: "a".into() }).await;
            assert_eq!(got.expect("a value").value, b"a");
        }
        drop((first, second));
        adds(connect(socket).await).await;
        drop(served);
        end(plugin).await;
    });
}
