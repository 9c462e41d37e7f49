//! One codec case, so many times: `bench-codec NAME COUNT`. Prints nanoseconds per repetition.

use std::time::Instant;

use outboard_benches::{Failure, codec};

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = args.as_slice() else {
        return Err(format!("usage: bench-codec NAME COUNT; names: {:?}", codec::CASES).into());
    };
    let count: u32 = count.parse()?;
    let mut work = codec::case(name)?;
    let begin = Instant::now();
    for _ in 0..count {
        work()?;
    }
    println!("{}", begin.elapsed().as_nanos() / u128::from(count.max(1)));
    Ok(())
}
