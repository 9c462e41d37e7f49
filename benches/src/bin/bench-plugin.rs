//! The measured plugin on outboard: `bench-plugin RUNTIME [TRANSPORT]`. Without a transport it
//! speaks what the host asks for.

use outboard::Plugin;
use outboard_benches::runtimes::{TransportKind, run};
use outboard_benches::service::{BenchServer, HANDSHAKE, Implementation, NAME};
use outboard_benches::{Failure, clock};

fn main() -> Result<(), Failure> {
    let born = clock::monotonic_ns();
    let plugin = Plugin::new(HANDSHAKE).provide(NAME, BenchServer::new(Implementation { born }));
    let mut args = std::env::args().skip(1);
    let runtime = args
        .next()
        .ok_or("usage: bench-plugin RUNTIME [TRANSPORT]")?;
    let plugin = match args.next() {
        Some(transport) => transport.parse::<TransportKind>()?.of_plugin(plugin)?,
        None => plugin,
    };
    run(runtime.parse()?, async |runtime| {
        plugin.serve(runtime).await
    })??;
    Ok(())
}
