//! The stdio protocol as a state machine: bytes in, bytes out, no IO, no clock, no tasks.
//!
//! [`Mux`] is one side of a connection. Its methods are of four kinds: getters; `received*` and
//! `handle_*`, for what comes from outside; verbs, for what the user wants; and
//! [`poll_event`](Mux::poll_event), [`transmit`](Mux::transmit) and
//! [`poll_timeout`](Mux::poll_timeout), for what goes out. After any change, drain the last three;
//! doing so late costs time and nothing else.
//!
//! The protocol is specified in `docs/stdio-protocol.md`; [`frame`] is the layout, [`Mux`] the
//! rules. This module is public for tests, fuzzing and drivers of other kinds.

mod flow;
pub mod frame;
mod head;
mod heads;
mod inbox;
mod intern;
pub mod metadata;
mod mux;
mod opening;
mod out;
mod parts;
mod preface;
mod queue;
mod reader;
mod receive;
#[cfg(test)]
mod rules;
mod slots;
mod stream;
mod transmit;
mod types;
mod unary;
mod violation;

pub use self::flow::MESSAGE_COST;
pub use self::metadata::MetadataTooLarge;
pub use self::mux::Mux;
pub use self::out::OutBuf;
pub use self::preface::{MAGIC, PREFACE_LEN, Settings, VERSION};
pub use self::stream::Key;
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
