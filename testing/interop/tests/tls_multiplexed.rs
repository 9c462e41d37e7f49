//! AutoMTLS where all connections are streams of one, with outboard on one side and the test itself on
//! the other: each stream is secured by itself, and whoever is not to be served on a connection, or not
//! to be called, is neither in a stream. A process of the same user that gets at a plugin before its
//! host makes no call, and keeps nobody waiting. Needs no other toolchain.
#![cfg(unix)]

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outboard::codegen::{
    Bytes, Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_bidirectional,
};
use outboard::rt::SharedRuntime;
use outboard::{
    BrokerError, Client as _, Endpoint, Host, Service, StartFailure, StreamSender, Streaming, Tokio,
};
use outboard_conformance::axes::RuntimeKind;
use outboard_core::handshake::{HandshakeLine, Location, Protocol};
use outboard_core::rpc::{Call, CallContext, ServiceDescriptor};
use outboard_core::rt::BoxByteStream;
use outboard_core::wire::plugin::{BROKER, ConnInfo, conn_info::Knock};
use outboard_interop::Launched;
use outboard_interop::proto::examples::{AddHelperClient, AddHelperServer};
use outboard_interop::proto::probe::{BrokerDialRequest, Nothing, Probe as _, ProbeClient};
use outboard_interop::rust_host::{HANDSHAKE, Peer, run};
use outboard_interop::tls::by_hand::{
    Adder, PROMPT, Server, adder, adds, broker_stream, call_over, each_at, is_late, is_reason,
    refused, right_server, started, wrong_servers,
};
use outboard_interop::tls::pairs::{brokered, try_out};
use outboard_interop::tls::strangers::{Known, Stranger};
use outboard_interop::tls::{Certificates, Certified, Shown, any_client, on};
use outboard_interop::{Wait, wait_until_gone};
use outboard_kit::files::sockets_in;
use outboard_yamux::{Config, Incoming, Opener, Role, session};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];

fn multiplex(runtime: &SharedRuntime, io: BoxByteStream, role: Role) -> (Opener, Incoming) {
    let (opener, incoming, driver) = session(runtime, io, Config::new(role));
    runtime.spawn(Box::pin(driver));
    (opener, incoming)
}

async fn open(opener: &Opener) -> BoxByteStream {
    Box::new(opener.open().await.expect("a stream"))
}

/// The ids that were knocked for and whose streams are yet to come.
#[derive(Clone, Debug, Default)]
struct Knocks(Arc<Mutex<VecDeque<u32>>>);

impl Knocks {
    /// Agrees to all that the other side knocks for.
    async fn answer(self, mut theirs: Streaming<ConnInfo>, mut ours: StreamSender<ConnInfo>) {
        while let Ok(Some(asked)) = theirs.message().await {
            let id = asked.service_id;
            self.lock().push_back(id);
            if ours.send(knock(id, true)).await.is_err() {
                return;
            }
        }
    }

