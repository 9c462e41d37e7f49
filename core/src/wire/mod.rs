//! The messages and services that go-plugin's own protocol consists of, beside the handshake, and one of ours.
//!
//! The messages are generated from `core/proto` and kept in the tree, so that building needs no
//! generator; `build/tests/wire.rs` proves that they match and writes them anew. Source of the
//! field numbers: go-plugin's `internal/plugin` protos and the gRPC project's health and
//! reflection protos.

pub mod health;
pub mod log_level;
pub mod plugin;
pub mod reflection;

#[rustfmt::skip]
#[allow(
    clippy::doc_markdown,
    clippy::use_self,
    unused_qualifications,
    reason = "generated"
)]
mod generated {
    pub(crate) mod descriptors;
    pub(crate) mod health;
    pub(crate) mod log_level;
    pub(crate) mod plugin;
    pub(crate) mod reflection;
}
