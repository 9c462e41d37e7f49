//! The pairs of no TLS, TLS of the application's own, and AutoMTLS, on host and plugin.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use outboard::rt::SharedRuntime;
use outboard::{
    CallOptions, Client as _, Host, HostError, RunningPlugin, StartError, StartFailure, Status,
    TlsReason,
};
use outboard_conformance::axes::RuntimeKind;
use outboard_core::handshake::HandshakeError;

use super::{Certificates, Certified, on, own};
use crate::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, SumRequest, SumResponse,
};
use crate::proto::probe::{BrokerDialRequest, Nothing, Payload, Probe as _, ProbeClient};
use crate::rust_host::{HANDSHAKE, Peer};

/// Which TLS a side has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None at all.
    None,
    /// The application's own.
    Own,
    /// AutoMTLS: a host asks for it, and a plugin has it for hosts that ask.
    Auto,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Own, Self::Auto];

    /// Every host with every plugin.
    pub fn pairs() -> impl Iterator<Item = (Self, Self)> {
        let with_all = |host| Self::ALL.map(|plugin| (host, plugin));
        Self::ALL.into_iter().flat_map(with_all)
    }

    /// Whether a host of this kind is told what is wrong with a plugin that does not suit.
    fn is_told(self, failure: &StartFailure) -> bool {
        match self {
            // The plugin speaks TLS.
            Self::None => matches!(failure, StartFailure::Tls { .. }),
            // It does not, or hangs up on who does.
            Self::Own => matches!(
                failure,
                StartFailure::Tls {
                    reason: TlsReason::NotTls | TlsReason::Ended,
                    ..
                }
            ),
            // It has announced none.
            Self::Auto => matches!(
                failure,
                StartFailure::Handshake(HandshakeError::CertificateMissing)
            ),
        }
    }

    /// Whether a host of this kind and such a plugin can talk.
    #[must_use]
    pub fn suits(self, plugin: Self) -> bool {
        match self {
            Self::None => plugin != Self::Own,
            Self::Own | Self::Auto => plugin == self,
        }
    }
}

/// The certificates of both sides for TLS of their own.
#[derive(Debug)]
pub struct Sides {
    certificates: Certificates,
    host: Certified,
    plugin: Certified,
}

impl Default for Sides {
    fn default() -> Self {
        let certificates = Certificates::new();
        Self {
            host: certificates.signed("host"),
            plugin: certificates.signed("plugin"),
            certificates,
        }
    }
}

impl Sides {
    /// The host, with TLS of this kind.
    pub fn host(&self, kind: Kind, host: Host, version: Option<&str>) -> Host {
        match kind {
            Kind::None => host,
            Kind::Own => {
                let trusted = self.certificates.authority().file();
                host.tls(own(self.host.path(), &trusted, version))
            }
            Kind::Auto => host.auto_mtls(true),
        }
    }

    /// The same for the Go host, as flags.
    #[must_use]
    pub fn go_host(&self, kind: Kind) -> Vec<String> {
        let trusted = self.certificates.authority().file();
        match kind {
            Kind::None => Vec::new(),
            Kind::Own => vec![
                format!("-tls-identity={}", self.host.path().display()),
                format!("-tls-trust={}", trusted.display()),
            ],
            Kind::Auto => vec!["-automtls".to_owned()],
        }
    }

    /// What makes a plugin one of this kind: variables that all of them know.
    #[must_use]
    pub fn plugin(&self, kind: Kind) -> Vec<(&'static str, OsString)> {
        let trusted = self.certificates.authority().file();
        match kind {
            Kind::None => vec![("INTEROP_TLS", "none".into())],
            Kind::Own => vec![
                ("INTEROP_TLS_IDENTITY", self.plugin.path().into()),
                ("INTEROP_TLS_TRUST", trusted.into()),
            ],
            Kind::Auto => Vec::new(),
        }
    }
}

/// Why a plugin could not be used.
#[derive(Debug)]
pub enum Refusal {
    /// It did not start.
    Start(Box<StartError>),
    /// It started, and the first call failed.
    Call(Status),
}

struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        Ok(SumResponse {
            r: request.a + request.b,
        })
    }
}

/// Starts the plugin, and makes a call.
///
/// # Errors
/// If one of both fails, in whatever way.
///
/// # Panics
/// If the host is not set up as it should be.
pub async fn try_out(
    host: Host,
    runtime: &SharedRuntime,
) -> Result<(RunningPlugin, ProbeClient), Refusal> {
    let plugin = match host.start(runtime.clone()).await {
        Ok(plugin) => plugin,
        Err(HostError::Start { error, .. }) => return Err(Refusal::Start(error)),
        Err(other) => panic!("{other:?}"),
    };
    let probe = ProbeClient::from_channel(plugin.channel());
    let probe = probe.with_options(CallOptions::new().timeout(Duration::from_secs(20)));
    let data = b"secured".to_vec();
    match probe.echo(Payload { data }).await {
        Ok(_) => Ok((plugin, probe)),
        Err(status) => {
            let _killed = plugin.kill().await;
            Err(Refusal::Call(status))
        }
    }
}

/// Starts the plugin and uses it, its broker in both directions included, and ends it.
///
/// # Panics
/// If anything of this fails.
pub async fn use_all(host: Host, runtime: &SharedRuntime) {
    let tried = try_out(host, runtime).await;
    let (plugin, probe) = tried.unwrap_or_else(|why| panic!("it is of no use: {why:?}"));
    brokered(&plugin, &probe).await;
    let report = plugin.shutdown().await.expect("it ends by itself");
    assert!(report.exit.success(), "{report}");
}

/// Each side calls what the other one serves.
///
/// # Panics
/// If one of them fails.
pub async fn brokered(plugin: &RunningPlugin, probe: &ProbeClient) {
    let served = plugin.broker().serve(AddHelperServer::new(Adder));
    let served = served.expect("the host serves");
    let dial = BrokerDialRequest {
        id: served.id(),
        a: 40,
        b: 2,
    };
    let there = probe.broker_dial(dial).await.expect("the plugin dials");
    assert_eq!(there.r, 42);
    let accepted = probe.broker_accept(Nothing {}).await.expect("it serves");
    let helper: AddHelperClient = plugin.broker().dial(accepted.id).await.expect("a dial");
    let here = helper.sum(SumRequest { a: 1, b: 2 }).await.expect("a sum");
    assert_eq!(here.r, 3);
}

impl Sides {
    /// A Rust host of one kind and a plugin of another: what suits works, whatever the runtime; what
    /// does not names TLS in its error, at once.
    ///
    /// # Panics
    /// If not.
    pub fn expect(&self, runtime: RuntimeKind, peer: &Peer, host: Kind, plugin: Kind) {
        let pair = format!("{runtime}: host {host:?}, plugin {plugin:?}");
        let mut command = peer.command(&["all"]);
        for (name, value) in self.plugin(plugin) {
            command = command.env(name, value);
        }
        let of_kind = self.host(host, Host::new(HANDSHAKE).command(command), None);
        if host.suits(plugin) {
            return on(runtime, async |runtime| use_all(of_kind, &runtime).await);
        }
        // A plugin that hangs up and lives is tried again for as long as its host says: that comes to the
        // same error, where the first call is later than the first end.
        let of_kind = of_kind.reconnect_within(Duration::from_secs(2));
        let began = Instant::now();
        let tried = on(runtime, async |runtime| {
            try_out(of_kind, &runtime).await.map(drop)
        });
        let took = began.elapsed();
        let text = match tried.expect_err(&pair) {
            Refusal::Start(error) => {
                assert!(host.is_told(&error.failure), "{pair}: {error:?}");
                error.to_string()
            }
            // A host without TLS has sent its first call when it finds out.
            Refusal::Call(status) => {
                assert_eq!(host, Kind::None, "{pair}: {status}");
                status.to_string()
            }
        };
        assert!(text.contains("TLS"), "{pair}: {text}");
        assert!(took < Duration::from_secs(10), "{pair}: {took:?}");
    }
}
