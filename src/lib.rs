//! Plugins as separate processes, in go-plugin's wire protocol, on any async runtime.
//!
//! A *host* launches a *plugin* binary, reads one handshake line from it, agrees on a version,
//! connects, and *dispenses* an implementation of an interface whose methods feel local; either
//! side can pass live interfaces to the other through a *broker*. The protocol is exactly that of
//! HashiCorp's go-plugin: hosts run existing Go and Python plugins, and plugins run under existing
//! Go hosts.
//!
//! # A plugin, its host and a test
//!
//! An interface is a service in a `.proto` file, here `proto/greeter.proto`:
//!
//! ```proto
#![doc = include_str!("front/greeter.proto")]
//! ```
//!
//! `build.rs` turns it into one trait, a client that implements the trait over a connection, and a
//! server for any implementation. `protoc` is not needed; the crate `outboard-build` is.
//!
//! ```no_run
//! fn main() -> Result<(), outboard_build::Error> {
//!     outboard_build::compile(&["proto/greeter.proto"], &["proto"])
//! }
//! ```
//!
//! What host and plugin share is a library, here the crate `greeter`:
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
//! # #[cfg(any())] // The line above stands for it: this crate has no build script.
//! outboard::include_proto!("greeter"); // Greeter, GreeterClient, GreeterServer, the messages
//!
#![doc = include_str!("front/shared.rs")]
//! # fn main() {}
//! ```
//!
//! The plugin is a program of its own, `src/bin/greeter-plugin.rs`:
//!
//! ```no_run
//! # mod greeter {
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/shared.rs"));
//! # }
//! use greeter::{GreetReply, GreetRequest, Greeter, GreeterServer, HANDSHAKE};
//! use outboard::{Plugin, Status, Tokio};
//!
//! struct Hello;
//!
//! impl Greeter for Hello {
//!     async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
//!         Ok(GreetReply { text: format!("Hello, {}!", request.name) })
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     Plugin::new(HANDSHAKE)
//!         .provide("greeter", GreeterServer::new(Hello))
//!         .serve_or_exit(Tokio::current())
//!         .await;
//! }
//! ```
//!
//! The host launches it and calls it like any value. If the plugin crashes, calls fail with a
//! status that says how; the host goes on.
//!
//! ```no_run
//! # mod greeter {
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/shared.rs"));
//! # }
//! use greeter::{GreeterClient, HANDSHAKE, welcome};
//! use outboard::{Command, Host, Tokio};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let plugin = Host::new(HANDSHAKE)
//!         .command(Command::new("./greeter-plugin"))
//!         .start(Tokio::current())
//!         .await?;
//!     let greeter: GreeterClient = plugin.dispense("greeter").await?;
//!     println!("{}", welcome(&greeter, "world").await?);
//!     plugin.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! Tests need no process where the trait is enough, and launch the real plugin where it matters:
//!
//! ```no_run,test_harness
//! # mod greeter {
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/shared.rs"));
//! # }
//! # macro_rules! env { ("CARGO_BIN_EXE_greeter-plugin") => { "./greeter-plugin" } }
//! use greeter::{GreetReply, GreetRequest, Greeter, GreeterClient, HANDSHAKE, welcome};
//! use outboard::{Command, Host, Status, Tokio};
//!
//! struct Terse;
//!
//! impl Greeter for Terse {
//!     async fn greet(&self, _: GreetRequest) -> Result<GreetReply, Status> {
//!         Ok(GreetReply { text: "Hi.".into() })
//!     }
//! }
//!
//! #[tokio::test]
//! async fn a_double_is_as_good_as_a_plugin() -> Result<(), Status> {
//!     assert_eq!(welcome(&Terse, "world").await?, "Hi. Come in.");
//!     Ok(())
//! }
//!
//! #[tokio::test]
//! async fn the_plugin_greets() -> Result<(), Box<dyn std::error::Error>> {
//!     let plugin = Host::new(HANDSHAKE)
//!         .command(Command::new(env!("CARGO_BIN_EXE_greeter-plugin")))
//!         .start(Tokio::current())
//!         .await?;
//!     let greeter: GreeterClient = plugin.dispense("greeter").await?;
//!     assert_eq!(welcome(&greeter, "world").await?, "Hello, world! Come in.");
//!     plugin.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! The crate depends on `outboard`, on `outboard-build` for its build script, and here on `tokio`
//! with the features `macros` and `rt`. The repository's `examples` are whole programs, with live
//! interfaces passed in both directions, streams and several versions.
//!
//! # Guides
//!
//! - [Write a plugin][plugin]: from nothing, with state, with calls back to the host, in several versions.
//! - [Write a host][host]: start plugins, look at what becomes of them, find, ask and check them.
//! - [Test a plugin][test]: with a double, in memory, over a socket, and as the program that it is.
//! - [Security model][security]: who can connect, what is checked by whom, what is not promised.
//! - [Other languages][others]: plugins and hosts in Go, Python and Node.
//! - [Coming from go-plugin][go]: what each of its parts is called here.
//!
//! [plugin]: https://github.com/outboard-rs/outboard/blob/main/docs/write-a-plugin.md
//! [host]: https://github.com/outboard-rs/outboard/blob/main/docs/write-a-host.md
//! [test]: https://github.com/outboard-rs/outboard/blob/main/docs/test-a-plugin.md
//! [security]: https://github.com/outboard-rs/outboard/blob/main/docs/security-model.md
//! [others]: https://github.com/outboard-rs/outboard/blob/main/docs/other-languages.md
//! [go]: https://github.com/outboard-rs/outboard/blob/main/docs/from-go-plugin.md
//!
//! # Features
//!
//! - `tokio` (default): the adapter [`Tokio`].
//! - `smol`: the adapter `Smol`.
//! - `h2` (default): gRPC over HTTP/2, go-plugin's own transport.
//! - `tls` (default): TLS and go-plugin's AutoMTLS, see `Host::auto_mtls`.
//! - `multiplex` (default): everything over one connection, see `Host::multiplex`.
//! - `checksum`: SHA-256, and other hashes, for [`Checksum`]: programs that are checked before they run.
//! - `netrpc`: Go's net/rpc, which go-plugin's older plugins and hosts speak, see `netrpc`.
//! - `stdio`: calls over the plugin's own stdin and stdout, between outboard hosts and plugins.
//! - `sandbox`: on Linux, policies for what plugins may do, see `sandbox`.
//! - `serde`: [`ReattachConfig`] as part of documents of your own.
//! - `blocking`: hosts, plugins and clients for programs without async, see `blocking` (unix).
//! - `log` (default): [`log::Layer`], which turns a plugin's `tracing` events into log records.
//! - `trace` (default): spans for calls and handlers, and what bridges them to a tracing system, see [`trace`].
//!
//! Runtimes are chosen by a value and transports by negotiation, so features only add.

