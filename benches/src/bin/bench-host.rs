//! The measured host on outboard: `bench-host RUNTIME TRANSPORT PLUGIN [ARGUMENT ..]`.

use outboard_benches::drive::Driver;
use outboard_benches::outboard_host::OutboardHost;
use outboard_benches::runtimes::Executor;
use outboard_benches::{Failure, orders};

fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1);
    let mut word = || {
        args.next()
            .ok_or("usage: bench-host RUNTIME TRANSPORT PLUGIN [ARGUMENT ..]")
    };
    let (runtime, transport, program) = (word()?, word()?, word()?);
    let executor = Executor::new(runtime.to_string_lossy().parse()?)?;
    let mut driver = Driver::new(OutboardHost {
        runtime: executor.shared(),
        transport: transport.to_string_lossy().parse()?,
        program,
        args: args.collect(),
    });
    orders::serve(|order| executor.block_on(driver.obey(order)))?;
    executor.block_on(driver.end())
}
