//! The measured plugin on outboard: `bench-plugin RUNTIME [TRANSPORT]`. Without a transport it
//! speaks what the host asks for.

use outboard::Plugin;
use outboard_benches::runtimes::{TransportKind, of_plugin, run};
use outboard_benches::service::{BenchServer, HANDSHAKE, Implementation, NAME};
use outboard_benches::{Failure, clock};

fn main() -> Result<(), Failure> {
    let born = clock::monotonic_ns();
    let plugin = Plugin::new(HANDSHAKE).provide(NAME, BenchServer::new(Implementation::new(born)));
    let mut args = std::env::args().skip(1);
    let runtime = args
        .next()
        .ok_or("usage: bench-plugin RUNTIME [TRANSPORT]")?;
    let plugin = match args.next() {
        Some(transport) => of_plugin(transport.parse::<TransportKind>()?, plugin)?,
        None => plugin,
    };
    run(runtime.parse()?, async |runtime| {
        plugin.serve_or_exit(runtime).await;
    })?;
    Ok(())
}