    /// Has each stream that comes be served by whom it is for.
    async fn serve(
        self,
        runtime: SharedRuntime,
        mut incoming: Incoming,
        main: Server,
        brokered: BTreeMap<u32, Server>,
    ) {
        while let Ok(stream) = poll_fn(|cx| incoming.poll_accept(cx)).await {
            let server = match self.lock().pop_front() {
                None => &main,
                Some(id) => &brokered[&id],
            };
            let taking = server.clone().take(runtime.clone(), Box::new(stream));
            runtime.spawn(Box::pin(taking));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn knock(service_id: u32, ack: bool) -> ConnInfo {
    let knock = Knock {
        knock: true,
        ack,
        ..Knock::default()
    };
    ConnInfo {
        service_id,
        knock: Some(knock),
        ..ConnInfo::default()
    }
}

/// The broker of a plugin made by hand.
struct Agreeing(SharedRuntime, Knocks);

impl Service for Agreeing {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &BROKER
    }

    fn unary(&self, method: usize, _: CallContext, _: Bytes) -> UnaryAnswer {
        no_such_method(&BROKER, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let (runtime, knocks) = (self.0.clone(), self.1.clone());
        let answer = move |theirs: Streaming<ConnInfo>| async move {
            let (ours, outgoing) = Streaming::channel(8);
            runtime.spawn(Box::pin(knocks.answer(theirs, ours)));
            Ok(outgoing)
        };
        serve_bidirectional(Prost, context, call, answer)
    }
}

/// Serves at `path` as a plugin that multiplexes.
fn serve(
    runtime: &SharedRuntime,
    path: &Path,
    main: Server,
    brokered: BTreeMap<u32, Server>,
    knocks: Knocks,
) {
    let at = runtime.clone();
    each_at(runtime, path, move |io| {
        let (opener, incoming) = multiplex(&at, io, Role::Server);
        let serving = knocks
            .clone()
            .serve(at.clone(), incoming, main.clone(), brokered.clone());
        at.spawn(Box::pin(async move {
            serving.await;
            drop(opener);
        }));
    });
}

/// A host of a process that says that it multiplexes at `path`, and does nothing else but note its id.
fn host_of(path: &Path, announced: &Certified) -> Host {
    let location = Location::Endpoint(Endpoint::Unix(path.to_owned()));
    let line = HandshakeLine::new(1, location, Protocol::Grpc)
        .with_certificate(announced.der.to_vec())
        .with_multiplexing_mentioned(true);
    let line = String::from_utf8(line.to_bytes()).expect("text");
    let note = path.with_extension("pid").display().to_string();
    let script = format!("echo $$ > '{note}'; exec '{PLUGIN}' print-and-block \"$0\"");
    let command = outboard::Command::new("/bin/sh");
    let command = command.arg("-c").arg(script).arg(line).inherit_stdin(false);
    let host = Host::new(HANDSHAKE).command(command);
    host.auto_mtls(true).multiplex(true)
}

fn noted(path: &Path) -> u32 {
    let text = std::fs::read_to_string(path).expect("it was started");
    let first = text.lines().next().expect("a line");
    first.parse().expect("a process id")
}

#[test]
fn a_host_uses_no_wrong_plugin() {
    for kind in RUNTIMES {
        on(kind, async |runtime| {
            let certificates = Certificates::new();
            let announced = certificates.alone("announced");
            let dir = tempfile::tempdir().expect("a directory");
            let begin = |name: &str, tls| {
                let path = dir.path().join(name);
                let main = Server::new(tls, vec![adder()]);
                let none = BTreeMap::new();
                serve(&runtime, &path, main, none, Knocks::default());
                path
            };
            let right = begin("right", Some(right_server(&announced)));
            let plugin = started(host_of(&right, &announced), &runtime).await;
            adds(plugin.channel()).await;
            let _killed = plugin.kill().await;
            let wrong = wrong_servers(&certificates, &announced);
            for (n, (name, tls, word)) in wrong.into_iter().enumerate() {
                let path = begin(&format!("wrong{n}"), tls);
                let began = Instant::now();
                let error = refused(host_of(&path, &announced), &runtime).await;
                let took = began.elapsed();
                let text = error.to_string();
                let StartFailure::Tls { reason, .. } = error.failure else {
                    panic!("{name}: {error:?}");
                };
                assert!(is_reason(reason, word), "{name}: {reason:?}: {text}");
                assert!(
                    text.contains("TLS") && text.contains(word),
                    "{name}: {text}"
                );
                assert!(took < PROMPT, "{name}: {took:?}");
                let pid = noted(&path.with_extension("pid"));
                assert!(wait_until_gone(pid, Wait::default()), "{name}");
            }
        });
    }
}

/// One that takes the stream and says nothing is given up, and so is one that has no streams.
#[test]
fn a_host_does_not_wait_for_a_mute_plugin() {
    for kind in RUNTIMES {
        on(kind, async |runtime| {
            let certificates = Certificates::new();
            let announced = certificates.alone("announced");
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("mute");
            let (at, kept) = (runtime.clone(), Mutex::new(Vec::new()));
            each_at(&runtime, &path, move |io| {
                let held = multiplex(&at, io, Role::Server);
                kept.lock().expect("no panic").push(held);
            });
            let began = Instant::now();
            let error = refused(host_of(&path, &announced), &runtime).await;
            let took = began.elapsed();
            assert!(is_late(&error.failure), "{error:?}");
            assert!(took < Duration::from_secs(20), "{took:?}");
            // TLS around everything, as a plugin over net/rpc has it, and one that hangs up.
            let outside = dir.path().join("outside");
            let tls = Some(right_server(&announced));
            Server::new(tls, vec![adder()]).listen(&runtime, &outside);
            let deaf = dir.path().join("deaf");
            each_at(&runtime, &deaf, drop);
            for path in [outside, deaf] {
                let began = Instant::now();
                let error = refused(host_of(&path, &announced), &runtime).await;
                let took = began.elapsed();
                assert!(
                    matches!(error.failure, StartFailure::Tls { .. }),
                    "{path:?}: {error:?}"
                );
                assert!(error.to_string().contains("TLS"), "{path:?}: {error}");
                assert!(took < PROMPT, "{path:?}: {took:?}");
            }
        });
    }
}

/// What a plugin serves there, and what its host does.
#[test]
fn a_host_on_the_brokers_streams() {
    for kind in RUNTIMES {
        on(kind, async |runtime| {
            let certificates = Certificates::new();
            let announced = certificates.alone("announced");
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("plugin");
            let knocks = Knocks::default();
            let broker = Arc::new(Agreeing(runtime.clone(), knocks.clone()));
            let tls = right_server(&announced);
            let main = Server::new(Some(tls.clone()), vec![adder(), broker]);
            let wrong = wrong_servers(&certificates, &announced);
            let right = Server::new(Some(tls), vec![adder()]);
            let mut brokered = BTreeMap::from([(1, right)]);
            let mut tried = Vec::new();
            for (id, (name, tls, word)) in (2..).zip(wrong) {
                brokered.insert(id, Server::new(tls, vec![adder()]));
                tried.push((id, name, word));
            }
            serve(&runtime, &path, main, brokered, knocks);
            let plugin = started(host_of(&path, &announced), &runtime).await;
            adds(plugin.broker().dial_channel(1).await.expect("a dial")).await;
            for (id, name, word) in tried {
                let began = Instant::now();
                let helper = plugin.broker().dial::<AddHelperClient>(id).await;
                let error = helper.expect_err(&name);
                let text = error.to_string();
                let BrokerError::Tls { reason, .. } = error else {
                    panic!("{name}: {error:?}");
                };
                assert!(is_reason(reason, word), "{name}: {reason:?}: {text}");
                assert!(
                    text.contains("TLS") && text.contains(word),
                    "{name}: {text}"
                );
                let took = began.elapsed();
                assert!(took < PROMPT, "{name}: {took:?}");
            }
            // Those have harmed nobody.
            adds(plugin.broker().dial_channel(1).await.expect("a dial")).await;
            adds(plugin.channel()).await;
            let _killed = plugin.kill().await;
        });
    }
}

/// Runs a scenario on such a plugin on each runtime. Without its connection, it ends by itself.
fn with_each(scenario: impl AsyncFn(Reached) -> Launched) {
    for kind in RUNTIMES {
        let plugin = run(async { scenario(Reached::on(kind).await).await });
        assert!(wait_until_gone(plugin.pid(), Wait::default()), "{kind}");
        assert!(!plugin.socket.exists(), "{kind}");
    }
}

/// A plugin that multiplexes, and the one connection to it.
struct Reached {
    plugin: Launched,
    runtime: SharedRuntime,
    certificates: Certificates,
    host: Certified,
    opener: Opener,
    incoming: Incoming,
}

impl Reached {
    async fn on(kind: RuntimeKind) -> Self {
        let certificates = Certificates::new();
        let host = certificates.alone("host");
        let kind = kind.to_string();
        let variables = [
            ("PLUGIN_MULTIPLEX_GRPC", "true"),
            ("INTEROP_RUNTIME", &kind),
        ];
        let plugin = Launched::for_host(PLUGIN, &host, &variables);
        let runtime: SharedRuntime = Tokio::current().into();
        let endpoint = Endpoint::Unix(plugin.socket.clone());
        let io = runtime.connect(&endpoint).await.expect("a connection");
        let (opener, incoming) = multiplex(&runtime, io, Role::Client);
        Self {
            plugin,
            runtime,
            certificates,
            host,
            opener,
            incoming,
        }
    }

    /// A channel in this stream, as the right host.
    async fn call_over(&self, io: BoxByteStream) -> outboard::Channel {
        let right = any_client(&Shown::of(&self.host), &["h2"], None);
        call_over(&self.runtime, io, right).await
    }

    async fn channel(&self) -> outboard::Channel {
        self.call_over(open(&self.opener).await).await
    }

    /// All strangers are refused, each in a stream that is got like this.
    async fn refuses(&self, mut stream: impl AsyncFnMut() -> BoxByteStream) {
        for stranger in Stranger::all(&self.certificates, &Known::WithKey(&self.host)) {
            let io = stream().await;
            let began = Instant::now();
            let answer = stranger.knock_on(io).await;
            assert!(answer.is_err(), "{stranger:?}: {answer:?}");
            let took = began.elapsed();
            assert!(took < PROMPT, "{stranger:?}: {took:?}");
        }
    }
}

#[test]
fn a_plugin_serves_no_wrong_host() {
    with_each(async |reached| {
        reached.refuses(async || open(&reached.opener).await).await;
        let probe = ProbeClient::from_channel(reached.channel().await);
        probe.observe(Nothing {}).await.expect("an answer");
        reached.refuses(async || open(&reached.opener).await).await;
        // Those have harmed nobody.
        probe.observe(Nothing {}).await.expect("an answer");
        let again = ProbeClient::from_channel(reached.channel().await);
        again.observe(Nothing {}).await.expect("an answer");
        reached.plugin
    });
}

/// What a plugin serves through its broker.
#[test]
fn a_plugin_on_the_brokers_streams() {
    with_each(async |reached| {
        let channel = reached.channel().await;
        let (mut ours, mut theirs) = broker_stream(&channel);
        let probe = ProbeClient::from_channel(channel);
        let id = probe.broker_accept(Nothing {}).await.expect("it serves").id;
        let mut dial = async || {
            ours.send(knock(id, false)).await.expect("it is read");
            let answer = theirs.message().await.expect("an answer");
            assert_eq!(answer.expect("one"), knock(id, true));
            open(&reached.opener).await
        };
        adds(reached.call_over(dial().await).await).await;
        reached.refuses(&mut dial).await;
        adds(reached.call_over(dial().await).await).await;
        probe.observe(Nothing {}).await.expect("an answer");
        reached.plugin
    });
}

/// What a host serves through its broker, or somebody who can answer in its place.
#[test]
fn a_plugin_dials_no_wrong_host() {
    with_each(async |reached| {
        let channel = reached.channel().await;
        let (ours, theirs) = broker_stream(&channel);
        let probe = ProbeClient::from_channel(channel);
        let right = Server::new(Some(right_server(&reached.host)), vec![adder()]);
        let mut brokered = BTreeMap::from([(1, right.clone())]);
        let mut tried = Vec::new();
        let wrong = wrong_servers(&reached.certificates, &reached.host);
        for (id, (name, tls, word)) in (2..).zip(wrong) {
            brokered.insert(id, Server::new(tls, vec![adder()]));
            tried.push((id, name, word));
        }
        let knocks = Knocks::default();
        let runtime = reached.runtime.clone();
        let serving = knocks
            .clone()
            .serve(runtime.clone(), reached.incoming, right, brokered);
        runtime.spawn(Box::pin(serving));
        runtime.spawn(Box::pin(knocks.answer(theirs, ours)));
        let dial = |id| probe.broker_dial(BrokerDialRequest { id, a: 1, b: 1 });
        assert_eq!(dial(1).await.expect("a sum").r, 2);
        for (id, name, word) in tried {
            let began = Instant::now();
            let text = dial(id).await.expect_err(&name).to_string();
            assert!(
                text.contains("TLS") && text.contains(word),
                "{name}: {text}"
            );
            let took = began.elapsed();
            assert!(took < PROMPT, "{name}: {took:?}");
        }
        assert_eq!(dial(1).await.expect("a sum").r, 2);
        reached.plugin
    });
}

/// Another process of the same user that takes a plugin's one connection makes no call in it, and the
/// host, which comes too late, hears of that at once. Nothing is left of either.
#[test]
fn a_third_process_that_comes_first() {
    for host_on in RUNTIMES {
        for plugin_on in RUNTIMES {
            let dir = tempfile::tempdir().expect("a directory");
            let said = dir.path().join("said");
            let path = said.to_str().expect("text");
            let command = Peer::rust(PLUGIN)
                .command(&["first", path, PLUGIN, "all"])
                .env("INTEROP_RUNTIME", plugin_on.to_string());
            let host = Host::new(HANDSHAKE).command(command);
            let host = host.auto_mtls(true).multiplex(true).socket_dir(dir.path());
            on(host_on, async |runtime| {
                let began = Instant::now();
                let error = refused(host, &runtime).await;
                let took = began.elapsed();
                let text = std::fs::read_to_string(&said).expect("it was there");
                let refusals: Vec<_> = text.lines().skip(1).collect();
                assert_eq!(refusals.len(), 7, "{text}");
                // A reset may overtake the alert, if a stranger still writes. It says no less.
                let refused = |one: &&str| one.contains("alert") || one.contains("reset");
                assert!(refusals.iter().all(refused), "{text}");
                assert!(
                    matches!(error.failure, StartFailure::Connect { .. }),
                    "{error:?}"
                );
                let text = error.to_string();
                let says = ["socket file", "another process"];
                assert!(says.iter().all(|said| text.contains(said)), "{text}");
                assert!(took < 2 * PROMPT, "{took:?}");
                assert!(wait_until_gone(noted(&said), Wait::default()));
                let left = sockets_in(dir.path());
                assert!(left.is_empty(), "{left:?}");
            });
        }
    }
}

/// One that comes later finds nothing to connect to, whatever the broker serves.
#[test]
fn a_third_process_that_comes_later() {
    for host_on in RUNTIMES {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Host::new(HANDSHAKE).command(Peer::rust(PLUGIN).command(&["all"]));
        let host = host.auto_mtls(true).multiplex(true).socket_dir(dir.path());
        on(host_on, async |runtime| {
            let tried = try_out(host, &runtime).await;
            let (plugin, probe) = tried.unwrap_or_else(|why| panic!("it is of no use: {why:?}"));
            let served = plugin.broker().serve(AddHelperServer::new(Adder));
            let _served = served.expect("the host serves");
            probe.broker_accept(Nothing {}).await.expect("it serves");
            brokered(&plugin, &probe).await;
            assert_eq!(sockets_in(dir.path()), [] as [std::path::PathBuf; 0]);
            let report = plugin.shutdown().await.expect("it ends by itself");
            assert!(report.exit.success(), "{report}");
        });
    }
}
