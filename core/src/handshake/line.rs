//! The line itself: its fields, how it is printed, how it is read.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use super::error::{QUOTED, QUOTED_FIELD};
use super::{
    Accepted, CORE_VERSION, HandshakeError, HostExpectation, MultiplexingRefusal, Protocol,
    Refusal, certificate,
};
use crate::endpoint::{Endpoint, EndpointError};
use crate::text::{excerpt, parse_go_bool, trim};
use crate::version;

/// Network, and address, of a plugin that talks over its stdin and stdout. Both are outboard's own;
/// a Go host does not know them, and is never sent them.
const STDIO: (&str, &str) = ("stdio", "-");

/// Where a plugin is to be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location {
    /// At a socket it listens on.
    Endpoint(Endpoint),
    /// At its stdin and stdout.
    Stdio,
}

impl Location {
    /// The socket, unless the plugin is reached at its stdin and stdout.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint),
            Self::Stdio => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Stdio => f.write_str("stdin and stdout"),
        }
    }
}

/// The line a plugin prints when it is ready to be connected to.
///
/// ```text
/// 1|2|unix|/tmp/plugin42|grpc||true
/// | | |    |             |    |  multiplexed brokering, only if the host asked
/// | | |    |             |    certificate, base64 of DER without padding, may be empty
/// | | |    |             protocol: netrpc if the field is missing
/// | | |    address
/// | | network: unix or tcp
/// | version of the interfaces
/// version of the handshake, always 1
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeLine {
    app_version: i64,
    location: Location,
    protocol: Protocol,
    certificate: Option<Vec<u8>>,
    multiplex: Option<Vec<u8>>,
}

impl HandshakeLine {
    /// A line without certificate and without a word on multiplexing.
    ///
    /// A line for [`Location::Stdio`] is only understood with [`Protocol::Stdio`], and that only
    /// by a host that offered it.
    #[must_use]
    pub fn new(app_version: i64, location: Location, protocol: Protocol) -> Self {
        Self {
            app_version,
            location,
            protocol,
            certificate: None,
            multiplex: None,
        }
    }

    /// Adds the plugin's certificate, DER. Only for a host that sent its own in
    /// `PLUGIN_CLIENT_CERT`: a Go host without TLS crashes at an unasked one.
    #[must_use]
    pub fn with_certificate(mut self, der: Vec<u8>) -> Self {
        self.certificate = Some(der);
        self
    }

    /// Adds the seventh field, `true`, if the host asked for it: that is, if
    /// `PLUGIN_MULTIPLEX_GRPC` is non-empty, whatever it holds. Older hosts would take the field
    /// for a part of the certificate.
    #[must_use]
    pub fn with_multiplexing_mentioned(mut self, asked: bool) -> Self {
        self.multiplex = asked.then(|| b"true".to_vec());
        self
    }

    /// Reads a line without expecting anything: every version, every protocol.
    ///
    /// A host uses [`HostExpectation::check`] instead, which also applies its own rules.
    ///
    /// # Errors
    /// [`HandshakeError`] for what no host would accept.
    pub fn parse(line: impl AsRef<[u8]>) -> Result<Self, HandshakeError> {
        let fields = Fields::split(line.as_ref())?;
        fields.check_core()?;
        let app_version = fields.app_version()?;
        fields.finish(app_version, fields.network, fields.address, &Protocol::ALL)
    }

    /// The version of the interfaces the plugin serves.
    #[must_use]
    pub fn app_version(&self) -> i64 {
        self.app_version
    }

    /// Where to connect.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What is spoken there.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The plugin's certificate, DER. Only its outline was checked.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Whether the plugin multiplexes brokered connections, for a host that wants it. A host that
    /// does not want it must not ask: then the field may hold anything.
    ///
    /// # Errors
    /// [`HandshakeError::MultiplexingUnsupported`] if the line says no or nothing,
    /// [`HandshakeError::MultiplexingNotBoolean`] if it says something else.
    pub fn require_multiplexing(&self) -> Result<(), HandshakeError> {
        let Some(field) = &self.multiplex else {
            return Err(HandshakeError::MultiplexingUnsupported(
                MultiplexingRefusal::NotMentioned,
            ));
        };
        match std::str::from_utf8(field).ok().and_then(parse_go_bool) {
            Some(true) => Ok(()),
            Some(false) => Err(HandshakeError::MultiplexingUnsupported(
                MultiplexingRefusal::SaidNo,
            )),
            None => Err(HandshakeError::MultiplexingNotBoolean {
                found: excerpt(field, QUOTED_FIELD),
            }),
        }
    }

