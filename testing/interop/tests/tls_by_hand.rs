//! AutoMTLS with outboard on one side and the test itself on the other, which has every certificate's
//! key and can misuse it: whoever does not show the certificate that was announced, or shows it without
//! its key, or agrees on no protocol, is neither served nor called; nor is who speaks no TLS. On the
//! first connection and on those of the broker. Needs no other toolchain.
#![cfg(unix)]

use std::future::poll_fn;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outboard::codegen::{
    Bytes, Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_bidirectional,
};
use outboard::rt::SharedRuntime;
use outboard::tls::Tls;
use outboard::tls::rustls::ClientConfig;
use outboard::{
    Channel, Client as _, Endpoint, H2, Host, HostError, RunningPlugin, Service, StartError,
    StartFailure, StartPhase, Status, StreamSender, Streaming, TlsReason, Tokio, Transport as _,
};
use outboard_core::handshake::{HandshakeError, HandshakeLine, Location, Protocol};
use outboard_core::rpc::{
    Call, CallContext, CallHead, ConnectionConfig, Router, ServerConfig, ServiceDescriptor,
};
use outboard_core::wire::plugin::{BROKER, ConnInfo};
use outboard_interop::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, SumRequest, SumResponse,
};
use outboard_interop::proto::probe::{BrokerDialRequest, Nothing, Probe as _, ProbeClient};
use outboard_interop::rust_host::{Peer, run};
use outboard_interop::tls::strangers::{Known, Stranger};
use outboard_interop::tls::{Certificates, Certified, Shown, Wanted, any_client, any_server};
use outboard_kit::files::sockets_in;

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// A time in which what should happen at once has happened, also on a busy machine.
const PROMPT: Duration = Duration::from_secs(4);

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

/// Announces what is served, and keeps the control stream.
struct Announcements(Vec<ConnInfo>);

impl Service for Announcements {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &BROKER
    }

    fn unary(&self, method: usize, _: CallContext, _: Bytes) -> UnaryAnswer {
        no_such_method(&BROKER, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let infos = self.0.clone();
        let answer = move |mut theirs: Streaming<ConnInfo>| async move {
            let (mut sender, outgoing) = Streaming::channel(8);
            tokio::spawn(async move {
                for info in infos {
                    let _sent = sender.send(info).await;
                }
                while let Ok(Some(_)) = theirs.message().await {}
            });
            Ok(outgoing)
        };
        serve_bidirectional(Prost, context, call, answer)
    }
}

fn info(service_id: u32, path: &Path) -> ConnInfo {
    ConnInfo {
        service_id,
        network: "unix".into(),
        address: path.to_str().expect("text").into(),
        ..ConnInfo::default()
    }
}

/// Serves these at `path`, with TLS or without.
fn serve(path: &Path, tls: Option<Tls>, services: Vec<Arc<dyn Service>>) {
    let runtime: SharedRuntime = Tokio::current().into();
    let socket = UnixListener::bind(path).expect("a socket");
    let endpoint = Endpoint::Unix(path.to_owned());
    let listener = runtime.listener(socket.into(), endpoint);
    let mut listener = listener.expect("a listener");
    let mut router = Router::new();
    for service in services {
        router.add(service).expect("the first of its name");
    }
    let router = Arc::new(router);
    tokio::spawn(async move {
        while let Ok(io) = poll_fn(|cx| listener.poll_accept(cx)).await {
            let (tls, router) = (tls.clone(), Arc::clone(&router));
            let runtime = Arc::clone(&runtime);
            tokio::spawn(async move {
                let io = match tls {
                    None => io,
                    // The other side refused, as it should.
                    Some(tls) => match tls.accept(io, None).await {
                        Ok(io) => io,
                        Err(_refused) => return,
                    },
                };
                let config = ServerConfig::default();
                let _serving = H2::default().serve(&runtime, io, router, config);
                std::future::pending::<()>().await;
            });
        }
    });
}

fn right_server(certified: &Certified) -> Tls {
    Tls::server(any_server(&Shown::of(certified), &["h2"], None))
}

/// What a program is told where people find this word.
fn reason_for(word: &str) -> TlsReason {
    match word {
        "certificate" => TlsReason::OtherCertificate,
        "signature" => TlsReason::WrongKey,
        "h2" => TlsReason::NoProtocol,
        _ => TlsReason::NotTls,
    }
}

