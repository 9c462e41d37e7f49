//! What host and plugin of the `blocking` example share.

use outboard::Handshake;

outboard::include_proto!("greeter/greeter");

/// What host and plugin agree on: the version of the interface, and a cookie that keeps people
/// from running the plugin by hand.
pub const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");
