//! A host without async: as short as one in Go.
//!
//! ```sh
//! cargo build --examples
//! cargo run --example blocking
//! ```
//!
//! It runs the `blocking-plugin` example that lies beside it, or the greeter that is its argument, in whatever
//! language.

use std::error::Error;

use outboard::Command;
use outboard::blocking::Host;
use outboard_examples::blocking::{GreetRequest, GreeterBlocking as _};
use outboard_examples::blocking::{GreeterBlockingClient, HANDSHAKE};

fn main() -> Result<(), Box<dyn Error>> {
    let beside = std::env::current_exe()?.with_file_name("blocking-plugin");
    let program = std::env::args_os().nth(1).unwrap_or_else(|| beside.into());

    let plugin = Host::new(HANDSHAKE)
        .command(Command::new(program))
        .sync_stdout(std::io::stdout)
        .start()?;
    let greeter: GreeterBlockingClient = plugin.dispense("greeter")?;

    let name = "world".into();
    println!("{}", greeter.greet(GreetRequest { name })?.text);
    plugin.shutdown()?;
    Ok(())
}
