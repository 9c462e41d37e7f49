//! Plugins and hosts over Go's net/rpc, on either side of the tests with go-plugin: what is served, as in
//! `go/cmd/go-netrpc-peer`, and what is expected of a plugin in either language under a Rust host.

pub mod by_hand;
pub mod calls;
pub mod case;
mod hold;
pub mod life;
pub mod output;
pub mod refused;
mod service;
pub mod streams;
pub mod supervised;

use outboard_gob::Gob;

pub use self::service::service;

/// A struct that travels.
#[derive(Clone, Debug, Default, PartialEq, Gob)]
pub struct Point {
    /// Across.
    pub x: i64,
    /// Up.
    pub y: i64,
}

/// What is to come or go on a stream of the broker.
#[derive(Clone, Debug, Default, PartialEq, Gob)]
pub struct Stream {
    /// Under which it is accepted.
    #[gob(rename = "ID")]
    pub id: u32,
    /// Bytes.
    pub count: i64,
    /// If not empty: after the first block it is waited until this is let go.
    pub hold: String,
}
