//! Where a side listens: a unix socket path or a TCP address, as text both sides agree on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// The longest unix socket path a kernel takes, in bytes, without the closing NUL.
///
/// `sockaddr_un.sun_path` holds 108 bytes on Linux and 104 on the BSDs and macOS.
pub const MAX_UNIX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};

/// An address one side listens on and the other connects to.
///
/// go-plugin knows exactly these two networks. The text forms are those of the handshake line's
/// third and fourth field and of the broker's `ConnInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A unix stream socket at this path. On Linux a path that begins with `@` names an abstract
    /// socket, as it does in Go.
    Unix(PathBuf),
    /// A TCP address, `host:port`. The host may be a name; resolving it is the runtime's work.
    Tcp(String),
}

/// Why a network and an address do not make an [`Endpoint`].
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The network is not one of those go-plugin knows.
    #[error(
        "unknown network {network:?}: expected \"unix\" or \"tcp\"; \
         the plugin was built with a library this host cannot talk to"
    )]
    UnknownNetwork {
        /// What stood in the place of the network.
        network: String,
    },
    /// A TCP address without a usable port.
    #[error("bad TCP address {address:?}: expected HOST:PORT with a port from 0 to 65535")]
    BadTcpAddress {
        /// What stood in the place of the address.
        address: String,
    },
    /// An empty unix socket path, or one with a NUL byte in it.
    #[error("bad unix socket path {path:?}: expected a non-empty path without NUL bytes")]
    BadUnixPath {
        /// What stood in the place of the path.
        path: String,
    },
    /// A unix socket path the kernel cannot take.
    #[error(
        "unix socket path is {length} bytes long, the limit is {limit}: {path:?}; \
         choose a shorter directory with TMPDIR or PLUGIN_UNIX_SOCKET_DIR"
    )]
    UnixPathTooLong {
        /// The path.
        path: String,
        /// Its length in bytes.
        length: usize,
        /// [`MAX_UNIX_PATH`].
        limit: usize,
    },
}

impl Endpoint {
    /// What a runtime answers that knows no addresses of this kind.
    #[must_use]
    pub fn unsupported(&self) -> io::Error {
        let text = format!("this runtime knows no addresses such as {self}");
        io::Error::new(io::ErrorKind::Unsupported, text)
    }

    /// Reads the two fields of a handshake line or a `ConnInfo`.
    ///
    /// # Errors
    /// [`EndpointError`] says which field is wrong and what was expected.
    pub fn parse(network: &str, address: &str) -> Result<Self, EndpointError> {
        match network {
            "unix" => {
                let endpoint = Self::Unix(PathBuf::from(address));
                endpoint.check()?;
                Ok(endpoint)
            }
            "tcp" => {
                let endpoint = Self::Tcp(address.to_owned());
                endpoint.check()?;
                Ok(endpoint)
            }
            _ => Err(EndpointError::UnknownNetwork {
                network: network.to_owned(),
            }),
        }
    }

    /// A unix socket at `path`, checked against [`MAX_UNIX_PATH`].
    ///
    /// # Errors
    /// [`EndpointError::UnixPathTooLong`] or [`EndpointError::BadUnixPath`].
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, EndpointError> {
        let endpoint = Self::Unix(path.into());
        endpoint.check()?;
        Ok(endpoint)
    }

