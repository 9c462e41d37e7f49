//! The key-value plugin: a plugin in a binary of its own, for the `kv` host or any host that uses
//! go-plugin's gRPC example. Values are kept in files named `kv_KEY` in the working directory.

use std::io;

use outboard::{Handshake, Plugin, Status, Tokio};

outboard::include_proto!("kv/proto");

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

struct Files;

impl Kv for Files {
    async fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        let value = std::fs::read(file(&request.key)?).map_err(unknown)?;
        Ok(GetResponse { value })
    }

    async fn put(&self, request: PutRequest) -> Result<Empty, Status> {
        let mut value = request.value;
        value.extend_from_slice(b"\n\nWritten from plugin-rust-grpc");
        std::fs::write(file(&request.key)?, value).map_err(unknown)?;
        Ok(Empty {})
    }
}

/// The file of a key. The host names keys, so they must not name places.
fn file(key: &str) -> Result<String, Status> {
    if key.contains(['/', '\\', '\0']) {
        return Err(Status::invalid_argument(format!(
            "a key is no path: {key:?}"
        )));
    }
    Ok(format!("kv_{key}"))
}

/// The status that go-plugin's example gives for any error of the system.
fn unknown(error: io::Error) -> Status {
    Status::unknown(error.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let plugin = Plugin::new(HANDSHAKE).provide("kv", KvServer::new(Files));
    plugin.serve_or_exit(Tokio::current()).await;
}
