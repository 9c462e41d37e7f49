//! What goes into a machine and comes out of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outboard_core::rpc::{Keepalive, Metadata, TooLarge};

use super::key::Key;
use super::limits::{MAX_LONG_HEAD, MAX_PATH};
use super::metadata::MetadataTooLarge;
use super::preface::Settings;

/// How one side behaves.
#[derive(Clone, Copy, Debug)]
pub struct MuxConfig {
    /// What this side takes, as it tells the peer. `stream_window` and `connection_window` are the
    /// limits for messages that are not read, of one stream and of all: memory is at most twice as
    /// much, also if a peer sends nothing but tiny messages.
    pub settings: Settings,
    /// How many large messages (larger than a frame) may be in memory at once, unfinished or not
    /// taken yet, each of another stream. Further ones wait with the peer. So this many times
    /// `max_message` is the most memory they take; it grows with what comes, not with what is
    /// announced.
    pub large_slots: usize,
    /// How many bytes of heads that came in parts (metadata and statuses that do not fit a frame)
    /// may be in memory at once, unfinished or with calls that are not over. What comes beyond that
    /// ends its call. An entry of metadata takes some 90 bytes more than it counts.
    pub head_memory: usize,
    /// Whether and how to check that the peer is alive.
    pub keepalive: Option<Keepalive>,
}

impl Default for MuxConfig {
    fn default() -> Self {
        Self {
            settings: Settings {
                // A message of 64 KiB, a common size of pieces of files, fits one frame with room
                // to spare, and one frame delays other calls by the time of two full pipes.
                max_frame: 128 * 1024,
                // Several frames and pipes full, so that a stream never waits for credit while
                // its reader keeps up.
                stream_window: 512 * 1024,
                // 32 readers that stopped reading do not hold up the others.
                connection_window: 16 * 1024 * 1024,
                max_streams: 4_096,
                // With the slots below, 16 GiB for a peer that sends as much: set less where that
                // is not to be trusted.
                max_message: i32::MAX as u32,
                max_head: MAX_LONG_HEAD,
            },
            large_slots: 8,
            // As many as there are slots for messages, each as long as it may be.
            head_memory: 8 * MAX_LONG_HEAD as usize,
            keepalive: None,
        }
    }
}

/// What a call begins with.
#[derive(Clone, Debug)]
pub struct CallStart<'a> {
    /// `/package.Service/Method`.
    pub path: Cow<'static, str>,
    /// The channel: 0 for the main one, else the number the peer accepts under.
    pub channel: u32,
    /// How long the call may take.
    pub timeout: Option<Duration>,
    /// The metadata.
    pub metadata: &'a Metadata,
    /// Whether the call may have the last number, which others leave free.
    pub urgent: bool,
}

/// A call of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `/package.Service/Method`.
    pub path: Arc<str>,
    /// The channel: 0 for the main one.
    pub channel: u32,
    /// How long the caller waits, from when it sent this.
    pub timeout: Option<Duration>,
    /// The caller's metadata.
    pub metadata: Metadata,
}

/// What came of the bytes received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer makes a call.
    Opened(Key, Offer),
    /// Headers, messages, the end or the result came for a stream.
    Readable(Key),
    /// There is room again for messages, after [`Mux::has_room`](super::Mux::has_room) said no.
    Writable(Key),
    /// The peer gave its call up.
    Cancelled(Key),
    /// The peer accepts no more calls on its main channel.
    GoAway(String),
    /// The peer sent its last frame, with this code (see [`close`](super::close)) and reason.
    Closed(u16, String),
    /// The peer did not answer a ping in time.
    Unresponsive,
}

/// Why a call cannot be made.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer accepts no more calls.
    #[error("the other side is going away and takes no more calls")]
    GoingAway,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// The method's path is too long.
    #[error("method path of {0} bytes: at most {MAX_PATH}")]
    PathTooLong(usize),
    /// The metadata does not fit.
    #[error(transparent)]
    Metadata(#[from] MetadataTooLarge),
    /// The message is over a limit.
    #[error(transparent)]
    Message(#[from] SendError),
}

outboard_core::debug_as_text!(OpenError);

/// Why a message cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message is larger than one of the sides takes.
    #[error(transparent)]
    TooLarge(TooLarge),
    /// The call is over.
    #[error("the call is over")]
    Gone,
}

outboard_core::debug_as_text!(SendError);

/// The next message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is here.
    Message(Bytes),
    /// It has not come.
    Pending,
    /// There are no more, or the call is over.
    End,
}
