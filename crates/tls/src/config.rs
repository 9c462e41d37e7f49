//! How one side secures its connections.

use std::fmt;
use std::sync::Arc;

use outboard_core::rt::{BoxByteStream, BoxFuture};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DEFAULT_VERSIONS, ServerConfig, SupportedProtocolVersion};

use crate::identity::NAME;
use crate::provider::provider;
use crate::session::{Connection, Session};
use crate::stream::secure;
use crate::verify::Verifier;
use crate::{Identity, Pinned, TlsError};

/// How one side secures its connections, in either role. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    client: Option<Arc<ClientConfig>>,
    server: Option<Arc<ServerConfig>>,
    name: ServerName<'static>,
}

impl Tls {
    /// AutoMTLS: in both roles `identity` is shown, and `peer` alone accepted.
    ///
    /// TLS 1.3, and 1.2 for who has no better. Sessions are not resumed: a plugin has few connections,
    /// and a ticket for each would be work for nothing.
    ///
    /// # Errors
    ///
    /// When rustls refuses the configuration.
    pub fn pinned(identity: &Identity, peer: &Pinned) -> Result<Self, TlsError> {
        Self::pinned_with(identity, peer, DEFAULT_VERSIONS)
    }

    /// As [`Tls::pinned`], with these versions of TLS alone.
    ///
    /// # Errors
    ///
    /// When rustls refuses the configuration.
    pub fn pinned_with(
        identity: &Identity,
        peer: &Pinned,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(Verifier::new(peer.clone(), Arc::clone(&provider)));
        let key = Arc::new(SingleCertAndKey::from(Arc::clone(&identity.key)));

        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(TlsError::Other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(key.clone());
        client.resumption = Resumption::disabled();

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(TlsError::Other)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(key);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        Ok(Self::client(client).with_server(server))
    }

    /// The application's own, for connecting, to a server that is called `localhost` unless
    /// [`Tls::server_name`] says otherwise.
    pub fn client(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self::none().with_client(config)
    }

    /// The application's own, for accepting.
    pub fn server(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self::none().with_server(config)
    }

    /// Sets what it connects with, for the other direction of a broker's connections.
    #[must_use]
    pub fn with_client(mut self, config: impl Into<Arc<ClientConfig>>) -> Self {
        self.client = Some(config.into());
        self
    }

    /// Sets what it accepts with, for the other direction of a broker's connections.
    #[must_use]
    pub fn with_server(mut self, config: impl Into<Arc<ServerConfig>>) -> Self {
        self.server = Some(config.into());
        self
    }

    /// Sets the name that a server is asked for, and that its certificate must have.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotAServerName`] when it is neither a DNS name nor an IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, TlsError> {
        self.name =
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::NotAServerName {
                found: name.to_owned(),
            })?;
        Ok(self)
    }

    /// Whether it can connect.
    #[must_use]
    pub fn can_connect(&self) -> bool {
        self.client.is_some()
    }

    /// Whether it can accept.
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.server.is_some()
    }

    /// Secures a connection that this side has made.
    ///
    /// `alpn` is the protocol that both sides must name, `h2` for gRPC, and is added to the
    /// configuration if it lacks it. Without one the configuration's own are offered, which for
    /// AutoMTLS are none, and none is required.
    ///
    /// With TLS 1.3 a client has connected before the server has seen its certificate: that it is
    /// refused shows at the first read, see [`TlsError::of`].
    pub fn connect(
        &self,
        io: BoxByteStream,
        alpn: Option<&'static str>,
    ) -> BoxFuture<'static, Result<BoxByteStream, TlsError>> {
        let made = self
            .client
            .clone()
            .ok_or(TlsError::NoClientConfig)
            .and_then(|mut config| {
                if lacks(&config.alpn_protocols, alpn) {
                    offer(&mut Arc::make_mut(&mut config).alpn_protocols, alpn);
                }
                UnbufferedClientConnection::new(config, self.name.clone()).map_err(TlsError::Other)
            });
        Box::pin(async move {
            let session = Session::new(Connection::Client(made?), alpn);
            secure(io, session).await
        })
    }

    /// Secures a connection that this side has accepted; `alpn` as in [`Tls::connect`].
    pub fn accept(
        &self,
        io: BoxByteStream,
        alpn: Option<&'static str>,
    ) -> BoxFuture<'static, Result<BoxByteStream, TlsError>> {
        let made = self
            .server
            .clone()
            .ok_or(TlsError::NoServerConfig)
            .and_then(|mut config| {
                if lacks(&config.alpn_protocols, alpn) {
                    offer(&mut Arc::make_mut(&mut config).alpn_protocols, alpn);
                }
                UnbufferedServerConnection::new(config).map_err(TlsError::Other)
            });
        Box::pin(async move {
            let session = Session::new(Connection::Server(made?), alpn);
            secure(io, session).await
        })
    }

    fn none() -> Self {
        Self {
            client: None,
            server: None,
            name: localhost(),
        }
    }
}

fn localhost() -> ServerName<'static> {
    // It is a DNS name; an address stands in so that nothing here can panic.
    ServerName::try_from(NAME).unwrap_or_else(|_| {
        let address = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        ServerName::IpAddress(address.into())
    })
}

fn lacks(protocols: &[Vec<u8>], alpn: Option<&str>) -> bool {
    alpn.is_some_and(|alpn| !protocols.iter().any(|one| one == alpn.as_bytes()))
}

fn offer(protocols: &mut Vec<Vec<u8>>, alpn: Option<&str>) {
    protocols.extend(alpn.map(|alpn| alpn.as_bytes().to_vec()));
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("can_connect", &self.can_connect())
            .field("can_accept", &self.can_accept())
            .field("server_name", &self.name)
            .finish_non_exhaustive()
    }
}
