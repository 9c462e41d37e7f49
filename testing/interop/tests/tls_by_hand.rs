//! AutoMTLS with outboard on one side and the test itself on the other, which has every certificate's
//! key and can misuse it: whoever does not show the certificate that was announced, or shows it without
//! its key, or agrees on no protocol, is neither served nor called; nor is who speaks no TLS. On the
//! first connection and on those of the broker. Needs no other toolchain.
#![cfg(unix)]

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outboard::codegen::{
    Bytes, Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_bidirectional,
};
use outboard::rt::SharedRuntime;
use outboard::tls::Tls;
use outboard::tls::rustls::ClientConfig;
use outboard::{
    Channel, Client as _, Endpoint, Host, Service, StartFailure, StartPhase, Streaming, TlsReason,
};
use outboard_conformance::axes::RuntimeKind;
use outboard_core::handshake::{HandshakeError, HandshakeLine, Location, Protocol};
use outboard_core::rpc::{Call, CallContext, ServiceDescriptor};
use outboard_core::wire::plugin::{BROKER, ConnInfo};
use outboard_interop::Launched;
use outboard_interop::proto::examples::{
    AddHelper as _, AddHelperClient, AddHelperServer, SumRequest,
};
use outboard_interop::proto::probe::{BrokerDialRequest, Nothing, Probe as _, ProbeClient};
use outboard_interop::rust_host::Peer;
use outboard_interop::tls::by_hand::{
    Adder, PROMPT, Server, adder, adds, broker_stream, call_over, is_late, is_reason, refused,
    right_server, started, wrong_servers,
};
use outboard_interop::tls::strangers::{Known, Stranger};
use outboard_interop::tls::{Certificates, Certified, Shown, any_client, on};
use outboard_kit::elsewhere;
use outboard_kit::files::sockets_in;

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// Announces what is served, and keeps the control stream.
struct Announcements(SharedRuntime, Vec<ConnInfo>);

