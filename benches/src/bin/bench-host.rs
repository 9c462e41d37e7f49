//! The measured host on outboard: `bench-host RUNTIME TRANSPORT PLUGIN [ARGUMENT ..]`.

use outboard_benches::drive::Driver;
use outboard_benches::outboard_host::OutboardHost;
use outboard_benches::runtimes::run;
use outboard_benches::{Failure, orders};

fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1);
    let mut word = || {
        let usage = "usage: bench-host RUNTIME TRANSPORT PLUGIN [ARGUMENT ..]";
        args.next().ok_or(usage)
    };
    let (kind, transport, program) = (word()?, word()?, word()?);
    let transport = transport.to_string_lossy().parse()?;
    run(kind.to_string_lossy().parse()?, async |runtime| {
        let mut driver = Driver::new(OutboardHost {
            runtime,
            transport,
            program,
            args: args.collect(),
        });
        orders::serve(async |order| driver.obey(order).await).await?;
        driver.end().await
    })?
}
