//! A host of the key-value plugin, as in go-plugin's gRPC example.
//!
//! ```sh
//! cargo build --examples
//! cargo run --example kv -- put hello world
//! cargo run --example kv -- get hello
//! KV_PROTO=netrpc cargo run --example kv -- get hello     # the plugin serves net/rpc
//! ```
//!
//! It runs the `kv-plugin` example that lies beside it, or, with `KV_PLUGIN` set, that shell
//! command: `KV_PLUGIN=./any-go-plugin-kv` works as well, whichever of the two protocols that speaks.

use std::error::Error;

use outboard::{Command, H2, Handshake, Host, NetRpc, Protocol, Tokio};
use outboard_examples::kv::{KvClient, KvRpcClient, run};
use outboard_examples::{args, with_flags};

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();

    let plugin = with_flags(Host::new(HANDSHAKE))
        .transport(H2::default())
        .transport(NetRpc::new())
        .command(plugin_command()?)
        .start(Tokio::current())
        .await?;
    let outcome = match plugin.protocol() {
        Protocol::NetRpc => run(&plugin.dispense::<KvRpcClient>("kv").await?, &args).await,
        _ => run(&plugin.dispense::<KvClient>("kv").await?, &args).await,
    };
    plugin.shutdown().await?;
    outcome
}

fn plugin_command() -> Result<Command, Box<dyn Error>> {
    if let Ok(command) = std::env::var("KV_PLUGIN") {
        return Ok(Command::new("sh").arg("-c").arg(command));
    }
    let plugin = Command::new(std::env::current_exe()?.with_file_name("kv-plugin"));
    Ok(match std::env::var("KV_PROTO") {
        Ok(protocol) => plugin.arg(protocol),
        Err(_) => plugin,
    })
}
