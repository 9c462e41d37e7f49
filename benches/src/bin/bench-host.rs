//! The measured host on outboard: `bench-host RUNTIME TRANSPORT PLUGIN [ARGUMENT ..]`. The transport is one
//! of gRPC's calls, or `netrpc`.

use outboard_benches::drive::{Driver, Launcher};
#[cfg(feature = "netrpc")]
use outboard_benches::netrpc::OverNetRpc;
use outboard_benches::outboard_host::OutboardHost;
#[cfg(feature = "netrpc")]
use outboard_benches::runtimes::NETRPC;
use outboard_benches::runtimes::{TransportKind, run};
use outboard_benches::{Failure, orders};

fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1);
    let mut word = || {
        let usage = "usage: bench-host RUNTIME TRANSPORT PLUGIN [ARGUMENT ..]";
        args.next().ok_or(usage)
    };
    let (kind, speaks, program) = (word()?, word()?, word()?);
    let kind = kind.to_string_lossy().parse()?;
    let args = args.collect();
    #[cfg(feature = "netrpc")]
    if speaks == NETRPC {
        return run(kind, async |runtime| {
            let speaks = OverNetRpc;
            serve(OutboardHost {
                runtime,
                speaks,
                program,
                args,
            })
            .await
        })?;
    }
    let speaks: TransportKind = speaks.to_string_lossy().parse()?;
    run(kind, async |runtime| {
        serve(OutboardHost {
            runtime,
            speaks,
            program,
            args,
        })
        .await
    })?
}

async fn serve(launcher: impl Launcher) -> Result<(), Failure> {
    let mut driver = Driver::new(launcher);
    orders::serve(async |order| driver.obey(order).await).await?;
    driver.end().await
}
