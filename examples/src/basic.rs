//! What host and plugin of the `basic` example share.

use outboard::Handshake;
use outboard::netrpc::{Error, interface};

/// What host and plugin agree on: the version of the interface, and a cookie that keeps people
/// from running the plugin by hand.
pub const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// The interface: `GreeterClient` calls it, `GreeterServer` serves it.
#[interface]
pub trait Greeter {
    /// A greeting.
    async fn greet(&self) -> Result<String, Error>;
}
