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
//! What a peer can make this side keep and do is bounded, over all streams of a session:
//!
//! | What | At once | Beyond that |
//! | --- | --- | --- |
//! | a value | [`outboard_gob::Limits`] | the stream ends, with an error |
//! | calls that run | 1,024 of a stream, 4,096 of a session | they are not read until one has ended |
//! | bytes of arguments, of calls that run and of those that come, beyond the first 16 KiB of each | 64 MiB, or one argument alone | they are not read on until others have ended |
//! | instances, and streams to what was [offered](MuxBroker::offer) | 1,024, of one offer 256 | an instance is refused with an error, a stream is closed as if nobody accepted |
//! | instances that their host has not dialled yet | 256, each for 5 s | refused with an error |
//! | streams that wait for somebody, or whose id has not come | 256 of each, for 5 s and 6 s | closed |
//! | time until a host has opened its first three streams | 30 s | the connection is closed, with an error |
//!
//! Where a stream is not read, yamux's flow control makes its peer wait, and what comes meanwhile is bounded by
//! the stream's window. Small arguments never wait for large ones, so that calls back and forth go on; a call
//! whose large argument is there waits in vain for another large one of the same session, if both are more than
//! 64 MiB. The control stream is counted for itself: pings, and the question for the end, are answered
//! whatever the instances do. Streams that are served by hand, with [`serve`], have these bounds each.
//!
//! What is decoded may take more than what was sent, see [`outboard_gob::Limits::memory`], and each stream
//! keeps the definitions of its types. A stream that says nothing holds up nobody, other than in go-plugin.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod broker;
mod client;
mod error;
mod explain;
mod host;
mod inbox;
mod instance;
mod load;
mod outbox;
mod plugin;
mod server;
mod service;
mod split;
mod transport;
mod wait;
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