#![cfg_attr(docsrs, feature(doc_cfg))]
// What users see can grow.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

#[macro_use]
mod passing;

#[cfg(unix)]
pub mod activation;
#[cfg(all(unix, feature = "blocking"))]
pub mod blocking;
mod broker;
mod carrier;
mod client;
mod command;
#[cfg(unix)]
pub mod discover;
pub mod error;
pub mod figures;
pub mod hclog;
mod host;
mod link;
#[cfg(not(feature = "log"))]
mod log;
#[cfg(feature = "log")]
pub mod log;
pub mod memory;
#[cfg(feature = "netrpc")]
pub mod netrpc;
mod peer;
mod plugin;
pub mod rt;
pub mod runner;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
pub mod sandbox;
mod serve;
mod services;
pub mod supervisor;
mod sys;
mod text;
mod time;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace;
pub mod transport;
mod transports;

pub use outboard_core::checksum::{
    ChecksumError, ChecksumList, ChecksumListError, Execute, FileDigest,
};
pub use outboard_core::endpoint::{Endpoint, EndpointError};
pub use outboard_core::exit::Exit;
pub use outboard_core::handshake::{Handshake, MisconfiguredHandshake, Protocol, UnknownProtocol};
pub use outboard_core::host::{Evidence, StartError, StartFailure, StartPhase};
pub use outboard_core::plugin::{PluginError, StopReason};
pub use outboard_core::reattach::{ReattachConfig, ReattachError, Secured};
pub use outboard_core::rpc::{
    CallOptions, Channel, Code, DuplicateService, Keepalive, Metadata, MetadataError,
    MetadataValue, Router, Service, Status, StreamSender, Streaming, Transport,
};
pub use outboard_core::tls::TlsReason;

pub use self::broker::{Broker, BrokerError, Served};
pub use self::client::{Client, Dispense, Dispensed, Misfit};
pub use self::command::Command;
pub use self::host::{
    AttachError, Checksum, ConfigError, DispenseError, EndStage, ExitReason, ExitReport, Health,
    Host, HostError, LOG_TARGET, LevelAnswer, Managed, ManagedGuard, NoRecord, PingError,
    RunningPlugin, ShutdownError, StageOutcome, StageReport,
};
pub use self::plugin::{Plugin, Provide, Provided, ServeError, TestPlugin};
pub use self::serve::shutdown::Shutdown;
pub use self::serve::{codegen, context};
pub use self::services::health::{HealthReporter, HealthService};
pub use self::services::reflection::Reflection;
pub use self::supervisor::{StartLimit, Supervised, Supervision};
pub use self::sys::given::UnfitListener;
pub use self::sys::socket::ListenError;

#[cfg(all(unix, feature = "smol"))]
pub use outboard_runtime_smol::Smol;
#[cfg(feature = "tokio")]
pub use outboard_runtime_tokio::Tokio;
#[cfg(feature = "h2")]
pub use outboard_transport_h2::H2;
#[cfg(feature = "netrpc")]
pub use outboard_transport_netrpc::NetRpc;
#[cfg(feature = "stdio")]
pub use outboard_transport_stdio::Stdio;
#[cfg(unix)]
pub use outboard_unix::ForkExec;

/// The crates that generated messages are made with: `prost::Message` encodes and decodes them,
/// and `prost_types` has the well-known types of `google/protobuf/`. With these, a crate that uses
/// generated code needs no dependency on them of its own, and gets the versions that fit.
pub use {prost, prost_types};

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
