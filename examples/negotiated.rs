//! Two versions of an interface at once, as in go-plugin's example of that name: version 2 over Go's net/rpc
//! and version 3 over gRPC. The highest that both sides know is used, and the protocol follows from it.
//!
//! ```sh
//! cargo run --example negotiated -- put hello world     # host knows 2 and 3, plugin too: 3
//! KV_PROTO=netrpc cargo run --example negotiated -- get hello     # host knows only 2
//! KV_PROTO=grpc cargo run --example negotiated -- get hello       # host knows only 3
//! KV_PROTO=other cargo run --example negotiated -- get hello      # nothing in common: a clear error
//! ```
//!
//! With `NEGOTIATED_PLUGIN` set it runs that shell command as its plugin.

use std::error::Error;

use outboard::{Command, H2, Handshake, Host, NetRpc, Plugin, Protocol, Tokio};
use outboard_examples::kv::{Files, KvClient, KvRpcClient, KvRpcServer, KvServer, OverNetRpc, run};
use outboard_examples::{args, with_flags};

/// The version in here is not used, since both sides say which versions they know.
const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// One implementation per version. A real plugin would translate to one common store.
fn files(version: u32) -> Files {
    Files {
        written: format!("\n\nWritten from plugin version {version}\n"),
        read: format!("Read by plugin version {version}\n"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args == ["plugin"] {
        let plugin = Plugin::new(HANDSHAKE)
            .provide_version(2, "kv", KvRpcServer::new(OverNetRpc(files(2))))
            .provide_version(3, "kv", KvServer::new(files(3)));
        plugin.serve_or_exit(Tokio::current()).await;
        return Ok(());
    }

    let versions: &[u32] = match std::env::var("KV_PROTO").as_deref() {
        Err(_) => &[2, 3],
        Ok("netrpc") => &[2],
        Ok("grpc") => &[3],
        Ok(_) => &[4],
    };
    let command = match std::env::var("NEGOTIATED_PLUGIN") {
        Ok(command) => Command::new("sh").arg("-c").arg(command),
        Err(_) => Command::new(std::env::current_exe()?).arg("plugin"),
    };
    let plugin = with_flags(Host::new(HANDSHAKE))
        .transport(H2::default())
        .transport(NetRpc::new())
        .versions(versions.iter().copied())
        .command(command)
        .start(Tokio::current())
        .await?;
    eprintln!(
        "version {} over {}",
        plugin.negotiated_version(),
        plugin.protocol()
    );
    let outcome = match plugin.protocol() {
        Protocol::NetRpc => run(&plugin.dispense::<KvRpcClient>("kv").await?, &args).await,
        _ => run(&plugin.dispense::<KvClient>("kv").await?, &args).await,
    };
    plugin.shutdown().await?;
    outcome
}
