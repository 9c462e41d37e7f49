//! Sides of a connection that a test makes by hand: servers that are to be called and servers that are
//! not, clients that show what a test wants them to show.

use std::future::poll_fn;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outboard::codegen::Prost;
use outboard::rt::SharedRuntime;
use outboard::tls::Tls;
use outboard::{
    Channel, Client as _, Endpoint, H2, Host, HostError, RunningPlugin, Service, StartError,
    StartFailure, StartPhase, Status, StreamSender, Streaming, TlsReason, Transport as _,
};
use outboard_core::rpc::{CallHead, ConnectionConfig, Router, ServerConfig};
use outboard_core::rt::BoxByteStream;
use outboard_core::wire::plugin::{BROKER, ConnInfo};
use rustls::ClientConfig;

use super::{Certificates, Certified, Shown, Wanted, any_server};
use crate::Launched;
use crate::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, SumRequest, SumResponse,
};

/// A time in which what should happen at once has happened, also on a busy machine.
pub const PROMPT: Duration = Duration::from_secs(4);

/// Adds two numbers.
#[derive(Clone, Copy, Debug)]
pub struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        Ok(SumResponse {
            r: request.a + request.b,
        })
    }
}

/// What adds two numbers.
#[must_use]
pub fn adder() -> Arc<dyn Service> {
    Arc::new(AddHelperServer::new(Adder))
}

/// Has the other end of this add.
///
/// # Panics
/// If it does not.
pub async fn adds(channel: Channel) {
    let helper = AddHelperClient::from_channel(channel);
    let sum = helper.sum(SumRequest { a: 2, b: 3 }).await;
    assert_eq!(sum.expect("a sum").r, 5);
}

/// A server with TLS or without. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    tls: Option<Tls>,
    router: Arc<Router>,
}

impl Server {
    /// A server of these.
    ///
    /// # Panics
    /// If two of them have the same name.
    #[must_use]
    pub fn new(tls: Option<Tls>, services: Vec<Arc<dyn Service>>) -> Self {
        let mut router = Router::new();
        for service in services {
            router.add(service).expect("the first of its name");
        }
        let router = Arc::new(router);
        Self { tls, router }
    }

    /// Serves on this stream until it is closed.
    pub async fn take(self, runtime: SharedRuntime, io: BoxByteStream) {
        let io = match self.tls {
            None => io,
            // The other side refused, as it should.
            Some(tls) => match tls.accept(io, None).await {
                Ok(io) => io,
                Err(_refused) => return,
            },
        };
        let serving = H2::default().serve(&runtime, io, self.router, ServerConfig::default());
        serving.closed().await;
    }

    /// Serves whoever comes to `path`.
    ///
    /// # Panics
    /// If there is no room for a socket.
    pub fn listen(self, runtime: &SharedRuntime, path: &Path) {
        let at = Arc::clone(runtime);
        each_at(runtime, path, move |io| {
            at.spawn(Box::pin(self.clone().take(Arc::clone(&at), io)));
        });
    }
}

/// Has `take` take whoever comes to `path`.
///
/// # Panics
/// If there is no room for a socket.
pub fn each_at(
    runtime: &SharedRuntime,
    path: &Path,
    mut take: impl FnMut(BoxByteStream) + Send + 'static,
) {
    let socket = UnixListener::bind(path).expect("a socket");
    let endpoint = Endpoint::Unix(path.to_owned());
    let listener = runtime.listener(socket.into(), endpoint);
    let mut listener = listener.expect("a listener");
    runtime.spawn(Box::pin(async move {
        while let Ok(accepted) = poll_fn(|cx| listener.poll_accept(cx)).await {
            take(accepted.io);
        }
    }));
}

/// TLS of the server whose certificate was announced.
#[must_use]
pub fn right_server(certified: &Certified) -> Tls {
    Tls::server(any_server(&Shown::of(certified), &["h2"], None))
}

/// Whether this is what a program is told where people find that word.
#[must_use]
pub fn is_reason(reason: TlsReason, word: &str) -> bool {
    match word {
        "certificate" => reason == TlsReason::OtherCertificate,
        "signature" => reason == TlsReason::WrongKey,
        "h2" => reason == TlsReason::NoProtocol,
        // It may have hung up without a word.
        _ => matches!(reason, TlsReason::NotTls | TlsReason::Ended),
    }
}

/// Whether a plugin that says nothing was given up: the phase is limited before its handshake is.
#[must_use]
pub fn is_late(failure: &StartFailure) -> bool {
    matches!(
        failure,
        StartFailure::TimedOut {
            phase: StartPhase::Tls,
            ..
        } | StartFailure::Tls {
            reason: TlsReason::TimedOut,
            ..
        }
    )
}

/// Servers that are not to be used where this certificate was announced, and a word of what is said of
/// each.
#[must_use]
pub fn wrong_servers(
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

/// How a host does not come to use its plugin.
///
/// # Panics
/// If it does.
pub async fn refused(host: Host, runtime: &SharedRuntime) -> StartError {
    match host.start(runtime.clone()).await {
        Ok(plugin) => panic!("it started: {plugin:?}"),
        Err(HostError::Start { error, .. }) => *error,
        Err(other) => panic!("{other:?}"),
    }
}

/// The plugin of a host.
///
/// # Panics
/// If it does not start.
pub async fn started(host: Host, runtime: &SharedRuntime) -> RunningPlugin {
    let outcome = host.start(runtime.clone()).await;
    outcome.unwrap_or_else(|error| panic!("it does not start: {error:?}"))
}

/// The calling side of a stream, as this client.
///
/// # Panics
/// If the other side refuses it.
pub async fn call_over(runtime: &SharedRuntime, io: BoxByteStream, tls: ClientConfig) -> Channel {
    let io = Tls::client(tls).connect(io, Some("h2")).await;
    let io = io.unwrap_or_else(|error| panic!("no TLS: {error}"));
    Channel::new(H2::default().connect(runtime, io, ConnectionConfig::default()))
}

/// The control stream of the broker that the other end of this serves.
#[must_use]
pub fn broker_stream(channel: &Channel) -> (StreamSender<ConnInfo>, Streaming<ConnInfo>) {
    let (sender, requests) = Streaming::channel(1);
    let head = CallHead::new(BROKER.methods[0].path);
    (sender, channel.streaming(Prost, head, requests))
}

impl Launched {
    /// Launches this program for a host with this certificate.
    ///
    /// # Panics
    /// If it prints no line with a certificate of its own.
    #[must_use]
    pub fn for_host(program: &str, host: &Certified, variables: &[(&str, &str)]) -> Self {
        let certificate = [("PLUGIN_CLIENT_CERT", &*host.pem)];
        let (plugin, line) = Self::new(program, "all", &[&certificate, variables].concat());
        assert!(line.certificate().is_some(), "{line}");
        plugin
    }
}
