//! The floor as a program: `bench-floor host|plugin socket|pipe`.

use futures_util::FutureExt as _;
use outboard_benches::{Failure, floor};

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["host", wire @ ("socket" | "pipe")] => {
            let done = floor::host(wire).now_or_never();
            done.unwrap_or_else(|| Err("the floor waited".into()))
        }
        ["plugin", wire @ ("socket" | "pipe")] => floor::plugin(wire),
        _ => Err("usage: bench-floor host|plugin socket|pipe".into()),
    }
}
