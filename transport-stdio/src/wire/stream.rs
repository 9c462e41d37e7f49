//! The state of one call, and the tables of calls.

use std::collections::VecDeque;

use bytes::Bytes;
use outboard_core::rpc::{Metadata, OutMessage, Side, Status};

use super::flow::{ReceiveWindow, SendWindow};
use super::inbox::Inbox;
use super::metadata::Block;
use super::parts::{Ending, PartsOut};
use super::types::RESERVED;

/// A handle to a call. It stays safe to use after the call's end: numbers of streams are used
/// again, but never the same generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub(super) ours: bool,
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Key {
    /// Whether this side opened the stream.
    #[must_use]
    pub fn is_ours(self) -> bool {
        self.ours
    }

    /// This side's part in the call.
    pub(crate) fn side(self) -> Side {
        if self.ours {
            Side::Caller
        } else {
            Side::Server
        }
    }

    /// The place in a table of streams of that side, reused after the stream's end.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// How far this side is with sending.
///
/// ```text
/// Open ── finish() ──> Finishing ── last frame encoded ──> Done
/// ```
/// The last frame is `END` or `CANCEL` of the opener, also an `END` flag, and `STATUS` of the
/// acceptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sending {
    #[default]
    Open,
    Finishing,
    Done,
}

/// What a call of this side begins with, until it is sent.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) path: std::borrow::Cow<'static, str>,
    pub(super) timeout: Option<u64>,
    pub(super) metadata: Block,
    pub(super) urgent: bool,
}

/// A large message on its way out.
#[derive(Debug)]
pub(super) struct LargeOut {
    pub(super) left: Bytes,
    pub(super) granted: bool,
}

/// A large message on its way in.
#[derive(Debug)]
pub(super) struct LargeIn {
    pub(super) left: usize,
    pub(super) buffer: Vec<u8>,
    pub(super) granted: bool,
}

impl LargeIn {
    pub(super) fn new(total: usize) -> Self {
        Self {
            left: total,
            buffer: Vec::new(),
            granted: false,
        }
    }

    /// Makes room for `more` of the bytes that are left. The buffer doubles, so that memory
    /// follows what came and not what was announced, but does not grow past that.
    pub(super) fn reserve(&mut self, more: usize) {
        let len = self.buffer.len();
        if self.buffer.capacity() - len < more {
            let most = (len + self.left).max(len + more);
            let room = (2 * self.buffer.capacity()).clamp(len + more, most);
            self.buffer.reserve_exact(room - len);
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) generation: u32,
    pub(super) live: bool,
    /// The number on the wire; none for a call that was not opened yet.
    pub(super) wire: Option<u32>,
    pub(super) channel: u32,

    pub(super) opening: Option<Opening>,
    pub(super) headers_out: Option<Block>,
    /// A head that does not fit a frame, on its way out.
    pub(super) parts_out: Option<PartsOut>,
    /// The bytes of heads in parts that came for this stream and are kept.
    pub(super) heads_held: usize,
    /// Headers left, or a message, which means that there are none.
    pub(super) headers_gone: bool,
    pub(super) outbox: VecDeque<OutMessage>,
    pub(super) outbox_len: usize,
    pub(super) large_out: Option<LargeOut>,
    pub(super) sending: Sending,
    pub(super) ending: Option<Box<Ending>>,
    /// The call was given up and the peer is to be told, if it has not been.
    pub(super) cancel: bool,
    pub(super) cancel_sent: bool,
    pub(super) send: SendWindow,
    pub(super) wants_room: bool,

    pub(super) headers_in: Option<Metadata>,
    /// Headers came, whether or not they are still here.
    pub(super) headers_came: bool,
    pub(super) messages_began: bool,
    pub(super) inbox: Inbox,
    pub(super) large_in: Option<LargeIn>,
    /// The peer sends no more messages.
    pub(super) input_ended: bool,
    /// How a call of this side ended.
    pub(super) result: Option<Result<Metadata, Status>>,
    pub(super) receive: ReceiveWindow,
    /// Credit is to be given back.
    pub(super) credit_due: bool,
    pub(super) grant_due: bool,
    /// A large message of this stream is granted and not taken yet. The next one is not granted
    /// before it is.
    pub(super) holds_slot: bool,
    /// Waits for a slot.
    pub(super) waits_slot: bool,
    /// Nobody reads the messages any more.
    pub(super) deaf: bool,
    /// Waits in the queue of streams with something to send.
    pub(super) queued: bool,
    /// Waits for a number on the wire.
    pub(super) waits_number: bool,
    /// Waits for credit of the connection.
    pub(super) starved: bool,
}

/// How much a stream may have queued for sending before its maker should wait, in bytes: enough
/// to fill a pipe.
pub(super) const OUTBOX_ROOM: usize = 64 * 1024;
/// Queues that grew longer than this are not kept for the next stream in the same place.
const KEEP_QUEUE: usize = 16;

impl Stream {
    pub(super) fn queued_len(&self) -> usize {
        // Each message counts, so that a flood of empty ones is held up too.
        self.outbox_len
            + self.outbox.len() * super::flow::MESSAGE_COST as usize
            + self.large_out.as_ref().map_or(0, |large| large.left.len())
    }

    /// All that waits to be sent.
    pub(super) fn unsent_len(&self) -> usize {
        let opening = self.opening.as_ref().map_or(0, |opening| {
            opening.path.len() + opening.metadata.bytes.len()
        });
        let ending = self.ending.as_ref().map_or(0, |ending| {
            ending.trailers.bytes.len() + ending.text.len() + ending.details.len()
        });
        let headers = self.headers_out.as_ref().map_or(0, |b| b.bytes.len());
        let parts = self.parts_out.as_ref().map_or(0, |parts| parts.left.len());
        self.queued_len() + opening + ending + headers + parts
    }

