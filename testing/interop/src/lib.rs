//! Peers in Go, Python and JavaScript that speak go-plugin's protocol, and the way to build
//! and drive them from Rust tests.
//!
//! - [`go()`] builds the Go programs: a plugin and a host, both on top of
//!   HashiCorp's go-plugin at a pinned version, and an end of a yamux session.
//! - [`go_examples()`] builds the examples that go-plugin itself has.
//! - [`python()`] makes the environment of a Python plugin and host on grpcio, and
//!   [`python_stdio()`] finds a plugin that speaks outboard's stdio protocol.
//! - [`node()`] fetches the packages of a host on `@grpc/grpc-js`.
//! - [`aborting_plugin()`] builds the Rust plugin so that a panic ends its process, and
//!   [`plugin_without_tls()`] one without that feature.
//! - [`HostRun`] runs the Go host against any plugin command and returns what it
//!   found.
//! - [`scenarios`] holds the expectations on a plugin under the Go host, written
//!   once for plugins in every language.
//! - [`numbered`] has brokered servers by the dozen, which tell who they are.
//! - [`rust_host`] holds the expectations on a plugin under a Rust host.
//! - [`detached`] has plugins outlive their host.
//! - [`tap`] listens in on a multiplexed connection.
//!
//! Where a toolchain is missing, these say so on stderr and return `None`, and
//! the test returns early; with `CI=true` in the environment they panic instead,
//! so that a pipeline cannot pass by skipping.
//!
//! The crate is empty except on unix: it uses signals and process groups to
//! leave nothing running, and so do the scenarios.
#![cfg(unix)]

mod aborting;
#[cfg(unix)]
pub mod detached;
mod go;
mod host_run;
#[cfg(unix)]
mod launched;
#[cfg(unix)]
pub mod netrpc;
mod node;
#[cfg(unix)]
pub mod numbered;
mod process;
pub mod proto;
mod python;
pub mod rust_host;
pub mod scenarios;
pub mod tap;
pub mod tls;
mod toolchain;

pub use aborting::{aborting_plugin, plugin_without_tls};
pub use go::{GENERATOR, GoExamples, GoPeers, go, go_examples};
pub use host_run::{HostRun, Report};
#[cfg(unix)]
pub use launched::Launched;
pub use node::{NodePeer, node};
pub use process::{Wait, is_alive, kill, wait_until_gone};
pub use python::{PythonPeer, PythonStdioPeer, python, python_stdio};
pub use toolchain::{loud_skip, run_to_end};