impl Service for Announcements {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &BROKER
    }

    fn unary(&self, method: usize, _: CallContext, _: Bytes) -> UnaryAnswer {
        no_such_method(&BROKER, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let Self(runtime, infos) = self;
        let (runtime, infos) = (Arc::clone(runtime), infos.clone());
        let answer = move |mut theirs: Streaming<ConnInfo>| async move {
            let (mut sender, outgoing) = Streaming::channel(8);
            runtime.spawn(Box::pin(async move {
                for info in infos {
                    let _sent = sender.send(info).await;
                }
                while let Ok(Some(_)) = theirs.message().await {}
            }));
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

/// Runs a scenario once on each runtime.
fn on_each<F: Future<Output = ()>>(scenario: impl Fn(RuntimeKind, SharedRuntime) -> F) {
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        on(kind, |runtime| scenario(kind, runtime));
    }
}

/// Serves these at `path`, with TLS or without.
fn serve(runtime: &SharedRuntime, path: &Path, tls: Option<Tls>, services: Vec<Arc<dyn Service>>) {
    Server::new(tls, services).listen(runtime, path);
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

/// A plugin that announces no certificate is refused by the line alone, and where it listens nobody
/// comes.
#[test]
fn a_host_wants_a_certificate() {
    on_each(async |_, runtime| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin1");
        let socket = UnixListener::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let error = refused(host_of(&line(&path, None)), &runtime).await;
        assert_eq!(
            error.failure,
            StartFailure::Handshake(HandshakeError::CertificateMissing)
        );
        let nobody = socket.accept().expect_err("nobody comes");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    });
}

/// One that has the outline of a certificate and is none is found out before anybody connects.
#[test]
fn a_host_wants_a_certificate_that_can_be_read() {
    on_each(async |_, runtime| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin1");
        let socket = UnixListener::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        // Three parts as there should be, of which the first holds nothing that is known.
        let mut der = vec![0x30, 0x2f, 0x30, 0x28, 0x04, 0x26];
        der.resize(der.len() + 0x26, 7);
        der.extend([0x30, 0x00, 0x03, 0x01, 0x00]);
        let location = Location::Endpoint(Endpoint::Unix(path));
        let line = HandshakeLine::new(1, location, Protocol::Grpc).with_certificate(der);
        let line = String::from_utf8(line.to_bytes()).expect("text");
        let error = refused(host_of(&line), &runtime).await;
        assert!(
            matches!(
                error.failure,
                StartFailure::Tls {
                    reason: TlsReason::NotACertificate,
                    ..
                }
            ),
            "{error:?}"
        );
        let nobody = socket.accept().expect_err("nobody comes");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_host_uses_no_wrong_plugin() {
    on_each(async |_, runtime| {
        let certificates = Certificates::new();
        let announced = certificates.alone("announced");
        let dir = tempfile::tempdir().expect("a directory");
        let right = dir.path().join("right");
        let services = vec![adder()];
        serve(
            &runtime,
            &right,
            Some(right_server(&announced)),
            services.clone(),
        );
        let plugin = started(host_of(&line(&right, Some(&announced))), &runtime).await;
        adds(plugin.channel()).await;
        let _killed = plugin.kill().await;
        for (n, (name, tls, word)) in wrong_servers(&certificates, &announced)
            .into_iter()
            .enumerate()
        {
            let path = dir.path().join(format!("wrong{n}"));
            serve(&runtime, &path, tls, services.clone());
            let began = Instant::now();
            let error = refused(host_of(&line(&path, Some(&announced))), &runtime).await;
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
        }
    });
}

/// One that takes the connection and says nothing is given up, also where a start may take longer.
#[test]
fn a_host_does_not_wait_for_a_mute_plugin() {
    on_each(async |_, runtime| {
        let certificates = Certificates::new();
        let announced = certificates.alone("announced");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mute");
        let _socket = UnixListener::bind(&path).expect("a socket");
        let began = Instant::now();
        let error = refused(host_of(&line(&path, Some(&announced))), &runtime).await;
        let took = began.elapsed();
        assert!(is_late(&error.failure), "{error:?}");
        assert!(error.to_string().contains("TLS"), "{error}");
        assert!(took < Duration::from_secs(20), "{took:?}");
        let host = host_of(&line(&path, Some(&announced)));
        let error = refused(host.start_timeout(Duration::from_secs(2)), &runtime).await;
        let StartFailure::TimedOut { phase, .. } = error.failure else {
            panic!("{error:?}");
        };
        assert_eq!(phase, StartPhase::Tls);
    });
}

/// What a plugin has announced through the broker, and what its host serves there.
#[test]
fn a_host_on_the_brokers_sockets() {
    on_each(async |_, runtime| {
        let certificates = Certificates::new();
        let announced = certificates.alone("announced");
        let dir = tempfile::tempdir().expect("a directory");
        let adder = adder();
        let mut infos = Vec::new();
        let mut serve_next = |tls| {
            let id = u32::try_from(infos.len()).expect("few") + 1;
            let path = dir.path().join(format!("brokered{id}"));
            serve(&runtime, &path, tls, vec![Arc::clone(&adder)]);
            infos.push(info(id, &path));
            id
        };
        let right = serve_next(Some(right_server(&announced)));
        let wrong: Vec<_> = wrong_servers(&certificates, &announced)
            .into_iter()
            .map(|(name, tls, word)| (name, serve_next(tls), word))
            .collect();
        let main = dir.path().join("plugin");
        let broker: Arc<dyn Service> = Arc::new(Announcements(Arc::clone(&runtime), infos));
        serve(
            &runtime,
            &main,
            Some(right_server(&announced)),
            vec![adder, broker],
        );
        let sockets = tempfile::tempdir().expect("a directory");
        let host = host_of(&line(&main, Some(&announced)));
        let plugin = started(host.socket_dir(sockets.path()), &runtime).await;
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
        knock(&runtime, certificates, announced, socket.clone()).await;
        drop(served);
        let _killed = plugin.kill().await;
    });
}

/// All strangers are refused, and the right one is not.
async fn knock(
    runtime: &SharedRuntime,
    certificates: Certificates,
    known: Certified,
    socket: PathBuf,
) {
    let right = any_client(&Shown::of(&known), &["h2"], None);
    adds(connect(runtime, &socket, right).await).await;
    elsewhere(move || {
        for stranger in Stranger::all(&certificates, &Known::WithKey(&known)) {
            let answer = stranger.knock(&socket);
            assert!(answer.is_err(), "{stranger:?}: {answer:?}");
        }
    })
    .await;
}

async fn connect(runtime: &SharedRuntime, socket: &Path, tls: ClientConfig) -> Channel {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let io = runtime.connect(&endpoint).await.expect("a connection");
    call_over(runtime, io, tls).await
}

#[test]
fn a_plugin_serves_no_wrong_host() {
    on_each(async |kind, runtime| {
        let certificates = Certificates::new();
        let host = certificates.alone("host");
        let plugin = Launched::for_host(PLUGIN, &host, &[("INTEROP_RUNTIME", &kind.to_string())]);
        let right = || any_client(&Shown::of(&host), &["h2"], None);
        let probe = ProbeClient::from_channel(connect(&runtime, &plugin.socket, right()).await);
        probe.observe(Nothing {}).await.expect("an answer");
        let socket = plugin.socket.clone();
        let host = elsewhere(move || {
            for stranger in Stranger::all(&certificates, &Known::WithKey(&host)) {
                let answer = stranger.knock(&socket);
                assert!(answer.is_err(), "{stranger:?}: {answer:?}");
            }
            host
        })
        .await;
        // Those have harmed nobody.
        probe.observe(Nothing {}).await.expect("an answer");
        let right = any_client(&Shown::of(&host), &["h2"], None);
        let again = ProbeClient::from_channel(connect(&runtime, &plugin.socket, right).await);
        again.observe(Nothing {}).await.expect("an answer");
    });
}

/// What a host has announced through the broker, and what its plugin serves there.
#[test]
fn a_plugin_on_the_brokers_sockets() {
    on_each(async |kind, runtime| {
        let certificates = Certificates::new();
        let host = certificates.alone("host");
        let plugin = Launched::for_host(PLUGIN, &host, &[("INTEROP_RUNTIME", &kind.to_string())]);
        let right = any_client(&Shown::of(&host), &["h2"], None);
        let channel = connect(&runtime, &plugin.socket, right).await;
        let (mut announcing, mut announced) = broker_stream(&channel);
        let probe = ProbeClient::from_channel(channel);
        let dir = tempfile::tempdir().expect("a directory");
        let servers = [("right".to_owned(), Some(right_server(&host)), "")];
        let wrong = wrong_servers(&certificates, &host);
        for (id, (name, tls, word)) in (1..).zip(servers.into_iter().chain(wrong)) {
            let path = dir.path().join(format!("brokered{id}"));
            serve(&runtime, &path, tls, vec![adder()]);
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
        knock(&runtime, certificates, host, served.address.into()).await;
    });
}
