//! Go's net/rpc, as go-plugin speaks it: calls of gob values on the streams of one yamux session.
//!
//! ```text
//!  one connection ── yamux ─┬─ stream 1: control    Control.Ping, Control.Quit, Dispenser.Dispense
//!                           ├─ stream 3: stdout     what the plugin prints
//!                           ├─ stream 5: stderr
//!                           └─ further ones, of either side, by the ids of the broker:
//!                                instances that were dispensed, services passed in calls, raw bytes
//! ```
//!
//! [`HostSession`] and [`PluginSession`] are the two ends of a connection. An instance that is dispensed is
//! an [`RpcClient`] on the one side and a [`Service`] on the other; the [`MuxBroker`] makes further streams in
//! both directions. The wire without IO is [`wire`].
//!
//! ```
//! use outboard_transport_netrpc::{CallError, HostSession, Methods};
//!
//! // The plugin's: `func (g *Greeter) Greet(name string, greeting *string) error` in Go.
//! let greeter = Methods::new().with("Greet", |name: String| async move {
//!     if name.is_empty() { Err("nobody is there") } else { Ok(format!("Hello, {name}!")) }
//! });
//!
//! // The host's.
//! async fn greet(host: &HostSession) -> Result<String, Box<dyn std::error::Error>> {
//!     let greeter = host.dispense("greeter", std::time::Duration::from_secs(10)).await?;
//!     Ok(greeter.call("Plugin.Greet", "world").await?)
//! }
//! # let _ = (greeter, greet);
//! ```
//!
//! # What this wire does not have
//!
//! Neither deadlines nor cancellation: a call that is given up goes on at the other side, and its answer is
//! skipped. No metadata, no streams of messages. Errors are texts.
//!
//! # Peers that are not trusted
//!
//! Values are bounded by [`outboard_gob::Limits`], streams by yamux, the calls that a stream runs at once,
//! the streams that wait for somebody and those whose id has not come by numbers here. These are bounds of
//! each: what all calls of all streams hold together is bounded by their product alone. A stream that says
//! nothing holds up nobody, other than in go-plugin.
#![forbid(unsafe_code)]

mod broker;
mod client;
mod error;
mod explain;
mod host;
mod inbox;
mod instance;
mod outbox;
mod plugin;
mod server;
mod service;
mod split;
mod transport;
pub mod wire;

pub use self::broker::{Accepting, MuxBroker};
pub use self::client::RpcClient;
pub use self::error::{BrokerError, CallError, Error};
pub use self::host::{DispenseError, HostSession, Printed};
pub use self::instance::{Client, Instance};
pub use self::plugin::{Make, PluginSession, Provided, Quit};
pub use self::server::{Services, serve};
pub use self::service::{Begun, Methods, Reply, Service};
pub use self::transport::{HostConnection, NetRpc};
/// Values of gob.
pub use outboard_gob as gob;
