//! The sans-IO heart of outboard.
//!
//! Placeholder: crate documentation with the drain contract comes with the machines.

pub mod endpoint;
pub mod exit;
pub mod grpc;
pub mod handshake;
pub mod rpc;
pub mod rt;
pub mod wire;
