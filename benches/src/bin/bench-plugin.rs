//! The measured plugin on outboard: `bench-plugin RUNTIME [TRANSPORT]`. Without a transport it
//! speaks what the host asks for, over gRPC; with `netrpc` it speaks Go's net/rpc.

use outboard::Plugin;
#[cfg(feature = "netrpc")]
use outboard_benches::netrpc::{RpcBenchServer, RpcImplementation};
#[cfg(feature = "netrpc")]
use outboard_benches::runtimes::NETRPC;
use outboard_benches::runtimes::{TransportKind, of_plugin, run};
use outboard_benches::service::{BenchServer, HANDSHAKE, Implementation, NAME};
use outboard_benches::{Failure, clock};

fn main() -> Result<(), Failure> {
    let born = clock::monotonic_ns();
    let mut args = std::env::args().skip(1);
    let runtime = args
        .next()
        .ok_or("usage: bench-plugin RUNTIME [TRANSPORT]")?;
    let plugin = plugin(born, args.next())?;
    run(runtime.parse()?, async |runtime| {
        plugin.serve_or_exit(runtime).await;
    })?;
    Ok(())
}

fn plugin(born: u64, speaks: Option<String>) -> Result<Plugin, Failure> {
    let plugin = Plugin::new(HANDSHAKE);
    #[cfg(feature = "netrpc")]
    if speaks.as_deref() == Some(NETRPC) {
        return Ok(plugin.provide(NAME, RpcBenchServer::new(RpcImplementation(born))));
    }
    let plugin = plugin.provide(NAME, BenchServer::new(Implementation::new(born)));
    match speaks {
        Some(transport) => of_plugin(transport.parse::<TransportKind>()?, plugin),
        None => Ok(plugin),
    }
}
