//! What can be wrong with a handshake, one variant per condition of go-plugin's host.

use std::num::ParseIntError;

use super::{CORE_VERSION, CertificateError, Protocol, Refusal};
use crate::endpoint::EndpointError;
use crate::version::IncompatibleVersion;

/// How much of a line an error quotes, in bytes. A Go plugin's longest line without certificate is
/// well below; more than this only floods a terminal.
pub(super) const QUOTED: usize = 512;

/// How much of one field an error quotes, in bytes.
pub(super) const QUOTED_FIELD: usize = 128;

/// Why a plugin's first output is not a handshake this host can use.
///
/// Quoted text is shortened, so a value of this type is small whatever the plugin printed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// stdout ended before anything was printed on it.
    #[error(
        "expected a handshake line on the plugin's stdout, but it was closed and nothing could be \
         read; the program may have failed at start (see its stderr), or it is not a plugin"
    )]
    NoLine,
    /// The plugin says that it cannot serve, and why.
    #[error("the plugin says why it cannot serve: {0}")]
    Refused(Refusal),
    /// Fewer than four fields.
    #[error(
        "unrecognised message from the plugin: expected a handshake line like \
         \"1|1|unix|/path|grpc\", found {line:?}; a plugin must not print anything to stdout \
         before it serves, and the program must be a plugin for this host"
    )]
    Unrecognised {
        /// The line, shortened.
        line: String,
    },
    /// No end of line within the reader's limit.
    #[error(
        "the plugin's first line on stdout is longer than {limit} bytes; expected a handshake \
         line, found {start:?}; the program must be a plugin for this host"
    )]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
        /// How the line begins.
        start: String,
    },
    /// Lines came, and were tolerated, but none was a handshake.
    #[error(
        "expected a handshake line on the plugin's stdout, found {lines} other lines ({why}), the \
         first being {first:?}; the program must be a plugin for this host"
    )]
    OnlyStrayLines {
        /// How many lines came.
        lines: usize,
        /// The first one, shortened.
        first: String,
        /// Why reading stopped.
        why: StrayEnd,
    },
    /// The first field is not an integer.
    #[error("expected an integer as core protocol version, found {found:?}; {ADVICE}")]
    CoreVersionNotInteger {
        /// The field, shortened.
        found: String,
        /// What is wrong with it.
        source: ParseIntError,
    },
    /// The first field is not 1.
    #[error(
        "incompatible core protocol: the plugin speaks version {plugin}, this host version \
         {CORE_VERSION}; rebuilding the plugin with a current plugin library usually helps, \
         please tell the plugin's author"
    )]
    IncompatibleCore {
        /// What the plugin announced.
        plugin: i64,
    },
    /// The second field is not an integer.
    #[error("expected an integer as version of the plugin's interfaces, found {found:?}; {ADVICE}")]
    AppVersionNotInteger {
        /// The field, shortened.
        found: String,
        /// What is wrong with it.
        source: ParseIntError,
    },
    /// The plugin's version was not offered.
    #[error(transparent)]
    IncompatibleVersion(#[from] IncompatibleVersion),
    /// The runner's address translator failed.
    #[error("the plugin's address {address:?} ({network:?}) could not be translated: {cause}")]
    Translation {
        /// The line's third field, shortened.
        network: String,
        /// The line's fourth field, shortened.
        address: String,
        /// What the translator said.
        cause: String,
    },
    /// The address cannot be connected to.
    #[error("the plugin announced an address this host cannot connect to: {0}")]
    BadAddress(EndpointError),
    /// The network is not one this host knows.
    #[error(
        "expected \"unix\" or \"tcp\" as the plugin's network, found {network:?} (address \
         {address:?}); {ADVICE}"
    )]
    UnknownNetwork {
        /// The field, shortened.
        network: String,
        /// The field after it, shortened.
        address: String,
    },
    /// The plugin wants to talk over its stdin and stdout, and the host did not offer that.
    #[error(
        "the plugin answered with the stdio transport, which this host did not offer; offer it in \
         the host, or let the plugin listen on a socket"
    )]
    StdioNotOffered,
    /// Network, address and protocol of a stdio answer do not fit together.
    #[error(
        "expected \"stdio|-|stdio\" as the plugin's network, address and protocol, found {found:?}; \
         {ADVICE}"
    )]
    BadStdioAnswer {
        /// The three fields as they came, shortened.
        found: String,
    },
    /// The protocol is unknown or not one the host allows.
    #[error(
        "the plugin's protocol {found:?} is not allowed: expected {}; allow it in the host, or use \
         a plugin that speaks one of these",
        names(allowed)
    )]
    ProtocolNotAllowed {
        /// The field, shortened; `netrpc` if the line has none.
        found: String,
        /// What the host allows.
        allowed: Vec<Protocol>,
    },
    /// The plugin speaks Go's net/rpc, as it also does if its line names no protocol, and this host
    /// was not given the transport for it.
    #[error(
        "the plugin serves Go's net/rpc (\"netrpc\"), which this host has not been given: use a build of \
         the plugin that serves gRPC, or give the host the transport for it (in outboard the feature \
         \"netrpc\" and Host::transport(NetRpc))"
    )]
    NetRpcUnsupported,
    /// The sixth field is used and is not a certificate.
    #[error(
        "the plugin's TLS certificate (sixth field of the handshake line) cannot be read: {0}; \
         {ADVICE}"
    )]
    Certificate(CertificateError),
    /// A certificate was asked for, and the sixth field has none.
    #[error(
        "the plugin printed no TLS certificate, which this host requires since it asked for AutoMTLS; \
         update the plugin, or the library it is built with (in outboard: with the feature \"tls\"), \
         or turn AutoMTLS off in the host. A plugin with TLS of its own needs a host with the same"
    )]
    CertificateMissing,
    /// Multiplexing was asked for, and the plugin does not do it.
    #[error(
        "the plugin does not support multiplexed brokering ({0}); update the plugin library in the \
         plugin and rebuild it, or turn multiplexing off in the host"
    )]
    MultiplexingUnsupported(MultiplexingRefusal),
    /// Multiplexing was asked for, and the seventh field is not a boolean.
    #[error(
        "expected \"true\" or \"false\" as the plugin's multiplexing support, found {found:?}; {ADVICE}"
    )]
    MultiplexingNotBoolean {
        /// The field, shortened.
        found: String,
    },
}

const ADVICE: &str = "the plugin's handshake line is broken, please tell the plugin's author";

/// How a plugin says that it does not multiplex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MultiplexingRefusal {
    /// The line has no seventh field: the plugin's library is older than the feature.
    #[error("its handshake line does not mention it")]
    NotMentioned,
    /// The seventh field says no.
    #[error("its handshake line says so")]
    SaidNo,
}

/// Why a reader that tolerates stray lines gave up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum StrayEnd {
    /// stdout ended.
    #[error("then stdout was closed")]
    Closed,
    /// More lines than tolerated.
    #[error("at most {0} are tolerated")]
    TooManyLines(usize),
    /// More bytes than tolerated.
    #[error("at most {0} bytes are tolerated")]
    TooManyBytes(usize),
}

fn names(allowed: &[Protocol]) -> String {
    if allowed.is_empty() {
        return "none, the host allows no protocol".to_owned();
    }
    allowed
        .iter()
        .map(|protocol| format!("{:?}", protocol.name()))
        .collect::<Vec<_>>()
        .join(" or ")
}
