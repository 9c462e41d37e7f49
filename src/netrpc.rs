//! Go's net/rpc, which go-plugin began with: for plugins and hosts that speak it.
//!
//! The protocol follows from what is provided in the version that was negotiated, as in go-plugin: one
//! plugin may have version 1 over net/rpc and version 2 over gRPC. A host speaks it if it was given
//! [`NetRpc`] as one of its transports.
//!
//! # An interface
//!
//! ```
//! use outboard::netrpc::{Error, interface};
//! use outboard::{Command, Handshake, Host, NetRpc, Plugin, Tokio};
//!
//! #[interface] // Greeter, GreeterClient, GreeterServer
//! pub trait Greeter {
//!     /// Go: `func (g *GreeterRPC) Greet(args any, resp *string) error`
//!     async fn greet(&self) -> Result<String, Error>;
//! }
//!
//! struct Hello;
//!
//! impl Greeter for Hello {
//!     async fn greet(&self) -> Result<String, Error> {
//!         Ok("Hello!".to_owned())
//!     }
//! }
//!
//! const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
//!
//! # async fn plugin() {
//! Plugin::new(HANDSHAKE)
//!     .provide("greeter", GreeterServer::new(Hello))
//!     .serve_or_exit(Tokio::current())
//!     .await;
//! # }
//! # async fn host() -> Result<(), Box<dyn std::error::Error>> {
//! let plugin = Host::new(HANDSHAKE)
//!     .command(Command::new("./greeter"))
//!     .transport(NetRpc::new())
//!     .start(Tokio::current())
//!     .await?;
//! let greeter: GreeterClient = plugin.dispense("greeter").await?;
//! println!("{}", greeter.greet().await?);
//! # Ok(())
//! # }
//! ```
//!
//! Argument and reply are of any type with [`Gob`]. A crate that has the derive from here tells it so:
//!
//! ```
//! use outboard::netrpc::Gob;
//!
//! #[derive(Gob)]
//! #[gob(crate = "outboard::netrpc::gob")]
//! struct Person {
//!     full_name: String, // Go: FullName string
//! }
//! ```
//!
//! What has no trait is called by its name: `plugin.dispense::<Instance>("greeter")`, and
//! [`Instance::call`].
//!
//! # Live interfaces and raw streams
//!
//! Either side passes an interface to the other by serving it under an id of the [`MuxBroker`] and sending the
//! id in a call. It is served until the handle is dropped.
//!
//! ```
//! use std::sync::Arc;
//!
//! use outboard::netrpc::{Client as _, Error, Instance, MuxBroker, interface, make};
//! # use outboard::Plugin;
//!
//! #[interface]
//! pub trait Adder {
//!     async fn add(&self, number: i64) -> Result<i64, Error>;
//! }
//!
//! #[interface]
//! pub trait Counter {
//!     /// Takes the id of an adder that the host lends.
//!     async fn count(&self, adder: u32) -> Result<i64, Error>;
//! }
//!
//! // The host lends its adder for one call.
//! async fn lend(counter: &CounterClient, adder: impl Adder) -> Result<i64, Error> {
//!     let lent = counter.instance().broker().offer(Arc::new(AdderServer::new(adder)))?;
//!     counter.count(lent.id()).await
//! }
//!
//! // The plugin calls it.
//! struct Counting(MuxBroker);
//!
//! impl Counter for Counting {
//!     async fn count(&self, adder: u32) -> Result<i64, Error> {
//!         let adder = AdderClient::from_instance(Instance::dial(&self.0, adder).await?);
//!         adder.add(1).await
//!     }
//! }
//!
//! fn provide(plugin: Plugin) -> Plugin {
//!     plugin.provide("counter", make(|broker| {
//!         Ok::<_, Error>(CounterServer::new(Counting(broker.clone())))
//!     }))
//! }
//! ```
//!
//! [`MuxBroker::accept`] and [`MuxBroker::dial`] give the bare streams, which implement the traits of
//! `futures-io`: what Go passes as an `io.Reader` or `io.Writer` over its broker.
//!
//! # What this wire lacks
//!
//! Deadlines and cancellation: a call that is given up, by the timeout of its client or by dropping it, goes
//! on at the other side. Metadata, streams of messages, a health service; a ping says only that the plugin
//! answers. Errors are texts. A connection that is lost takes along what was dispensed over it: it is not made
//! again.

use std::sync::Arc;

/// Values of gob: what can be sent, and how types and fields are named.
pub use outboard_gob as gob;
pub use outboard_netrpc_macros::interface;

pub use outboard_gob::{Decode, Encode, Gob, Limits, Received, Value};
pub use outboard_transport_netrpc::wire::Nothing;
pub use outboard_transport_netrpc::{
    Accepting, Begun, BrokerError, CallError, Client, Error, Instance, Methods, MuxBroker, NetRpc,
    Reply, Service,
};

use crate::client::{Dispense, Dispensed, Misfit};
use crate::plugin::Provided;

/// A client of what was dispensed.
///
/// # Errors
/// If that is none of net/rpc.
pub fn from_dispensed<C: Client>(dispensed: Dispensed) -> Result<C, Misfit> {
    match dispensed {
        Dispensed::Instance(instance) => Ok(C::from_instance(instance)),
        Dispensed::Channel(_) => Err(Misfit::new("gRPC", "Go's net/rpc")),
    }
}

/// Whatever a plugin dispenses over net/rpc, for calls by name.
impl Dispense for Instance {
    fn from_dispensed(dispensed: Dispensed) -> Result<Self, Misfit> {
        from_dispensed(dispensed)
    }
}

/// Provides a service: each instance that is dispensed is this one.
pub fn provided(service: impl Service) -> Provided {
    let service: Arc<dyn Service> = Arc::new(service);
    Provided::net_rpc(Arc::new(move |_broker| Ok(Arc::clone(&service))))
}

/// Provides what `make` makes, anew for each instance that is dispensed, and with the broker of its
/// connection: Go's `Server(*MuxBroker)`. An error is the host's error of its dispensing.
///
/// ```
/// use outboard::netrpc::{Methods, Value, make};
/// # fn provide(plugin: outboard::Plugin) -> outboard::Plugin {
/// plugin.provide("counter", make(|broker| {
///     let broker = broker.clone();
///     Ok::<_, String>(Methods::new().with("Open", move |_: Value| {
///         let id = broker.next_id();
///         async move { Ok::<u32, String>(id) }
///     }))
/// }))
/// # }
/// ```
pub fn make<S, E>(make: impl Fn(&MuxBroker) -> Result<S, E> + Send + Sync + 'static) -> Provided
where
    S: Service,
    E: std::fmt::Display,
{
    Provided::net_rpc(Arc::new(move |broker| match make(broker) {
        Ok(service) => Ok(Arc::new(service) as Arc<dyn Service>),
        Err(error) => Err(error.to_string()),
    }))
}
