//! What may vary: one value per runtime and per transport. A further transport is one more value
//! here and one more line in the list of combinations.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use outboard::rt::SharedRuntime;
use outboard::{H2, Host, Plugin, Smol, Stdio, Tokio};

/// An async runtime and how it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// tokio on the calling thread alone: what blocks it blocks everything.
    Tokio,
    /// tokio with two worker threads.
    TokioThreads,
    /// smol's executor on the calling thread alone.
    Smol,
}

impl RuntimeKind {
    /// Runs `main` to its end on a fresh runtime of this kind.
    pub fn block_on<F: Future>(self, main: impl FnOnce(SharedRuntime) -> F) -> F::Output {
        let mut builder = match self {
            Self::Smol => return Smol::block_on(|smol| main(smol.into())),
            Self::Tokio => tokio::runtime::Builder::new_current_thread(),
            Self::TokioThreads => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(2).enable_all().build();
        let runtime = runtime.expect("the system has room for a runtime");
        runtime.block_on(async { main(Tokio::current().into()).await })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::TokioThreads => "tokio-threads",
            Self::Smol => "smol",
        }
    }
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
}

/// How long those look that do.
const SPIN: Duration = Duration::from_micros(50);

impl TransportKind {
    /// The host, speaking this transport alone.
    pub fn of_host(self, host: Host) -> Host {
        match self {
            Self::H2 => host.transport(H2::new()),
            Self::Stdio => host.transport(Stdio::new()),
            Self::H2Spin => host.transport(H2::new().spin(SPIN)),
            Self::StdioSpin => host.transport(Stdio::new().spin(SPIN)),
        }
    }

    /// The plugin, speaking this transport alone.
    pub fn of_plugin(self, plugin: Plugin) -> Plugin {
        match self {
            Self::H2 => plugin.transport(H2::new()),
            Self::Stdio => plugin.transport(Stdio::new()),
            Self::H2Spin => plugin.transport(H2::new().spin(SPIN)),
            Self::StdioSpin => plugin.transport(Stdio::new().spin(SPIN)),
        }
    }

    /// Whether there are sockets, whose files and addresses can be looked at.
    #[must_use]
    pub fn has_sockets(self) -> bool {
        match self {
            Self::H2 | Self::H2Spin => true,
            Self::Stdio | Self::StdioSpin => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Stdio => "stdio",
            Self::H2Spin => "h2+spin",
            Self::StdioSpin => "stdio+spin",
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

impl FromStr for RuntimeKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Tokio, Self::TokioThreads, Self::Smol]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TransportKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::H2, Self::Stdio, Self::H2Spin, Self::StdioSpin]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownName(name.to_owned()))
    }
}
