//! The plugin of go-plugin's basic example, over Go's net/rpc: for the `basic` host or Go's own.

use outboard::netrpc::Error;
use outboard::{Plugin, Tokio};
use outboard_examples::basic::{Greeter, GreeterServer, HANDSHAKE};
use tracing::debug;

struct GreeterHello;

impl Greeter for GreeterHello {
    async fn greet(&self) -> Result<String, Error> {
        debug!("message from GreeterHello.Greet");
        Ok("Hello!".to_owned())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let plugin = Plugin::new(HANDSHAKE).install_logging();
    debug!(foo = "bar", "message from plugin");
    plugin
        .provide("greeter", GreeterServer::new(GreeterHello))
        .serve_or_exit(Tokio::current())
        .await;
}
