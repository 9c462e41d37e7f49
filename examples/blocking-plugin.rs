//! A plugin without async, for the `blocking` host or any other.

use outboard::Status;
use outboard::blocking::Plugin;
use outboard_examples::blocking::{GreetReply, GreetRequest, HANDSHAKE};
use outboard_examples::blocking::{GreeterBlocking, GreeterBlockingServer};

struct Hello;

impl GreeterBlocking for Hello {
    fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        println!("this print of the plugin reaches the host");
        let text = format!("Hello, {}!", request.name);
        Ok(GreetReply { text })
    }
}

fn main() {
    Plugin::new(HANDSHAKE)
        .provide("greeter", GreeterBlockingServer::new(Hello))
        .serve_or_exit();
}
