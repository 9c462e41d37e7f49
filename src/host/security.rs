//! How a host secures the connections to its plugin.

#[cfg(feature = "tls")]
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::time::SystemTime;

use outboard_core::env::HostEnv;
use outboard_core::handshake::HostExpectation;
use outboard_core::tls::TlsFault;
#[cfg(feature = "tls")]
use outboard_tls::{Identity, KeyKind, Pinned, Tls};

use super::ConfigError;
#[cfg(feature = "tls")]
use super::Host;
use crate::carrier::Security;

/// What the host's user wants.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    #[cfg(feature = "tls")]
    pub(super) auto_mtls: bool,
    #[cfg(feature = "tls")]
    pub(super) key: KeyKind,
    /// For AutoMTLS, in place of one that is made for the launch.
    #[cfg(feature = "tls")]
    pub(super) identity: Option<Identity>,
    #[cfg(feature = "tls")]
    pub(super) own: Option<Tls>,
}

/// How the connections of one launch will be secured.
#[derive(Clone, Default)]
pub(super) enum Secure {
    /// Not, or as was settled with the first.
    #[default]
    Clear,
    #[cfg(feature = "tls")]
    Own(Tls),
    /// By this and what the plugin answers.
    #[cfg(feature = "tls")]
    AutoMtls(Arc<Identity>),
}

#[cfg(feature = "tls")]
impl Host {
    /// Whether host and plugin make a one-time certificate each and accept nobody else's (AutoMTLS), on
    /// all connections between them, those of the broker included. They do not unless this is called.
    ///
    /// The keys live in memory only, and for one launch. Each side compares the other's certificate
    /// byte for byte, and looks at no dates: the clocks of two machines may differ.
    ///
    /// A plugin that prints no certificate is refused
    /// ([`CertificateMissing`](crate::error::HandshakeError::CertificateMissing)): plugins of go-plugin
    /// and of outboard have one, those in Python or Node usually none.
    ///
    /// Over [`Stdio`](crate::transport) there is no TLS, and none is missed: the pipes exist in the two
    /// processes alone and have no name that a third could open. What protects them is what protects the
    /// processes' memory, the system's separation of users; who may trace the plugin could read
    /// its keys as well.
    pub fn auto_mtls(mut self, wanted: bool) -> Self {
        self.security.auto_mtls = wanted;
        self
    }

    /// The kind of the one-time key for [`auto_mtls`](Self::auto_mtls); P-256 if this is not called.
    pub fn identity_key(mut self, kind: KeyKind) -> Self {
        self.security.key = kind;
        self
    }

    /// [`auto_mtls`](Self::auto_mtls) with this identity in place of one that nobody else will ever have:
    /// where another host is to attach to the plugin later, which takes the same. The record of the plugin
    /// has the certificate of the plugin, and never a key of anybody's: how the identity gets to that host
    /// is up to the application.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::SystemTime;
    ///
    /// use outboard::tls::{Identity, KeyKind};
    /// use outboard::{Command, Handshake, Host, Tokio};
    ///
    /// const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
    ///
    /// // A secret: whoever has it can be this host.
    /// let secret = Identity::generate_pem(KeyKind::P256, SystemTime::now())?;
    /// let first = Host::new(HANDSHAKE).command(Command::new("./greeter"));
    /// let first = first.identity(Identity::from_pem(&secret)?).start(Tokio::current()).await?;
    /// let record = first.reattach_config()?;
    ///
    /// let second = Host::new(HANDSHAKE).attach(record).identity(Identity::from_pem(&secret)?);
    /// let second = second.start(Tokio::current()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn identity(mut self, identity: Identity) -> Self {
        self.security.auto_mtls = true;
        self.security.identity = Some(identity);
        self
    }

    /// TLS of the application's own, for plugins that have the same, in place of
    /// [`auto_mtls`](Self::auto_mtls). The client's part connects; without a server's part the host
    /// cannot serve through its broker.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.security.own = Some(tls);
        self
    }
}

impl Wanted {
    /// What is wanted of a launch, with what is told to the plugin and expected of its line.
    ///
    /// `sockets`: whether the plugin may listen on one. Pipes are nobody else's as they are.
    #[cfg(feature = "tls")]
    pub(super) fn begin(
        &self,
        sockets: bool,
        (env, expected): (HostEnv, HostExpectation),
    ) -> Result<(Secure, (HostEnv, HostExpectation)), ConfigError> {
        match &self.own {
            Some(_) if self.auto_mtls => Err(ConfigError::TwoKindsOfTls),
            Some(own) if !own.can_connect() => Err(ConfigError::Tls {
                cause: crate::text::chain(&outboard_tls::TlsError::NoClientConfig),
            }),
            Some(own) => Ok((Secure::Own(own.clone()), (env, expected))),
            None if self.auto_mtls && sockets => {
                let identity = match &self.identity {
                    Some(identity) => Ok(identity.clone()),
                    None => Identity::generate(self.key, SystemTime::now()),
                };
                let identity = identity.map_err(|error| ConfigError::Tls {
                    cause: crate::text::chain(&error),
                })?;
                let contract = (env.client_cert(identity.pem()), expected.certificate(true));
                Ok((Secure::AutoMtls(Arc::new(identity)), contract))
            }
            None => Ok((Secure::Clear, (env, expected))),
        }
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unnecessary_wraps, reason = "with TLS there are errors")]
    pub(super) fn begin(
        &self,
        _sockets: bool,
        contract: (HostEnv, HostExpectation),
    ) -> Result<(Secure, (HostEnv, HostExpectation)), ConfigError> {
        Ok((Secure::Clear, contract))
    }
}

impl Secure {
    /// What is done with streams, now that the certificate of the plugin's line is known, DER.
    ///
    /// # Errors
    /// If that is no certificate.
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_variables, reason = "without TLS it is of no use")
    )]
    pub(super) fn with(&self, certificate: Option<&[u8]>) -> Result<Security, TlsFault> {
        match self {
            Self::Clear => Ok(Security::default()),
            #[cfg(feature = "tls")]
            Self::Own(tls) => Ok(tls.clone().into()),
            #[cfg(feature = "tls")]
            Self::AutoMtls(identity) => {
                // Without one the line was refused.
                let pinned = Pinned::from_der(certificate.unwrap_or_default());
                let tls = pinned.and_then(|pinned| Tls::pinned(identity, &pinned));
                let tls = tls.map_err(|error| crate::carrier::fault(&error))?;
                Ok(tls.into())
            }
        }
    }
}
