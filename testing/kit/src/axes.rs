//! What suites and benches vary, by name: one value per runtime and per transport. What a value stands
//! for is made where it is used, of what that program was built with.

use std::fmt;
use std::str::FromStr;

/// An async runtime and how it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// tokio on the calling thread alone: what blocks it blocks everything.
    Tokio,
    /// tokio with two worker threads.
    TokioThreads,
    /// smol's executor on the calling thread alone, on the adapter's own reactor.
    Smol,
    /// smol's executor on the calling thread alone, on async-io's reactor.
    AsyncIo,
    /// The blocking API: handlers on threads of their own. For plugins; hosts of it have cases of their own.
    Blocking,
}

/// A transport and how it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// gRPC over HTTP/2.
    H2,
    /// Frames over the plugin's stdin and stdout.
    Stdio,
    /// The first, looking again for a while before it sleeps.
    H2Spin,
    /// The second, looking again for a while before it sleeps.
    StdioSpin,
    /// The first with AutoMTLS.
    H2Tls,
    /// The first, with everything in streams of one connection.
    H2Streams,
    /// The same with AutoMTLS, in each of the streams.
    H2TlsStreams,
}

impl RuntimeKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Tokio,
        Self::TokioThreads,
        Self::Smol,
        Self::AsyncIo,
        Self::Blocking,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::TokioThreads => "tokio-threads",
            Self::Smol => "smol",
            Self::AsyncIo => "async-io",
            Self::Blocking => "blocking",
        }
    }
}

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::H2,
        Self::Stdio,
        Self::H2Spin,
        Self::StdioSpin,
        Self::H2Tls,
        Self::H2Streams,
        Self::H2TlsStreams,
    ];

    /// Whether there are sockets, whose files and addresses can be looked at.
    #[must_use]
    pub fn has_sockets(self) -> bool {
        match self {
            Self::H2 | Self::H2Spin | Self::H2Tls | Self::H2Streams | Self::H2TlsStreams => true,
            Self::Stdio | Self::StdioSpin => false,
        }
    }

    /// Whether what a broker serves has sockets of its own, which are announced.
    #[must_use]
    pub fn announces(self) -> bool {
        match self {
            Self::H2 | Self::H2Spin | Self::H2Tls => true,
            Self::Stdio | Self::StdioSpin | Self::H2Streams | Self::H2TlsStreams => false,
        }
    }

    /// Whether all connections are streams of one.
    #[must_use]
    pub fn is_multiplexed(self) -> bool {
        matches!(self, Self::H2Streams | Self::H2TlsStreams)
    }

    /// Whether it has AutoMTLS.
    #[must_use]
    pub fn is_secured(self) -> bool {
        matches!(self, Self::H2Tls | Self::H2TlsStreams)
    }

    fn name(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Stdio => "stdio",
            Self::H2Spin => "h2+spin",
            Self::StdioSpin => "stdio+spin",
            Self::H2Tls => "h2+tls",
            Self::H2Streams => "h2+streams",
            Self::H2TlsStreams => "h2+tls+streams",
        }
    }
}

/// A name that stands for no value of an axis.
#[derive(Debug)]
pub struct UnknownName(String);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown runtime or transport {:?}", self.0)
    }
}

impl std::error::Error for UnknownName {}

impl fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RuntimeKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl FromStr for TransportKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownName(name.to_owned()))
    }
}
