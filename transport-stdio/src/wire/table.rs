//! The streams of one side, by handle and by number on the wire.
//!
//! Numbers are used again, so that a connection never runs out of them: pipes cannot be made anew, and at
//! a million calls a second even 32 bits would last little more than an hour. They are dense, so that the
//! tables of both sides are vectors.

use outboard_mux::Handle;

use super::key::Key;
use super::limits::RESERVED;
use super::state::State;
use super::stream::Stream;

/// The streams that one side opened.
#[derive(Debug)]
pub(super) struct Table {
    ours: bool,
    streams: outboard_mux::Table<Stream>,
    /// For our streams: from the wire's numbers to places, and unused numbers below its length. The
    /// peer's are in the places that have their numbers.
    by_wire: Vec<Option<Handle>>,
    free_wires: Vec<u32>,
}

impl Table {
    pub(super) fn new(ours: bool) -> Self {
        Self {
            ours,
            streams: outboard_mux::Table::default(),
            by_wire: Vec::new(),
            free_wires: Vec::new(),
        }
    }

    pub(super) fn live(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Stream> {
        self.streams.get(key.handle)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.streams.get_mut(key.handle)
    }

    pub(super) fn live_streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().map(|(_, stream)| stream)
    }

    /// The live streams in the order of their places.
    pub(super) fn keys(&self) -> Vec<Key> {
        let handles = self.streams.iter().map(|(handle, _)| handle);
        handles.map(|handle| self.key(handle)).collect()
    }

    /// A place for a stream of this side, not numbered on the wire yet.
    pub(super) fn add(&mut self, state: State) -> Key {
        let handle = self.streams.insert(|| Stream::new(state, None));
        self.key(handle)
    }

    /// The place for a stream of the peer; `None` if it is taken.
    pub(super) fn add_at(&mut self, wire: u32, state: State) -> Option<Key> {
        let make = || Stream::new(state, Some(wire));
        let handle = self.streams.insert_at(wire, make)?;
        Some(self.key(handle))
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
        *self.by_wire.get_mut(wire as usize)? = Some(key.handle);
        self.get_mut(key)?.wire = Some(wire);
        Some(wire)
    }

    /// The stream with this number on the wire.
    pub(super) fn by_wire(&self, wire: u32) -> Option<Key> {
        let handle = if self.ours {
            (*self.by_wire.get(wire as usize)?)?
        } else {
            self.streams.at(wire)?
        };
        Some(self.key(handle))
    }

    /// Ends a stream's use of its place and number.
    pub(super) fn remove(&mut self, key: Key) {
        if !self.ours {
            self.streams.remove(key.handle);
            return;
        }
        let wire = self.get(key).and_then(|stream| stream.wire);
        if self.streams.release(key.handle)
            && let Some(wire) = wire
            && let Some(place) = self.by_wire.get_mut(wire as usize)
        {
            *place = None;
            self.free_wires.push(wire);
        }
    }

    fn key(&self, handle: Handle) -> Key {
        Key {
            ours: self.ours,
            handle,
        }
    }
}
