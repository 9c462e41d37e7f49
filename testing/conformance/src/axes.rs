//! The values of the axes, made of outboard. A further runtime or transport is one more value of the
//! kit's and one more line here and in the list of combinations.

use std::sync::Arc;
use std::time::Duration;

use outboard::rt::SharedRuntime;
use outboard::{H2, Host, Plugin, Smol, Stdio, Tokio};

pub use outboard_kit::axes::{RuntimeKind, TransportKind};

/// Runs `main` to its end on a fresh runtime of this kind.
///
/// # Panics
/// If the system has no room for a runtime.
pub fn block_on<F: Future>(kind: RuntimeKind, main: impl FnOnce(SharedRuntime) -> F) -> F::Output {
    let mut builder = match kind {
        // What serves blocking plugins, and what their hosts have in the background.
        RuntimeKind::Smol | RuntimeKind::Blocking => {
            return Smol::block_on(|smol| main(smol.into()));
        }
        RuntimeKind::AsyncIo => {
            let executor = Arc::default();
            let main = main(Smol::on(&executor).into());
            return async_io::block_on(executor.run(main));
        }
        RuntimeKind::Tokio => tokio::runtime::Builder::new_current_thread(),
        RuntimeKind::TokioThreads => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build();
    let runtime = runtime.expect("the system has room for a runtime");
    runtime.block_on(async { main(Tokio::current().into()).await })
}

/// How long those look again that do.
const SPIN: Duration = Duration::from_micros(50);

/// The host, speaking this transport alone.
pub fn of_host(kind: TransportKind, host: Host) -> Host {
    let host = host.auto_mtls(kind.is_secured());
    let host = host.multiplex(kind.is_multiplexed());
    match kind {
        TransportKind::H2
        | TransportKind::H2Tls
        | TransportKind::H2Streams
        | TransportKind::H2TlsStreams => host.transport(H2::new()),
        TransportKind::Stdio => host.transport(Stdio::new()),
        TransportKind::H2Spin => host.transport(H2::new().spin(SPIN)),
        TransportKind::StdioSpin => host.transport(Stdio::new().spin(SPIN)),
    }
}

/// The plugin, speaking this transport alone.
pub fn of_plugin(kind: TransportKind, plugin: Plugin) -> Plugin {
    match kind {
        TransportKind::H2
        | TransportKind::H2Tls
        | TransportKind::H2Streams
        | TransportKind::H2TlsStreams => plugin.transport(H2::new()),
        TransportKind::Stdio => plugin.transport(Stdio::new()),
        TransportKind::H2Spin => plugin.transport(H2::new().spin(SPIN)),
        TransportKind::StdioSpin => plugin.transport(Stdio::new().spin(SPIN)),
    }
}
