//! yamux: many streams of bytes in one, wire-compatible with `hashicorp/yamux`.
//!
//! [`session`] makes of one [`ByteStream`](outboard_core::rt::ByteStream) as many as either side opens:
//! an [`Opener`] and [`Incoming`] give [`Stream`]s, and a [`Driver`] does the work between, on any
//! [`Runtime`](outboard_core::rt::Runtime). The protocol is a sans-IO [`machine`].
//!
//! Unlike other implementations in Rust, a stream is made known to the peer when it is opened and
//! acknowledged when it is taken, whether or not anything is written to it. go-plugin tells its streams
//! apart by the order in which they were opened, and a peer in Go ends the session when one that it
//! opened is not acknowledged within 75 seconds.
//!
//! What a peer can make this side keep is bounded: the streams by [`Config::max_streams`] and
//! [`Config::backlog`], what comes on a stream by its window, and what is owed in return by ending the
//! session with a [`Violation`] when the peer asks and never reads.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod config;
mod driver;
mod error;
mod frame;
pub mod machine;
mod opener;
mod shared;
mod stream;
mod violation;

pub use self::config::{Config, Role};
pub use self::driver::Driver;
pub use self::error::{SessionError, StreamError};
pub use self::frame::{HEADER_LEN, Header, Kind, away, flags};
pub use self::opener::{Incoming, Opener};
pub use self::stream::Stream;
pub use self::violation::Violation;

use outboard_core::rt::{BoxByteStream, SharedRuntime};

/// Makes a session of `io`. Nothing happens before the [`Driver`] runs, but that streams may be
/// opened.
///
/// When all handles are gone, or the session is over, the driver writes what is left to write, for a
/// second at most, and closes `io`.
pub fn session(
    runtime: &SharedRuntime,
    io: BoxByteStream,
    config: Config,
) -> (Opener, Incoming, Driver) {
    let shared = shared::Shared::new(runtime, io, config);
    let opener = Opener::new(&shared);
    let incoming = Incoming::new(&shared);
    (opener, incoming, Driver::new(shared))
}
