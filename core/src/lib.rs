//! The sans-IO heart of outboard.
//!
//! Placeholder: crate documentation with the drain contract comes with the machines.

pub mod broker;
pub mod endpoint;
pub mod env;
pub mod exit;
pub mod fault;
pub mod grpc;
pub mod handshake;
pub mod hclog;
pub mod host;
pub mod plugin;
pub mod rpc;
pub mod rt;
mod text;
pub mod timer;
pub mod version;
pub mod wire;
