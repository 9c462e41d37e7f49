//! The key-value plugin: a plugin in a binary of its own, for the `kv` host or any host that uses
//! go-plugin's gRPC example. Values are kept in files named `kv_KEY` in the working directory.
//!
//! With the argument `netrpc` it serves Go's net/rpc in place of gRPC.

use outboard::{Handshake, Plugin, Tokio};
use outboard_examples::kv::{Files, KvRpcServer, KvServer, OverNetRpc};

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

fn files(protocol: &str) -> Files {
    Files {
        written: format!("\n\nWritten from plugin-rust-{protocol}"),
        read: String::new(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let plugin = Plugin::new(HANDSHAKE);
    let plugin = match std::env::args().nth(1).as_deref() {
        Some("netrpc") => plugin.provide("kv", KvRpcServer::new(OverNetRpc(files("netrpc")))),
        _ => plugin.provide("kv", KvServer::new(files("grpc"))),
    };
    plugin.serve_or_exit(Tokio::current()).await;
}