    /// The line as a plugin writes it, with the LF: always six fields, seven if multiplexing is
    /// mentioned.
    ///
    /// Other than [`Display`](fmt::Display) it keeps a socket path that is not UTF-8.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (network, address) = match &self.location {
            Location::Stdio => (STDIO.0, Cow::Borrowed(STDIO.1.as_bytes())),
            Location::Endpoint(Endpoint::Unix(path)) => {
                ("unix", Cow::Borrowed(path.as_os_str().as_encoded_bytes()))
            }
            Location::Endpoint(endpoint @ Endpoint::Tcp(_)) => (
                endpoint.network(),
                Cow::Owned(endpoint.address().into_bytes()),
            ),
        };
        let mut line = format!("{CORE_VERSION}|{}|{network}|", self.app_version).into_bytes();
        line.extend_from_slice(&address);
        line.extend_from_slice(format!("|{}|", self.protocol).as_bytes());
        if let Some(der) = &self.certificate {
            line.extend_from_slice(certificate::print(der).as_bytes());
        }
        if let Some(field) = &self.multiplex {
            line.push(b'|');
            line.extend_from_slice(field);
        }
        line.push(b'\n');
        line
    }
}

/// The line without its LF.
impl fmt::Display for HandshakeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.to_bytes();
        f.write_str(String::from_utf8_lossy(&line).trim_end_matches('\n'))
    }
}

/// Applies a host's rules in go-plugin's order, so that the first thing wrong is what is reported.
pub(super) fn check(
    expected: &HostExpectation,
    line: &[u8],
    translate: impl FnOnce(&str, &str) -> Result<(String, String), String>,
) -> Result<Accepted, HandshakeError> {
    let fields = Fields::split(line)?;
    fields.check_core()?;
    let app_version = fields.app_version()?;
    version::check(app_version, expected.versions())?;

    let translated = fields.translate(translate)?;
    let (network, address) = match &translated {
        Some((network, address)) => (network.as_bytes(), address.as_bytes()),
        None => (fields.network, fields.address),
    };
    let line = fields.finish(app_version, network, address, expected.protocols())?;

    // Pipes are private as they are.
    let needs_certificate = expected.wants_certificate() && line.protocol.has_socket();
    if needs_certificate && line.certificate.is_none() {
        return Err(HandshakeError::CertificateMissing);
    }
    let multiplexing = expected.wants_multiplexing() && line.protocol.multiplexes();
    if multiplexing {
        line.require_multiplexing()?;
    }
    Ok(Accepted { line, multiplexing })
}

/// Whether this could be a handshake line, for telling it from stray output: an integer first, and
/// a network third.
pub(super) fn looks_like_handshake(line: &[u8]) -> bool {
    Fields::split(line).is_ok_and(|fields| {
        integer(fields.core).is_ok()
            && [STDIO.0, "unix", "tcp"].contains(&&*String::from_utf8_lossy(fields.network))
    })
}

