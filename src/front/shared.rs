use outboard::{Handshake, Status};

/// The version of the interface, and a cookie that keeps people from running the plugin by hand.
pub const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");

/// Takes whatever implements the interface: a plugin, a local value, a double in a test.
pub async fn welcome(greeter: &impl Greeter, name: &str) -> Result<String, Status> {
    let reply = greeter.greet(GreetRequest { name: name.into() }).await?;
    Ok(format!("{} Come in.", reply.text))
}
