//! The runtimes and transports of outboard as values. Whatever is added here is measured
//! everywhere.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use outboard::{Host, Plugin, Transport};
use outboard_core::rt::SharedRuntime;

use crate::Failure;
use crate::probe::{MarkedTransport, Marks};

/// An async runtime, as a rule one thread of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// tokio, `current_thread`.
    Tokio,
    /// tokio, with two worker threads.
    Threads,
    /// async-executor on the adapter's own reactor: `Smol::block_on`.
    Smol,
    /// async-executor on async-io's reactor: `Smol::on`.
    AsyncIo,
}

impl RuntimeKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tokio, Self::Threads, Self::Smol, Self::AsyncIo];
    /// Those that are measured unless told otherwise.
    pub const USUAL: [Self; 2] = [Self::Tokio, Self::Smol];
}

impl fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Threads => "tokio-threads",
            Self::Smol => "smol",
            Self::AsyncIo => "async-io",
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
    /// `H2`, looking again for a while before it sleeps.
    H2Spin,
    /// `Stdio`, looking again for a while before it sleeps.
    StdioSpin,
}

/// How long those look that do.
const SPIN: Duration = Duration::from_micros(50);

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::H2, Self::Stdio, Self::H2Spin, Self::StdioSpin];
    /// Those that are measured unless told otherwise.
    pub const USUAL: [Self; 2] = [Self::H2, Self::Stdio];
    /// Those that are measured on demand.
    pub const SPINNING: [Self; 2] = [Self::H2Spin, Self::StdioSpin];

    /// The feature that a program needs for it.
    pub(crate) fn feature(self) -> &'static str {
        match self {
            Self::H2 | Self::H2Spin => "h2",
            Self::Stdio | Self::StdioSpin => "stdio",
        }
    }

    /// `host` with this transport and no other.
    ///
    /// # Errors
    /// If this program was built without it.
    pub(crate) fn set(self, host: Host, marks: Option<Marks>) -> Result<Host, Failure> {
        self.with(|transport| match marks {
            Some(marks) => host.transport(MarkedTransport { transport, marks }),
            None => host.transport(transport),
        })
    }

    /// `plugin` with this transport and no other.
    ///
    /// # Errors
    /// If this program was built without it.
    pub fn of_plugin(self, plugin: Plugin) -> Result<Plugin, Failure> {
        self.with(|transport| plugin.transport(transport))
    }

    #[cfg_attr(not(any(feature = "h2", feature = "stdio")), allow(unused_variables))]
    fn with<T>(self, take: impl FnOnce(Box<dyn Transport>) -> T) -> Result<T, Failure> {
        let transport: Box<dyn Transport> = match self {
            #[cfg(feature = "h2")]
            Self::H2 => Box::new(outboard::H2::new()),
            #[cfg(feature = "h2")]
            Self::H2Spin => Box::new(outboard::H2::new().spin(SPIN)),
            #[cfg(feature = "stdio")]
            Self::Stdio => Box::new(outboard::Stdio::new()),
            #[cfg(feature = "stdio")]
            Self::StdioSpin => Box::new(outboard::Stdio::new().spin(SPIN)),
            #[allow(unreachable_patterns)] // Reached in builds that lack one.
            _ => return Err(not_built(self)),
        };
        Ok(take(transport))
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H2 => "h2",
            Self::Stdio => "stdio",
            Self::H2Spin => "h2+spin",
            Self::StdioSpin => "stdio+spin",
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

/// Runs a future on a runtime, and what it starts there meanwhile.
///
/// # Errors
/// If this program was built without the runtime, or the system refuses.
pub fn run<T>(kind: RuntimeKind, main: impl AsyncFnOnce(SharedRuntime) -> T) -> Result<T, Failure> {
    match kind {
        #[cfg(feature = "tokio")]
        RuntimeKind::Tokio => on_tokio(&mut tokio::runtime::Builder::new_current_thread(), main),
        #[cfg(feature = "threads")]
        RuntimeKind::Threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            on_tokio(builder.worker_threads(2), main)
        }
        #[cfg(feature = "smol")]
        RuntimeKind::Smol => Ok(outboard::Smol::block_on(|smol| main(smol.into()))),
        #[cfg(feature = "smol")]
        RuntimeKind::AsyncIo => {
            let executor = std::sync::Arc::default();
            let main = main(outboard::Smol::on(&executor).into());
            Ok(async_io::block_on(executor.run(main)))
        }
        #[allow(unreachable_patterns)] // Reached in builds that lack one.
        _ => Err(not_built(kind)),
    }
}

#[cfg(feature = "tokio")]
fn on_tokio<T>(
    builder: &mut tokio::runtime::Builder,
    main: impl AsyncFnOnce(SharedRuntime) -> T,
) -> Result<T, Failure> {
    let runtime = builder.enable_all().build()?;
    let shared = outboard::Tokio::from_handle(runtime.handle().clone()).into();
    Ok(runtime.block_on(main(shared)))
}

#[allow(dead_code)] // Unused where everything is built.
fn not_built(what: impl fmt::Display) -> Failure {
    format!("this program was built without {what}").into()
}
