//! What protocols share that carry many streams over one connection, whatever their frames look like.
//!
//! Everything here is a value that is told what happened and says what follows: no IO, no clock, no
//! tasks. `outboard-transport-stdio` and `outboard-yamux` are built of these parts: windows whose
//! updates are differences, streams that take turns, and handles that outlive their streams.
//!
//! | Part | For |
//! | --- | --- |
//! | [`SendWindow`], [`ReceiveWindow`] | what may be sent, what may come, when to give credit back |
//! | [`Queue`] | what waits on one stream, with what it costs |
//! | [`Line`], [`Place`] | which streams wait for something, in turn, each once |
//! | [`Table`], [`Handle`] | the streams, by handles that stay safe after their end |
//! | [`OutBuf`] | bytes that wait to be written |
//!
//! How streams are numbered is not in here: a protocol that uses small numbers again keeps them in a
//! vector, one that never does in a map, and both lead to a [`Handle`]. Keepalive is in
//! `outboard_core::rpc`, as HTTP/2 needs it too and nothing else of this.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod line;
mod out;
mod queue;
mod table;
mod window;

pub use self::line::{Line, Place};
pub use self::out::{COPY_BELOW, OutBuf};
pub use self::queue::{Cost, Queue};
pub use self::table::{Handle, Table};
pub use self::window::{Overdrawn, Overflow, ReceiveWindow, SendWindow};
