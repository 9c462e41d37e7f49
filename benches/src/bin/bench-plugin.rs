//! The measured plugin on outboard: `bench-plugin RUNTIME`. It speaks what the host asks for.

use outboard::Plugin;
use outboard_benches::runtimes::run;
use outboard_benches::service::{BenchServer, HANDSHAKE, Implementation, NAME};
use outboard_benches::{Failure, clock};

fn main() -> Result<(), Failure> {
    let born = clock::monotonic_ns();
    let plugin = Plugin::new(HANDSHAKE).provide(NAME, BenchServer::new(Implementation { born }));
    let runtime = std::env::args()
        .nth(1)
        .ok_or("usage: bench-plugin RUNTIME")?;
    run(runtime.parse()?, async |runtime| {
        plugin.serve(runtime).await
    })??;
    Ok(())
}