/// The line cut at its bars; nothing is judged yet.
struct Fields<'a> {
    core: &'a [u8],
    app: &'a [u8],
    network: &'a [u8],
    address: &'a [u8],
    protocol: Option<&'a [u8]>,
    certificate: &'a [u8],
    multiplex: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn split(line: &'a [u8]) -> Result<Self, HandshakeError> {
        let line = trim(line);
        let mut parts = line.split(|&byte| byte == b'|');
        let (Some(core), Some(app), Some(network), Some(address)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            if let Some(refusal) = Refusal::parse(line) {
                return Err(HandshakeError::Refused(refusal));
            }
            return Err(HandshakeError::Unrecognised {
                line: excerpt(line, QUOTED),
            });
        };
        Ok(Self {
            core,
            app,
            network,
            address,
            protocol: parts.next(),
            certificate: parts.next().unwrap_or_default(),
            multiplex: parts.next(),
        })
    }

    fn check_core(&self) -> Result<(), HandshakeError> {
        let plugin = integer(self.core)
            .map_err(|(found, source)| HandshakeError::CoreVersionNotInteger { found, source })?;
        if plugin != CORE_VERSION {
            return Err(HandshakeError::IncompatibleCore { plugin });
        }
        Ok(())
    }

    fn app_version(&self) -> Result<i64, HandshakeError> {
        integer(self.app)
            .map_err(|(found, source)| HandshakeError::AppVersionNotInteger { found, source })
    }

    /// What the translator makes of the address. A stdio answer has no address to translate.
    fn translate(
        &self,
        translate: impl FnOnce(&str, &str) -> Result<(String, String), String>,
    ) -> Result<Option<(String, String)>, HandshakeError> {
        let (Ok(network), Ok(address)) = (
            std::str::from_utf8(self.network),
            std::str::from_utf8(self.address),
        ) else {
            return Ok(None);
        };
        if network == STDIO.0 {
            return Ok(None);
        }
        match translate(network, address) {
            Ok(translated) => Ok(Some(translated)),
            Err(cause) => Err(HandshakeError::Translation {
                network: excerpt(self.network, QUOTED_FIELD),
                address: excerpt(self.address, QUOTED_FIELD),
                cause,
            }),
        }
    }

    /// Location, protocol and certificate, in this order.
    fn finish(
        &self,
        app_version: i64,
        network: &[u8],
        address: &[u8],
        allowed: &[Protocol],
    ) -> Result<HandshakeLine, HandshakeError> {
        let location = self.location(network, address, allowed)?;
        let protocol = self.protocol(allowed)?;
        // Over a socket there is no stdio protocol, and at stdin and stdout no other.
        if (location == Location::Stdio) == protocol.has_socket() {
            return Err(self.bad_stdio_answer());
        }
        let certificate =
            certificate::read(self.certificate).map_err(HandshakeError::Certificate)?;
        Ok(HandshakeLine {
            app_version,
            location,
            protocol,
            certificate,
            multiplex: self.multiplex.map(<[u8]>::to_vec),
        })
    }

    fn location(
        &self,
        network: &[u8],
        address: &[u8],
        allowed: &[Protocol],
    ) -> Result<Location, HandshakeError> {
        let endpoint = match network {
            b"stdio" if !allowed.contains(&Protocol::Stdio) => {
                return Err(HandshakeError::StdioNotOffered);
            }
            b"stdio" if address == STDIO.1.as_bytes() => return Ok(Location::Stdio),
            b"stdio" => return Err(self.bad_stdio_answer()),
            b"unix" => Endpoint::unix(path(address)),
            b"tcp" => Endpoint::parse("tcp", &String::from_utf8_lossy(address)),
            _ => {
                return Err(HandshakeError::UnknownNetwork {
                    network: excerpt(network, QUOTED_FIELD),
                    address: excerpt(address, QUOTED_FIELD),
                });
            }
        };
        endpoint
            .map(Location::Endpoint)
            .map_err(|error| HandshakeError::BadAddress(shortened(error)))
    }

    fn protocol(&self, allowed: &[Protocol]) -> Result<Protocol, HandshakeError> {
        let name = self
            .protocol
            .map_or(Cow::Borrowed("netrpc"), String::from_utf8_lossy);
        match name.parse() {
            Ok(protocol) if allowed.contains(&protocol) => Ok(protocol),
            // Also what a line without the field means, so the name alone would tell nobody much.
            Ok(Protocol::NetRpc) => Err(HandshakeError::NetRpcUnsupported),
            Ok(_) | Err(_) => Err(HandshakeError::ProtocolNotAllowed {
                found: excerpt(name.as_bytes(), QUOTED_FIELD),
                allowed: allowed.to_vec(),
            }),
        }
    }

    fn bad_stdio_answer(&self) -> HandshakeError {
        let protocol = self.protocol.unwrap_or(b"netrpc");
        let fields = [self.network, self.address, protocol].join(&b'|');
        HandshakeError::BadStdioAnswer {
            found: excerpt(&fields, QUOTED_FIELD),
        }
    }
}

/// Go's `strconv.Atoi`: a sign and leading zeros are fine, white space is not.
fn integer(field: &[u8]) -> Result<i64, (String, std::num::ParseIntError)> {
    let text = String::from_utf8_lossy(field);
    text.parse()
        .map_err(|error| (excerpt(field, QUOTED_FIELD), error))
}

/// A path keeps its bytes where the system's paths are bytes.
fn path(address: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        PathBuf::from(OsStr::from_bytes(address))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(address).into_owned())
    }
}

/// The same error with the peer's text cut to what errors quote.
fn shortened(error: EndpointError) -> EndpointError {
    let cut = |text: String| excerpt(text.as_bytes(), QUOTED_FIELD);
    match error {
        EndpointError::UnknownNetwork { network } => EndpointError::UnknownNetwork {
            network: cut(network),
        },
        EndpointError::BadTcpAddress { address } => EndpointError::BadTcpAddress {
            address: cut(address),
        },
        EndpointError::BadUnixPath { path } => EndpointError::BadUnixPath { path: cut(path) },
        EndpointError::UnixPathTooLong {
            path,
            length,
            limit,
        } => EndpointError::UnixPathTooLong {
            path: cut(path),
            length,
            limit,
        },
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