/// Servers that are not to be used where this certificate was announced, and a word of what is said of
/// each.
fn wrong_servers(
    certificates: &Certificates,
    announced: &Certified,
) -> Vec<(String, Option<Tls>, &'static str)> {
    let another = certificates.alone("another");
    let wanted = Wanted {
        issuer: Some(announced),
        authority: false,
        ..Wanted::default()
    };
    let signed = certificates.make("signed", wanted);
    let mut all = vec![("plaintext".to_owned(), None, "TLS")];
    for version in ["1.2", "1.3"] {
        for (name, shown, alpn, word) in [
            ("another", Shown::of(&another), &["h2"][..], "certificate"),
            ("signed", Shown::of(&signed), &["h2"], "certificate"),
            (
                "signed, with its issuer",
                Shown::chain(&[&signed, announced], &signed),
                &["h2"],
                "certificate",
            ),
            (
                "announced after another",
                Shown::chain(&[&another, announced], &another),
                &["h2"],
                "certificate",
            ),
            (
                "announced without its key",
                Shown::chain(&[announced], &another),
                &["h2"],
                "signature",
            ),
            ("no protocol", Shown::of(announced), &[], "h2"),
            (
                "another protocol",
                Shown::of(announced),
                &["http/1.1"],
                "h2",
            ),
        ] {
            let tls = Tls::server(any_server(&shown, alpn, Some(version)));
            all.push((format!("{name}, {version}"), Some(tls), word));
        }
    }
    all
}

fn line(path: &Path, certificate: Option<&Certified>) -> String {
    let location = Location::Endpoint(Endpoint::Unix(path.to_owned()));
    let mut line = HandshakeLine::new(1, location, Protocol::Grpc);
    if let Some(certificate) = certificate {
        line = line.with_certificate(certificate.der.to_vec());
    }
    String::from_utf8(line.to_bytes()).expect("text")
}

/// A host of a process that prints this line and does nothing else.
fn host_of(line: &str) -> Host {
    Peer::rust(PLUGIN)
        .host(&["print-and-block", line])
        .auto_mtls(true)
}

async fn refused(host: Host) -> StartError {
    match host.start(Tokio::current()).await {
        Ok(plugin) => panic!("it started: {plugin:?}"),
        Err(HostError::Start { error, .. }) => *error,
        Err(other) => panic!("{other:?}"),
    }
}

async fn started(host: Host) -> RunningPlugin {
    let outcome = host.start(Tokio::current()).await;
    outcome.unwrap_or_else(|error| panic!("it does not start: {error:?}"))
}

/// A plugin that announces no certificate is refused by the line alone, and where it listens nobody
/// comes.
#[test]
fn a_host_wants_a_certificate() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin1");
        let socket = UnixListener::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let error = refused(host_of(&line(&path, None))).await;
        assert_eq!(
            error.failure,
            StartFailure::Handshake(HandshakeError::CertificateMissing)
        );
        let nobody = socket.accept().expect_err("nobody comes");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_host_uses_no_wrong_plugin() {
    run(async {
        let certificates = Certificates::new();
        let announced = certificates.alone("announced");
        let dir = tempfile::tempdir().expect("a directory");
        let right = dir.path().join("right");
        let services: Vec<Arc<dyn Service>> = vec![Arc::new(AddHelperServer::new(Adder))];
        serve(&right, Some(right_server(&announced)), services.clone());
        let plugin = started(host_of(&line(&right, Some(&announced)))).await;
        adds(plugin.channel()).await;
        let _killed = plugin.kill().await;
        for (n, (name, tls, word)) in wrong_servers(&certificates, &announced)
            .into_iter()
            .enumerate()
        {
            let path = dir.path().join(format!("wrong{n}"));
            serve(&path, tls, services.clone());
            let began = Instant::now();
            let error = refused(host_of(&line(&path, Some(&announced)))).await;
            let took = began.elapsed();
            let text = error.to_string();
            let StartFailure::Tls { reason, .. } = error.failure else {
                panic!("{name}: {error:?}");
            };
            assert_eq!(reason, reason_for(word), "{name}: {text}");
            assert!(
                text.contains("TLS") && text.contains(word),
                "{name}: {text}"
            );
            assert!(took < PROMPT, "{name}: {took:?}");
        }
    });
}

