//! A host of the key-value plugin, as in go-plugin's gRPC example.
//!
//! ```sh
//! cargo build --examples
//! cargo run --example kv -- put hello world
//! cargo run --example kv -- get hello
//! ```
//!
//! It runs the `kv-plugin` example that lies beside it, or, with `KV_PLUGIN` set, that shell
//! command: `KV_PLUGIN=./any-go-plugin-kv` works as well.

use std::error::Error;
use std::io::Write as _;

use outboard::{Command, Handshake, Host, Tokio};
use outboard_examples::{args, with_flags};

outboard::include_proto!("kv/proto");

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();

    let plugin = with_flags(Host::new(HANDSHAKE))
        .command(plugin_command()?)
        .start(Tokio::current())
        .await?;
    let kv: KvClient = plugin.dispense("kv").await?;
    let outcome = run(&kv, &args).await;
    plugin.shutdown().await?;
    outcome
}

/// Works with whatever implements the interface: a plugin here, a local struct in a test.
async fn run(kv: &impl Kv, args: &[&str]) -> Result<(), Box<dyn Error>> {
    match *args {
        ["put", key, value] => {
            kv.put(PutRequest {
                key: key.into(),
                value: value.into(),
            })
            .await?;
        }
        ["get", key] => {
            let reply = kv.get(GetRequest { key: key.into() }).await?;
            std::io::stdout().write_all(&reply.value)?;
            println!();
        }
        _ => return Err("usage: kv put KEY VALUE | kv get KEY".into()),
    }
    Ok(())
}

fn plugin_command() -> Result<Command, Box<dyn Error>> {
    Ok(match std::env::var("KV_PLUGIN") {
        Ok(command) => Command::new("sh").arg("-c").arg(command),
        Err(_) => Command::new(std::env::current_exe()?.with_file_name("kv-plugin")),
    })
}
