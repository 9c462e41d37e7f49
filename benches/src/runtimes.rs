//! The runtimes and transports of outboard as values. Whatever is added here is measured
//! everywhere.

use std::fmt;
use std::time::Duration;

use outboard::{Host, Plugin, Transport};
use outboard_core::rt::SharedRuntime;

use crate::Failure;
use crate::probe::{MarkedTransport, Marks};

pub use outboard_kit::axes::{RuntimeKind, TransportKind};

/// The runtimes that are measured unless told otherwise.
pub const USUAL_RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];

/// The transports that are measured unless told otherwise.
pub const USUAL_TRANSPORTS: [TransportKind; 2] = [TransportKind::H2, TransportKind::Stdio];

/// The transports that are measured on demand.
pub const SPINNING: [TransportKind; 2] = [TransportKind::H2Spin, TransportKind::StdioSpin];

/// Those with AutoMTLS, which are measured on demand.
pub const SECURED: [TransportKind; 1] = [TransportKind::H2Tls];

/// Those whose connections are streams of one, which are measured on demand.
pub const MULTIPLEXED: [TransportKind; 2] = [TransportKind::H2Streams, TransportKind::H2TlsStreams];

/// Go's net/rpc, where a transport of gRPC's calls is named otherwise.
pub const NETRPC: &str = "netrpc";

/// How long those look that do.
#[cfg_attr(not(any(feature = "h2", feature = "stdio")), allow(dead_code))]
const SPIN: Duration = Duration::from_micros(50);

/// The features that a program needs for a transport.
pub(crate) fn features(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::H2 | TransportKind::H2Spin => "h2",
        TransportKind::Stdio | TransportKind::StdioSpin => "stdio",
        TransportKind::H2Tls => "h2,tls",
        TransportKind::H2Streams => "h2,multiplex",
        TransportKind::H2TlsStreams => "h2,tls,multiplex",
    }
}

/// `host` with this transport and no other.
///
/// # Errors
/// If this program was built without it.
pub(crate) fn of_host(kind: TransportKind, host: Host, marks: Marks) -> Result<Host, Failure> {
    #[cfg(feature = "tls")]
    let host = host.auto_mtls(kind.is_secured());
    #[cfg(feature = "multiplex")]
    let host = host.multiplex(kind.is_multiplexed());
    with(kind, |transport| {
        host.transport(MarkedTransport { transport, marks })
    })
}

/// `plugin` with this transport and no other.
///
/// # Errors
/// If this program was built without it.
pub fn of_plugin(kind: TransportKind, plugin: Plugin) -> Result<Plugin, Failure> {
    with(kind, |transport| plugin.transport(transport))
}

#[cfg_attr(
    not(any(feature = "h2", feature = "stdio")),
    allow(unused_variables, unreachable_code)
)]
fn with<T>(kind: TransportKind, take: impl FnOnce(Box<dyn Transport>) -> T) -> Result<T, Failure> {
    let transport: Box<dyn Transport> = match kind {
        #[cfg(all(feature = "h2", feature = "tls"))]
        TransportKind::H2Tls => Box::new(outboard::H2::new()),
        #[cfg(all(feature = "h2", feature = "multiplex"))]
        TransportKind::H2Streams => Box::new(outboard::H2::new()),
        #[cfg(all(feature = "h2", feature = "tls", feature = "multiplex"))]
        TransportKind::H2TlsStreams => Box::new(outboard::H2::new()),
        #[cfg(feature = "h2")]
        TransportKind::H2 => Box::new(outboard::H2::new()),
        #[cfg(feature = "h2")]
        TransportKind::H2Spin => Box::new(outboard::H2::new().spin(SPIN)),
        #[cfg(feature = "stdio")]
        TransportKind::Stdio => Box::new(outboard::Stdio::new()),
        #[cfg(feature = "stdio")]
        TransportKind::StdioSpin => Box::new(outboard::Stdio::new().spin(SPIN)),
        #[allow(unreachable_patterns)] // Reached in builds that lack one.
        _ => return Err(not_built(kind)),
    };
    Ok(take(transport))
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
        RuntimeKind::TokioThreads => {
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
