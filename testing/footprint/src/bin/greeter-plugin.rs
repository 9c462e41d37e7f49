//! The plugin of the greeter example without its host, for places that are short of everything.
//! One source for all builds: the features choose the runtime and the transport.
//!
//! ```sh
//! cargo build --package outboard-footprint --bin greeter-plugin --profile small
//! cargo build --package outboard-footprint --bin greeter-plugin --profile small \
//!     --no-default-features --features tokio-h2
//! ```

use std::error::Error;
use std::process::ExitCode;

use outboard::{Handshake, Plugin, Status};

outboard::include_proto!("greeter");

const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");

struct Hello;

impl Greeter for Hello {
    async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        Ok(GreetReply {
            text: format!("Hello, {}!", request.name),
        })
    }
}

fn plugin() -> Plugin {
    Plugin::new(HANDSHAKE).provide("greeter", GreeterServer::new(Hello))
}

#[cfg(feature = "smol-stdio")]
fn serve() -> Result<(), Box<dyn Error>> {
    outboard::Smol::block_on(|smol| plugin().serve_or_exit(smol));
    Ok(())
}

#[cfg(all(feature = "tokio-h2", not(feature = "smol-stdio")))]
fn serve() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { plugin().serve_or_exit(outboard::Tokio::current()).await });
    Ok(())
}

#[cfg(not(any(feature = "tokio-h2", feature = "smol-stdio")))]
compile_error!("choose what the plugin runs on: the feature `smol-stdio` or `tokio-h2`");

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
