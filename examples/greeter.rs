//! The smallest whole program: host and plugin in one binary that launches itself.
//!
//! ```sh
//! cargo run --example greeter
//! cargo run --example greeter -- --stdio     # the same without any socket
//! ```

use std::error::Error;

use outboard::{Command, Handshake, Host, Plugin, Status, Tokio};
use outboard_examples::with_flags;
use tracing::{Level, info};
use tracing_subscriber::filter::Targets;

outboard::include_proto!("greeter/greeter");

/// What host and plugin agree on: the version of the interface, and a cookie that keeps people
/// from running the plugin by hand.
const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");

/// The plugin's implementation of the interface.
struct Hello;

impl Greeter for Hello {
    async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        info!(name = request.name, "greeting");
        println!("this print of the plugin reaches the host");
        Ok(GreetReply {
            text: format!("Hello, {}!", request.name),
        })
    }
}

/// Serves the interface until the host is done.
async fn plugin() {
    let plugin = Plugin::new(HANDSHAKE).provide("greeter", GreeterServer::new(Hello));
    plugin.serve_or_exit(Tokio::current()).await;
}

/// Launches the plugin and calls it like any Rust value.
async fn host() -> Result<(), Box<dyn Error>> {
    let plugin = with_flags(Host::new(HANDSHAKE))
        .command(Command::new(std::env::current_exe()?).arg("plugin"))
        .sync_stdout(std::io::stdout)
        .start(Tokio::current())
        .await?;
    let greeter: GreeterClient = plugin.dispense("greeter").await?;

    let reply = greeter
        .greet(GreetRequest {
            name: "world".into(),
        })
        .await?;
    println!("{}", reply.text);

    plugin.shutdown().await?;
    Ok(())
}

/// Prints what the plugin logs, with its level, message and fields, to the host's stderr.
fn show_plugin_logs() {
    use tracing_subscriber::prelude::*;
    let only_plugins = Targets::new().with_target(outboard::LOG_TARGET, Level::INFO);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .without_time();
    tracing_subscriber::registry()
        .with(layer.with_filter(only_plugins))
        .init();
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("plugin") {
        plugin().await;
        return Ok(());
    }
    show_plugin_logs();
    host().await
}
