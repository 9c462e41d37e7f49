//! go-plugin's basic example, over Go's net/rpc: a host that has its plugin greet.
//!
//! ```sh
//! cargo build --examples
//! cargo run --example basic
//! ```
//!
//! It runs the `basic-plugin` example that lies beside it, or, with `BASIC_PLUGIN_COMMAND` set, that shell
//! command. Either half is exchangeable with go-plugin's own.

use std::error::Error;

use outboard::{Command, Host, NetRpc, Tokio};
use outboard_examples::basic::{Greeter as _, GreeterClient, HANDSHAKE};
use outboard_examples::with_flags;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // What the plugin logs is shown, with its levels and fields.
    let only_plugins = Targets::new().with_target(outboard::LOG_TARGET, Level::DEBUG);
    let layer = tracing_subscriber::fmt::layer().without_time();
    tracing_subscriber::registry()
        .with(layer.with_filter(only_plugins))
        .init();

    let command = match std::env::var("BASIC_PLUGIN_COMMAND") {
        Ok(command) => Command::new("sh").arg("-c").arg(command),
        Err(_) => Command::new(std::env::current_exe()?.with_file_name("basic-plugin")),
    };
    let plugin = with_flags(Host::new(HANDSHAKE))
        .transport(NetRpc::new())
        .command(command)
        .start(Tokio::current())
        .await?;
    let greeter: GreeterClient = plugin.dispense("greeter").await?;
    println!("{}", greeter.greet().await?);
    plugin.shutdown().await?;
    Ok(())
}
