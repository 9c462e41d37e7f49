//! The runtimes and transports of outboard as values. Whatever is added here is measured
//! everywhere.

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use outboard::Host;
use outboard_core::rt::SharedRuntime;

use crate::Failure;
use crate::probe::{MarkedTransport, Marks};

/// An async runtime, one thread of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// tokio, `current_thread`.
    Tokio,
    /// async-executor on async-io.
    Smol,
}

impl RuntimeKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tokio, Self::Smol];
}

impl fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
        })
    }
}

impl FromStr for RuntimeKind {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| format!("no such runtime: {name}").into())
    }
}

/// A transport of outboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// gRPC over HTTP/2 on a unix socket.
    H2,
    /// Frames over the plugin's stdin and stdout.
    Stdio,
}

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::H2, Self::Stdio];

    /// `host` with this transport and no other.
    ///
    /// # Errors
    /// If this program was built without it.
    pub(crate) fn set(self, host: Host, marks: Option<Marks>) -> Result<Host, Failure> {
        match self {
            #[cfg(feature = "h2")]
            Self::H2 => Ok(marked(host, outboard::H2::default(), marks)),
            #[cfg(feature = "stdio")]
            Self::Stdio => Ok(marked(host, outboard::Stdio::default(), marks)),
            #[allow(unreachable_patterns)] // Reached in builds that lack one.
            _ => Err(not_built(self)),
        }
    }
}

#[cfg_attr(not(any(feature = "h2", feature = "stdio")), allow(dead_code))]
fn marked(host: Host, transport: impl outboard::Transport, marks: Option<Marks>) -> Host {
    match marks {
        Some(marks) => host.transport(MarkedTransport { transport, marks }),
        None => host.transport(transport),
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H2 => "h2",
            Self::Stdio => "stdio",
        })
    }
}

impl FromStr for TransportKind {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| format!("no such transport: {name}").into())
    }
}

/// A runtime that is there. Its tasks run while this thread is inside
/// [`block_on`](Self::block_on).
#[derive(Debug)]
pub struct Executor {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    #[cfg(feature = "tokio")]
    Tokio(tokio::runtime::Runtime),
    #[cfg(feature = "smol")]
    Smol(std::sync::Arc<async_executor::Executor<'static>>),
}

impl Executor {
    /// Starts a runtime.
    ///
    /// # Errors
    /// If this program was built without it, or the system refuses.
    pub fn new(kind: RuntimeKind) -> Result<Self, Failure> {
        let inner = match kind {
            #[cfg(feature = "tokio")]
            RuntimeKind::Tokio => {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                Inner::Tokio(builder.enable_all().build()?)
            }
            #[cfg(feature = "smol")]
            RuntimeKind::Smol => Inner::Smol(std::sync::Arc::default()),
            #[allow(unreachable_patterns)] // Reached in builds that lack one.
            _ => return Err(not_built(kind)),
        };
        Ok(Self { inner })
    }

    /// The runtime as outboard takes it.
    #[must_use]
    pub fn shared(&self) -> SharedRuntime {
        match self.inner {
            #[cfg(feature = "tokio")]
            Inner::Tokio(ref runtime) => {
                outboard::Tokio::from_handle(runtime.handle().clone()).into()
            }
            #[cfg(feature = "smol")]
            Inner::Smol(ref executor) => outboard::Smol::on(executor).into(),
        }
    }

    /// Runs a future to its end, and all tasks meanwhile.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.inner {
            #[cfg(feature = "tokio")]
            Inner::Tokio(ref runtime) => runtime.block_on(future),
            #[cfg(feature = "smol")]
            Inner::Smol(ref executor) => async_io::block_on(executor.run(future)),
        }
    }
}

#[allow(dead_code)] // Unused where everything is built.
fn not_built(what: impl fmt::Display) -> Failure {
    format!("this program was built without {what}").into()
}
