//! The stdio protocol as a machine: bytes in, bytes out, no IO, no clock, no tasks.
//!
//! [`Mux`] is one side of a connection. Its methods are of four kinds: getters; `received*` and
//! `handle_*`, for what comes from outside; verbs, for what the user wants; and
//! [`poll_event`](Mux::poll_event), [`transmit`](Mux::transmit) and
//! [`poll_timeout`](Mux::poll_timeout), for what goes out. After any change, drain the last three;
//! doing so late costs time and nothing else.
//!
//! The protocol is specified in `docs/stdio-protocol.md`; [`frame`] is the layout, [`Mux`] the
//! rules. This module is public for tests, fuzzing and drivers of other kinds.

// Each group needs those before it alone.

// The numbers that hold everywhere, and how a peer can break the protocol.
mod limits;
mod violation;

// What travels.
pub mod frame;
mod head;
mod header;
pub mod metadata;
mod names;
mod preface;
mod reader;

// What is kept of one call.
mod flow;
mod heads_out;
mod inbox;
mod key;
mod large;
mod state;
mod stream;

// All calls of a connection.
mod mux;
mod paths;
#[cfg(test)]
mod rules;
mod table;
mod types;

pub use outboard_mux::OutBuf;

pub use self::key::Key;
pub use self::limits::{MESSAGE_COST, VERSION};
pub use self::metadata::MetadataTooLarge;
pub use self::mux::Mux;
pub use self::names::{MAX_NAME, MAX_NAMES, PeerNames};
pub use self::preface::{MAGIC, PREFACE_LEN, Preface, Settings};
pub use self::types::{CallStart, Event, MuxConfig, Offer, OpenError, SendError, Taken};
pub use self::violation::Violation;

/// The codes of a `CLOSE` frame.
pub mod close {
    /// Nothing is wrong.
    pub const ORDERLY: u16 = 0;
    /// The peer broke the protocol.
    pub const VIOLATION: u16 = 1;
    /// The peer's version cannot be understood.
    pub const VERSION: u16 = 2;
    /// The sender gives up for a reason of its own.
    pub const ABORTED: u16 = 3;
}