/// One that takes the connection and says nothing is given up, also where a start may take longer.
#[test]
fn a_host_does_not_wait_for_a_mute_plugin() {
    run(async {
        let certificates = Certificates::new();
        let announced = certificates.alone("announced");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mute");
        let _socket = UnixListener::bind(&path).expect("a socket");
        let began = Instant::now();
        let error = refused(host_of(&line(&path, Some(&announced)))).await;
        let took = began.elapsed();
        // The phase is limited before its handshake is.
        assert!(
            matches!(
                error.failure,
                StartFailure::TimedOut {
                    phase: StartPhase::Tls,
                    ..
                } | StartFailure::Tls {
                    reason: TlsReason::TimedOut,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains("TLS"), "{error}");
        assert!(took < Duration::from_secs(20), "{took:?}");
        let host = host_of(&line(&path, Some(&announced)));
        let error = refused(host.start_timeout(Duration::from_secs(2))).await;
        let StartFailure::TimedOut { phase, .. } = error.failure else {
            panic!("{error:?}");
        };
        assert_eq!(phase, StartPhase::Tls);
    });
}

/// What a plugin has announced through the broker, and what its host serves there.
#[test]
fn a_host_on_the_brokers_sockets() {
    run(async {
        let certificates = Certificates::new();
        let announced = certificates.alone("announced");
        let dir = tempfile::tempdir().expect("a directory");
        let adder: Arc<dyn Service> = Arc::new(AddHelperServer::new(Adder));
        let mut infos = Vec::new();
        let mut serve_next = |tls| {
            let id = u32::try_from(infos.len()).expect("few") + 1;
            let path = dir.path().join(format!("brokered{id}"));
            serve(&path, tls, vec![Arc::clone(&adder)]);
            infos.push(info(id, &path));
            id
        };
        let right = serve_next(Some(right_server(&announced)));
        let wrong: Vec<_> = wrong_servers(&certificates, &announced)
            .into_iter()
            .map(|(name, tls, word)| (name, serve_next(tls), word))
            .collect();
        let main = dir.path().join("plugin");
        let broker: Arc<dyn Service> = Arc::new(Announcements(infos));
        serve(&main, Some(right_server(&announced)), vec![adder, broker]);
        let sockets = tempfile::tempdir().expect("a directory");
        let host = host_of(&line(&main, Some(&announced)));
        let plugin = started(host.socket_dir(sockets.path())).await;
        adds(plugin.broker().dial_channel(right).await.expect("a dial")).await;
        for (name, id, word) in wrong {
            let began = Instant::now();
            let helper = plugin.broker().dial::<AddHelperClient>(id).await;
            let text = match helper {
                Err(error) => error.to_string(),
                Ok(helper) => {
                    let answer = helper.sum(SumRequest { a: 1, b: 1 }).await;
                    answer.expect_err(&name).to_string()
                }
            };
            assert!(
                text.contains("TLS") && text.contains(word),
                "{name}: {text}"
            );
            let took = began.elapsed();
            assert!(took < PROMPT, "{name}: {took:?}");
        }
        // Who knocks has the plugin's certificate and its key.
        let served = plugin.broker().serve(AddHelperServer::new(Adder));
        let served = served.expect("the host serves");
        let sockets = sockets_in(sockets.path());
        let [socket] = &sockets[..] else {
            panic!("one socket, not {sockets:?}")
        };
        knock(certificates, announced, socket.clone()).await;
        drop(served);
        let _killed = plugin.kill().await;
    });
}

/// All strangers are refused, and the right one is not.
async fn knock(certificates: Certificates, known: Certified, socket: PathBuf) {
    let right = any_client(&Shown::of(&known), &["h2"], None);
    adds(connect(&socket, right).await).await;
    let knocking = tokio::task::spawn_blocking(move || {
        for stranger in Stranger::all(&certificates, &Known::WithKey(&known)) {
            let answer = stranger.knock(&socket);
            assert!(answer.is_err(), "{stranger:?}: {answer:?}");
        }
    });
    knocking.await.expect("all are refused");
}

async fn connect(socket: &Path, tls: ClientConfig) -> Channel {
    let runtime: SharedRuntime = Tokio::current().into();
    let endpoint = Endpoint::Unix(socket.to_owned());
    let io = runtime.connect(&endpoint).await.expect("a connection");
    let io = Tls::client(tls).connect(io, Some("h2")).await;
    let io = io.unwrap_or_else(|error| panic!("no TLS: {error}"));
    Channel::new(H2::default().connect(&runtime, io, ConnectionConfig::default()))
}

/// A plugin launched by hand for a host with this certificate.
struct Launched {
    child: Child,
    socket: PathBuf,
}

impl Launched {
    fn for_host(host: &Certified) -> Self {
        let mut child = std::process::Command::new(PLUGIN)
            .arg("all")
            .env("BASIC_PLUGIN", "hello")
            .env("PLUGIN_CLIENT_CERT", &host.pem)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a plugin");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut text = String::new();
        let _ = stdout.read_line(&mut text).expect("a line");
        // Its end would be taken for the host's.
        child.stdout = Some(stdout.into_inner());
        let line = HandshakeLine::parse(text.trim_end()).expect("a line");
        assert!(line.certificate().is_some(), "{text}");
        let endpoint = line.location().endpoint().expect("an address");
        let socket = endpoint.socket_file().expect("a file").to_owned();
        Self { child, socket }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn broker_stream(channel: &Channel) -> (StreamSender<ConnInfo>, Streaming<ConnInfo>) {
    let (sender, requests) = Streaming::channel(1);
    let head = CallHead::new(BROKER.methods[0].path);
    (sender, channel.streaming(Prost, head, requests))
}

#[test]
fn a_plugin_serves_no_wrong_host() {
    run(async {
        let certificates = Certificates::new();
        let host = certificates.alone("host");
        let plugin = Launched::for_host(&host);
        let right = || any_client(&Shown::of(&host), &["h2"], None);
        let probe = ProbeClient::from_channel(connect(&plugin.socket, right()).await);
        probe.observe(Nothing {}).await.expect("an answer");
        let socket = plugin.socket.clone();
        let host = tokio::task::spawn_blocking(move || {
            for stranger in Stranger::all(&certificates, &Known::WithKey(&host)) {
                let answer = stranger.knock(&socket);
                assert!(answer.is_err(), "{stranger:?}: {answer:?}");
            }
            host
        });
        let host = host.await.expect("all are refused");
        // Those have harmed nobody.
        probe.observe(Nothing {}).await.expect("an answer");
        let right = any_client(&Shown::of(&host), &["h2"], None);
        let again = ProbeClient::from_channel(connect(&plugin.socket, right).await);
        again.observe(Nothing {}).await.expect("an answer");
    });
}

/// What a host has announced through the broker, and what its plugin serves there.
#[test]
fn a_plugin_on_the_brokers_sockets() {
    run(async {
        let certificates = Certificates::new();
        let host = certificates.alone("host");
        let plugin = Launched::for_host(&host);
        let right = any_client(&Shown::of(&host), &["h2"], None);
        let channel = connect(&plugin.socket, right).await;
        let (mut announcing, mut announced) = broker_stream(&channel);
        let probe = ProbeClient::from_channel(channel);
        let dir = tempfile::tempdir().expect("a directory");
        let servers = [("right".to_owned(), Some(right_server(&host)), "")];
        let wrong = wrong_servers(&certificates, &host);
        for (id, (name, tls, word)) in (1..).zip(servers.into_iter().chain(wrong)) {
            let path = dir.path().join(format!("brokered{id}"));
            serve(&path, tls, vec![Arc::new(AddHelperServer::new(Adder))]);
            announcing.send(info(id, &path)).await.expect("it is read");
            let began = Instant::now();
            let dialled = probe
                .broker_dial(BrokerDialRequest { id, a: 1, b: 1 })
                .await;
            let took = began.elapsed();
            assert!(took < PROMPT, "{name}: {took:?}");
            if name == "right" {
                assert_eq!(dialled.expect("a sum").r, 2);
                continue;
            }
            let text = dialled.expect_err(&name).to_string();
            assert!(
                text.contains("TLS") && text.contains(word),
                "{name}: {text}"
            );
        }
        // Who knocks has the host's certificate and its key.
        let id = probe.broker_accept(Nothing {}).await.expect("it serves").id;
        let served = announced.message().await.expect("an answer").expect("one");
        assert_eq!(served.service_id, id);
        knock(certificates, host, served.address.into()).await;
    });
}
