//! Plugins as separate processes, in go-plugin's wire protocol, on any async runtime.
//!
//! A *host* launches a *plugin* binary, reads one handshake line from it, agrees on a version,
//! connects, and *dispenses* an implementation of an interface whose methods feel local; either
//! side can pass live interfaces to the other through a *broker*. The protocol is exactly that of
//! HashiCorp's go-plugin: hosts run existing Go and Python plugins, and plugins run under existing
//! Go hosts.
//!
//! An interface is a service in a `.proto` file. `outboard-build` turns it into one trait, a client
//! that implements the trait over a connection, and a server for any implementation. The repository's
//! `examples` are whole programs.
//!
//! # Features
//!
//! - `tokio` (default): the adapter [`Tokio`].
//! - `smol`: the adapter `Smol`.
//! - `h2` (default): gRPC over HTTP/2, go-plugin's own transport.
//! - `stdio`: calls over the plugin's own stdin and stdout, between outboard hosts and plugins.
//! - `log` (default): [`log::Layer`], which turns a plugin's `tracing` events into log records.
//!
//! Runtimes are chosen by a value and transports by negotiation, so features only add.

mod accept;
mod broker;
pub mod client;
pub mod codegen;
pub mod context;
mod host;
mod link;
pub mod log;
mod plugin;
pub mod services;
mod sys;
mod text;
mod time;
mod transports;

pub use outboard_core::{
    endpoint, env,
    exit::Exit,
    handshake,
    handshake::Handshake,
    hclog,
    host::{Evidence, StartError, StartFailure, StartPhase},
    plugin::{PluginError, StopReason},
    rpc::{Router, Service, Transport},
    rt,
};
#[cfg(feature = "h2")]
pub use outboard_transport_h2::H2;

pub use self::broker::{Broker, BrokerError, Served};
pub use self::host::{
    Command, ConfigError, DispenseError, ExitReason, ExitReport, Health, Host, HostError,
    LOG_TARGET, PingError, RunningPlugin, ShutdownError,
};
pub use self::plugin::{Plugin, ServeError};
pub use self::sys::socket::ListenError;

#[cfg(all(unix, feature = "smol"))]
pub use outboard_runtime_smol::Smol;
#[cfg(feature = "tokio")]
pub use outboard_runtime_tokio::Tokio;
#[cfg(feature = "stdio")]
pub use outboard_transport_stdio::Stdio;

/// The crates that generated messages are made with: `prost::Message` encodes and decodes them,
/// and `prost_types` has the well-known types of `google/protobuf/`. With these, a crate that uses
/// generated code needs no dependency on them of its own, and gets the versions that fit.
pub use self::codegen::{prost, prost_types};

pub use self::client::Client;
pub use outboard_core::rpc::{
    CallOptions, Channel, Code, Keepalive, Metadata, MetadataError, MetadataValue, Status,
    StreamSender, Streaming,
};

/// Includes what `outboard-build` generated from the `.proto` files of a package, such as
/// `include_proto!("greeter")` for `package greeter;` or `include_proto!("acme.kv.v1")`. Files
/// without a package are `"_"`.
///
/// The code lands where the macro stands. Packages that use each other need the modules of their
/// names around them: `mod acme { pub mod kv { .. } }`.
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        ::core::include!(::core::concat!(
            ::core::env!("OUT_DIR"),
            "/",
            $package,
            ".rs"
        ));
    };
}