    pub(super) fn clear_outbox(&mut self) {
        self.outbox.clear();
        self.outbox_len = 0;
        self.large_out = None;
        self.headers_out = None;
        self.parts_out = None;
    }

    /// Makes the place ready for the next stream.
    fn reset(&mut self) {
        let keep = |capacity: usize| capacity <= KEEP_QUEUE;
        let mut outbox = std::mem::take(&mut self.outbox);
        outbox.clear();
        *self = Self {
            generation: self.generation.wrapping_add(1),
            ..Self::default()
        };
        if keep(outbox.capacity()) {
            self.outbox = outbox;
        }
    }
}

/// The streams that one side opened.
#[derive(Debug)]
pub(super) struct Table {
    ours: bool,
    streams: Vec<Stream>,
    live: usize,
    free: Vec<u32>,
    /// For our streams: from the wire's numbers to places, and unused numbers below its length.
    by_wire: Vec<Option<u32>>,
    free_wires: Vec<u32>,
}

impl Table {
    pub(super) fn new(ours: bool) -> Self {
        Self {
            ours,
            streams: Vec::new(),
            live: 0,
            free: Vec::new(),
            by_wire: Vec::new(),
            free_wires: Vec::new(),
        }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn get(&self, key: Key) -> Option<&Stream> {
        self.streams
            .get(key.index())
            .filter(|stream| stream.live && stream.generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.streams
            .get_mut(key.index())
            .filter(|stream| stream.live && stream.generation == key.generation)
    }

    pub(super) fn live_streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(|stream| stream.live)
    }

    /// The live streams in the order of their places.
    pub(super) fn keys(&self) -> Vec<Key> {
        (0..)
            .zip(&self.streams)
            .filter(|(_, stream)| stream.live)
            .map(|(index, stream)| self.key(index, stream.generation))
            .collect()
    }

    /// A place for a stream of this side, not numbered on the wire yet.
    pub(super) fn add(&mut self) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.streams.push(Stream::default());
            u32::try_from(self.streams.len() - 1).unwrap_or(u32::MAX)
        });
        self.start(index)
    }

    /// The place for a stream of the peer; `None` if it is taken.
    pub(super) fn add_at(&mut self, wire: u32) -> Option<Key> {
        let index = wire as usize;
        if self.streams.len() <= index {
            self.streams.resize_with(index + 1, Stream::default);
        }
        if self.streams.get(index)?.live {
            return None;
        }
        let key = self.start(wire);
        self.get_mut(key)?.wire = Some(wire);
        Some(key)
    }

    fn start(&mut self, index: u32) -> Key {
        self.live += 1;
        let mut generation = 0;
        if let Some(stream) = self.streams.get_mut(index as usize) {
            stream.live = true;
            generation = stream.generation;
        }
        self.key(index, generation)
    }

    /// Whether there is a number for a call of this side, of which the peer takes `most`.
    pub(super) fn has_number(&self, most: u32, urgent: bool) -> bool {
        let unused = (most as usize).saturating_sub(self.by_wire.len());
        let kept = if urgent { 0 } else { RESERVED };
        self.free_wires.len() + unused > kept
    }

    /// Numbers a call of this side, if there is a number for it.
    pub(super) fn number(&mut self, key: Key, most: u32, urgent: bool) -> Option<u32> {
        if !self.has_number(most, urgent) {
            return None;
        }
        let wire = match self.free_wires.pop() {
            Some(wire) => wire,
            None => {
                let next = u32::try_from(self.by_wire.len()).ok()?;
                self.by_wire.push(None);
                next
            }
        };
        *self.by_wire.get_mut(wire as usize)? = Some(key.index);
        self.get_mut(key)?.wire = Some(wire);
        Some(wire)
    }

    /// The stream with this number on the wire.
    pub(super) fn by_wire(&self, wire: u32) -> Option<Key> {
        let index = if self.ours {
            (*self.by_wire.get(wire as usize)?)?
        } else {
            wire
        };
        let stream = self.streams.get(index as usize)?;
        stream.live.then(|| self.key(index, stream.generation))
    }

    /// Ends a stream's use of its place and number.
    pub(super) fn remove(&mut self, key: Key) {
        let Some(stream) = self.get_mut(key) else {
            return;
        };
        let wire = stream.wire;
        stream.reset();
        self.live -= 1;
        if self.ours {
            self.free.push(key.index);
            if let Some(wire) = wire
                && let Some(slot) = self.by_wire.get_mut(wire as usize)
            {
                *slot = None;
                self.free_wires.push(wire);
            }
        }
    }

    fn key(&self, index: u32, generation: u32) -> Key {
        Key {
            ours: self.ours,
            index,
            generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_takes_the_memory_of_what_came_and_never_more_than_announced() {
        for (total, piece) in [(1_000_000, 999), (300_000, 131_072), (262_145, 131_072)] {
            let mut large = LargeIn::new(total);
            let mut moves = 0;
            while large.left > 0 {
                let piece = piece.min(large.left);
                let before = large.buffer.capacity();
                large.reserve(piece);
                large.buffer.resize(large.buffer.len() + piece, 0);
                large.left -= piece;
                let (len, room) = (large.buffer.len(), large.buffer.capacity());
                assert!(
                    room <= total && room <= 2 * len,
                    "{room} for {len} of {total}"
                );
                moves += usize::from(room != before);
            }
            assert!(moves < 16, "{moves} moves");
        }
    }
}