    /// Checks what can be checked without asking the system.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn check(&self) -> Result<(), EndpointError> {
        match self {
            Self::Unix(path) => {
                let bytes = path.as_os_str().as_encoded_bytes();
                if bytes.is_empty() || bytes.contains(&0) {
                    return Err(EndpointError::BadUnixPath {
                        path: path.to_string_lossy().into_owned(),
                    });
                }
                if bytes.len() > MAX_UNIX_PATH {
                    return Err(EndpointError::UnixPathTooLong {
                        path: path.to_string_lossy().into_owned(),
                        length: bytes.len(),
                        limit: MAX_UNIX_PATH,
                    });
                }
                Ok(())
            }
            Self::Tcp(address) => {
                // Go takes an empty host for "this machine"; only the port is required.
                let port = address.rsplit_once(':').map(|(_, port)| port);
                match port.map(str::parse::<u16>) {
                    Some(Ok(_)) => Ok(()),
                    _ => Err(EndpointError::BadTcpAddress {
                        address: address.clone(),
                    }),
                }
            }
        }
    }

    /// `unix` or `tcp`.
    #[must_use]
    pub fn network(&self) -> &'static str {
        match self {
            Self::Unix(_) => "unix",
            Self::Tcp(_) => "tcp",
        }
    }

    /// The address as text: the path or `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Unix(path) => path.to_string_lossy().into_owned(),
            Self::Tcp(address) => address.clone(),
        }
    }

    /// The socket file of this endpoint, if it has one: not for TCP and abstract sockets.
    #[must_use]
    pub fn socket_file(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) if !self.is_abstract() => Some(path),
            Self::Unix(_) | Self::Tcp(_) => None,
        }
    }

    /// Whether this names a Linux abstract socket (`@name`), which has no file.
    #[must_use]
    pub fn is_abstract(&self) -> bool {
        match self {
            Self::Unix(path) => {
                cfg!(any(target_os = "linux", target_os = "android"))
                    && path.as_os_str().as_encoded_bytes().first() == Some(&b'@')
            }
            Self::Tcp(_) => false,
        }
    }

    /// What a failure to connect to this endpoint means: a socket whose file is gone is something
    /// else than one where nobody answers, and neither is told by the system's text alone.
    #[must_use]
    pub fn connect_fault(&self, fault: impl Into<Fault>) -> Fault {
        let fault = fault.into();
        let meaning = match (self.socket_file(), fault.kind) {
            (Some(file), io::ErrorKind::NotFound) => {
                format!("its socket file {} is gone", file.display())
            }
            (Some(file), io::ErrorKind::ConnectionRefused) => {
                format!("nobody listens at its socket file {}", file.display())
            }
            (None, io::ErrorKind::ConnectionRefused) => "nobody listens there".to_owned(),
            (Some(_) | None, _) => return fault,
        };
        Fault {
            message: format!("{meaning}: {}", fault.message),
            ..fault
        }
    }

    /// The `:authority` that clients of this endpoint send: `localhost` for a unix socket, since
    /// strict HTTP/2 servers refuse a path there, and `host:port` for TCP.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp(address) if address.starts_with(':') => format!("localhost{address}"),
            Self::Tcp(address) => address.clone(),
        }
    }
}

/// `network:address`, for messages to people.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_gone_is_told_from_one_where_nobody_listens() {
        let fault = |kind: io::ErrorKind| Fault::from(io::Error::from(kind));
        let unix = Endpoint::Unix("/tmp/plugin1".into());
        let gone = unix.connect_fault(fault(io::ErrorKind::NotFound));
        assert!(
            gone.message
                .starts_with("its socket file /tmp/plugin1 is gone: "),
            "{gone}"
        );
        assert_eq!(gone.kind, io::ErrorKind::NotFound);
        let refused = unix.connect_fault(fault(io::ErrorKind::ConnectionRefused));
        assert!(
            refused.message.starts_with("nobody listens at its socket"),
            "{refused}"
        );
        let tcp = Endpoint::Tcp("localhost:1".into());
        let unknown = fault(io::ErrorKind::NotFound);
        assert_eq!(tcp.connect_fault(unknown.clone()), unknown);
    }

    #[test]
    fn both_networks_parse_and_print() {
        let unix = Endpoint::parse("unix", "/tmp/plugin1").expect("valid");
        assert_eq!(
            (unix.network(), unix.address().as_str()),
            ("unix", "/tmp/plugin1")
        );
        let tcp = Endpoint::parse("tcp", "127.0.0.1:1234").expect("valid");
        assert_eq!(
            (tcp.network(), tcp.address().as_str()),
            ("tcp", "127.0.0.1:1234")
        );
        assert_eq!(
            Endpoint::parse("tcp", ":1234"),
            Ok(Endpoint::Tcp(":1234".into()))
        );
    }

    #[test]
    fn an_unknown_network_is_named_in_the_error() {
        let error = Endpoint::parse("udp", "x").expect_err("not a network");
        assert!(error.to_string().contains("\"udp\""), "{error}");
    }

    #[test]
    fn tcp_addresses_need_a_port() {
        for bad in ["", "host", "host:", "host:x", "host:70000"] {
            assert!(Endpoint::parse("tcp", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_paths_are_refused_with_both_lengths() {
        let path = format!("/{}", "x".repeat(MAX_UNIX_PATH));
        let error = Endpoint::parse("unix", &path).expect_err("too long");
        let text = error.to_string();
        assert!(text.contains(&format!("{}", MAX_UNIX_PATH + 1)), "{text}");
        assert!(text.contains(&format!("{MAX_UNIX_PATH}")), "{text}");
        assert!(Endpoint::parse("unix", &path[..MAX_UNIX_PATH]).is_ok());
    }

    #[test]
    fn authorities_are_always_valid() {
        assert_eq!(Endpoint::Unix("/a b".into()).authority(), "localhost");
        assert_eq!(Endpoint::Tcp(":7".into()).authority(), "localhost:7");
        assert_eq!(Endpoint::Tcp("[::1]:7".into()).authority(), "[::1]:7");
    }
}
