//! What a host expects of a handshake line.

use std::collections::BTreeSet;

use super::{HandshakeError, HandshakeLine, Protocol, line};

/// What a host accepts: the other half of what it put into the plugin's environment.
///
/// Nothing is offered at first; like go-plugin's host, only `netrpc` is allowed until others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostExpectation {
    versions: BTreeSet<i64>,
    protocols: Vec<Protocol>,
    multiplexing: bool,
    certificate: bool,
}

impl HostExpectation {
    /// Expects one of these versions of the interfaces, over `netrpc`.
    #[must_use]
    pub fn new(versions: impl IntoIterator<Item = i64>) -> Self {
        Self {
            versions: versions.into_iter().collect(),
            protocols: vec![Protocol::NetRpc],
            multiplexing: false,
            certificate: false,
        }
    }

    /// Allows these protocols, and no others. [`Protocol::Stdio`] belongs here only if the host
    /// offered it to the plugin.
    #[must_use]
    pub fn allowing(mut self, protocols: impl IntoIterator<Item = Protocol>) -> Self {
        self.protocols = protocols.into_iter().collect();
        self
    }

    /// Requires a gRPC plugin to multiplex its brokered connections.
    #[must_use]
    pub fn multiplexing(mut self, wanted: bool) -> Self {
        self.multiplexing = wanted;
        self
    }

    /// Requires a plugin that listens on a socket to show a certificate, as one does that was sent
    /// the host's. go-plugin's host does not, and fails when it connects.
    #[must_use]
    pub fn certificate(mut self, wanted: bool) -> Self {
        self.certificate = wanted;
        self
    }

    /// The versions offered.
    #[must_use]
    pub fn versions(&self) -> &BTreeSet<i64> {
        &self.versions
    }

    /// The protocols allowed.
    #[must_use]
    pub fn protocols(&self) -> &[Protocol] {
        &self.protocols
    }

    /// Whether a certificate is required.
    #[must_use]
    pub fn wants_certificate(&self) -> bool {
        self.certificate
    }

    /// Whether multiplexing is required.
    #[must_use]
    pub fn wants_multiplexing(&self) -> bool {
        self.multiplexing
    }

    /// Reads a line and applies every rule, in go-plugin's order: core version, application
    /// version, address, protocol, certificate, multiplexing. The first one broken is reported.
    ///
    /// # Errors
    /// [`HandshakeError`], one variant per rule.
    pub fn check(&self, line: impl AsRef<[u8]>) -> Result<Accepted, HandshakeError> {
        self.check_translated(line, |network, address| {
            Ok((network.to_owned(), address.to_owned()))
        })
    }

    /// The same with an address translator, for plugins that see other addresses than the host,
    /// such as those in a container. It gets network and address as the plugin printed them and
    /// returns the host's; it is not called for a stdio answer.
    ///
    /// # Errors
    /// As [`check`](Self::check), and [`HandshakeError::Translation`] with what the translator
    /// returned as error.
    pub fn check_translated(
        &self,
        line: impl AsRef<[u8]>,
        translate: impl FnOnce(&str, &str) -> Result<(String, String), String>,
    ) -> Result<Accepted, HandshakeError> {
        line::check(self, line.as_ref(), translate)
    }
}

/// A handshake line the host accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The line, its address translated.
    pub line: HandshakeLine,
    /// Whether brokered connections are multiplexed: the host wanted it, the protocol is gRPC, and
    /// the plugin agreed.
    pub multiplexing: bool,
}
