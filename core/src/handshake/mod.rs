//! The handshake: what both programs agreed on beforehand, and the one line a plugin prints.
//!
//! The line comes as bytes into [`HandshakeReader`]; what it returns goes to
//! [`HostExpectation::check`], which yields a [`HandshakeLine`] or says what is wrong.

mod certificate;
mod error;
mod expect;
mod line;
mod reader;
mod refusal;

use std::fmt;
use std::str::FromStr;

pub use certificate::CertificateError;
pub(crate) use certificate::{certificate_of_text, print as certificate_text};
pub use error::{HandshakeError, MultiplexingRefusal, StrayEnd};
pub use expect::{Accepted, HostExpectation};
pub use line::{HandshakeLine, Location};
pub use reader::{HandshakeReader, Progress, StrayTolerance};
pub use refusal::Refusal;

/// The version of the handshake itself, the line's first field. go-plugin never had another.
pub const CORE_VERSION: i64 = 1;

/// What a host and its plugins agree on when they are written: the magic cookie, which tells a
/// plugin that a fitting host launched it, and the version of the interfaces.
///
/// The cookie serves people (a plugin started by hand explains itself); it is no secret and gives
/// no security. A cookie key or value that is empty is refused when it is used, by
/// [`check`](Self::check).
///
/// ```
/// use outboard_core::handshake::Handshake;
///
/// const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
/// assert_eq!(HANDSHAKE.check(), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handshake {
    protocol_version: i64,
    cookie_key: &'static str,
    cookie_value: &'static str,
}

impl Handshake {
    /// An agreement on version `protocol_version`, with the environment variable `cookie_key` set
    /// to `cookie_value` in the plugin.
    #[must_use]
    pub const fn new(
        protocol_version: i64,
        cookie_key: &'static str,
        cookie_value: &'static str,
    ) -> Self {
        Self {
            protocol_version,
            cookie_key,
            cookie_value,
        }
    }

    /// The version under which interfaces registered without a version are filed. 0 is legal.
    #[must_use]
    pub const fn protocol_version(&self) -> i64 {
        self.protocol_version
    }

    /// The name of the environment variable that holds the cookie.
    #[must_use]
    pub const fn cookie_key(&self) -> &'static str {
        self.cookie_key
    }

    /// What the variable holds.
    #[must_use]
    pub const fn cookie_value(&self) -> &'static str {
        self.cookie_value
    }

    /// Whether the cookie can do its work.
    ///
    /// # Errors
    /// [`MisconfiguredHandshake`] names the part that is unusable: it is empty, or cannot be put
    /// into an environment.
    pub fn check(&self) -> Result<(), MisconfiguredHandshake> {
        if self.cookie_key.is_empty() {
            return Err(MisconfiguredHandshake::NoCookieKey);
        }
        if self.cookie_key.contains(['=', '\0']) {
            return Err(MisconfiguredHandshake::BadCookieKey);
        }
        if self.cookie_value.is_empty() {
            return Err(MisconfiguredHandshake::NoCookieValue);
        }
        if self.cookie_value.contains('\0') {
            return Err(MisconfiguredHandshake::BadCookieValue);
        }
        Ok(())
    }
}

/// A [`Handshake`] that its program's author has to repair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MisconfiguredHandshake {
    /// The cookie key is empty.
    #[error("the handshake has no magic cookie key: give Handshake::new a non-empty one")]
    NoCookieKey,
    /// The cookie value is empty.
    #[error("the handshake has no magic cookie value: give Handshake::new a non-empty one")]
    NoCookieValue,
    /// The cookie key holds `=` or a NUL byte.
    #[error("the magic cookie key cannot name an environment variable: it holds '=' or NUL")]
    BadCookieKey,
    /// The cookie value holds a NUL byte.
    #[error("the magic cookie value cannot be put into an environment: it holds a NUL byte")]
    BadCookieValue,
}

/// The protocol a plugin serves, as the fifth field of the handshake line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `netrpc`: Go's net/rpc inside yamux; also what a line without the field means.
    NetRpc,
    /// `grpc`: gRPC over HTTP/2.
    Grpc,
    /// `stdio`: outboard's frames over the plugin's stdin and stdout. Only ever announced to a
    /// host that offered it.
    Stdio,
}

impl Protocol {
    /// Every protocol there is.
    pub const ALL: [Self; 3] = [Self::NetRpc, Self::Grpc, Self::Stdio];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetRpc => "netrpc",
            Self::Grpc => "grpc",
            Self::Stdio => "stdio",
        }
    }

    /// Whether a plugin that speaks it listens on a socket. Without one it uses its own pipes.
    #[must_use]
    pub const fn has_socket(self) -> bool {
        self.traits().socket
    }

    /// Whether calls of one connection can go on over another: if not, a connection that is lost is
    /// the end of what was reached over it.
    #[must_use]
    pub const fn reconnects(self) -> bool {
        self.traits().reconnects
    }

    /// Whether all connections can be streams of one (go-plugin's `GRPCBrokerMultiplex`).
    #[must_use]
    pub const fn multiplexes(self) -> bool {
        self.traits().multiplexes
    }

    /// What sets protocols apart for code that does not speak them.
    const fn traits(self) -> Traits {
        match self {
            // What a stream has defined and dispensed is of that stream alone.
            Self::NetRpc => Traits {
                socket: true,
                reconnects: false,
                multiplexes: false,
            },
            Self::Grpc => Traits {
                socket: true,
                reconnects: true,
                multiplexes: true,
            },
            Self::Stdio => Traits {
                socket: false,
                reconnects: false,
                multiplexes: false,
            },
        }
    }
}

/// A row of the table in [`Protocol::traits`].
struct Traits {
    socket: bool,
    reconnects: bool,
    multiplexes: bool,
}

/// The name on the wire.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads the name on the wire: lower case, without white space around it.
impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or(UnknownProtocol(()))
    }
}

/// A name that is none of `netrpc`, `grpc` and `stdio`.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol: expected \"netrpc\", \"grpc\" or \"stdio\"")]
pub struct UnknownProtocol(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_print_and_parse_by_their_wire_name() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        for bad in ["", " grpc", "GRPC", "http"] {
            assert!(bad.parse::<Protocol>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cookies_that_cannot_work_are_named() {
        use MisconfiguredHandshake as M;
        assert_eq!(Handshake::new(0, "K", "v").check(), Ok(()));
        assert_eq!(Handshake::new(1, "", "v").check(), Err(M::NoCookieKey));
        assert_eq!(Handshake::new(1, "K", "").check(), Err(M::NoCookieValue));
        assert_eq!(Handshake::new(1, "A=B", "v").check(), Err(M::BadCookieKey));
        assert_eq!(Handshake::new(1, "K", "\0").check(), Err(M::BadCookieValue));
    }
}
