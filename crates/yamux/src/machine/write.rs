//! What is to be written.

use std::io::IoSlice;
use std::time::Instant;

use outboard_mux::Handle;

use super::Machine;
use super::time::Kind as Timed;
use crate::error::StreamError;
use crate::frame::{HEADER_LEN, Header, Kind};

/// The longest payload of a frame, so that streams take turns.
const MAX_PAYLOAD: usize = 64 * 1024;
/// While so much waits to be written, nothing of a stream is added.
const FULL: usize = 128 * 1024;
/// How many pieces of a payload, and its header, are written at once.
const PIECES: usize = 64;

/// What [`Machine::write`] led to.
#[derive(Debug)]
pub enum Wrote {
    /// So many bytes were taken.
    Bytes(usize),
    /// None may be sent now.
    Pending,
    /// None ever.
    Failed(StreamError),
}

impl Machine {
    /// What waits to be written, as far as `slices` reach. Returns how many of them are used.
    pub fn poll_transmit<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.out.slices(slices)
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// `count` bytes were written.
    pub fn written(&mut self, now: Instant, count: usize) {
        self.out.advance(count);
        self.written += count as u64;
        self.time_write(now, true);
        if !self.out_is_full() {
            self.let_write();
            self.tell_opener();
        }
    }

    /// Nothing more can be written: what waits is forgotten.
    pub fn abandon_output(&mut self) {
        self.out.clear();
        self.written = self.queued;
        self.write_timed = false;
        self.timers.disarm(Timed::Write);
    }

    /// Sends of `payload` what fits a frame, the peer's window and the room there is.
    ///
    /// If nothing else waits, `straight` is called with the frame, as the slices that it is made of, and
    /// says how much of it was written at once; only the rest is copied.
    pub fn write(
        &mut self,
        now: Instant,
        handle: Handle,
        payload: &[IoSlice<'_>],
        straight: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) -> Wrote {
        let full = self.out_is_full();
        let others = !self.line.is_empty();
        let Some(entry) = self.streams.get_mut(handle) else {
            return Wrote::Pending;
        };
        if let Some(error) = &self.ended {
            return Wrote::Failed(StreamError::Session(error.clone()));
        }
        if let Some(error) = &entry.failed {
            return Wrote::Failed(error.clone());
        }
        if entry.finished || !entry.wired {
            return Wrote::Failed(StreamError::Finished(entry.id));
        }
        let total: usize = payload.iter().map(|piece| piece.len()).sum();
        if total == 0 {
            return Wrote::Bytes(0);
        }
        let window = usize::try_from(entry.send.left()).unwrap_or(usize::MAX);
        if window == 0 {
            entry.writer = true;
            return Wrote::Pending;
        }
        let turn = std::mem::take(&mut entry.turn);
        if full || others && !turn {
            entry.writer = true;
            if entry.place.enter() {
                let (streams, live) = (&self.streams, self.streams.len());
                self.line
                    .push(handle, live, |key| streams.get(*key).is_some());
            }
            return Wrote::Pending;
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut most = total.min(window).min(MAX_PAYLOAD);
        let (mut len, mut used) = (0, 1);
        let pieces = payload.iter().filter(|piece| !piece.is_empty());
        for (slot, piece) in slices.iter_mut().skip(1).zip(pieces) {
            if most == 0 {
                break;
            }
            let cut = piece.get(..most).unwrap_or(piece);
            *slot = IoSlice::new(cut);
            (most, len, used) = (most - cut.len(), len + cut.len(), used + 1);
        }
        entry.send.spend(len as u64);
        // It is at most `MAX_PAYLOAD`.
        let header = Header::new(Kind::Data, 0, entry.id, len as u32).encode();
        slices[0] = IoSlice::new(&header);
        let slices = slices.get(..used).unwrap_or_default();
        let mut done = if self.out.is_empty() {
            straight(slices).min(HEADER_LEN + len)
        } else {
            0
        };
        self.queued += (HEADER_LEN + len) as u64;
        self.written += done as u64;
        if done < HEADER_LEN + len {
            let tail = self.out.tail();
            for slice in slices {
                let rest = slice.get(done..).unwrap_or_default();
                done = done.saturating_sub(slice.len());
                tail.extend_from_slice(rest);
            }
            self.time_write(now, false);
        }
        Wrote::Bytes(len)
    }

    pub(super) fn out_is_full(&self) -> bool {
        self.out.len() >= FULL
    }

    /// Lets those write who wait for room: as many as there is room for, and all if there is nothing
    /// else that would let them later.
    fn let_write(&mut self) {
        let mut room = FULL.saturating_sub(self.out.len());
        while room > 0 || self.out.is_empty() {
            let Some(handle) = self.line.pop() else {
                return;
            };
            let Some(entry) = self.streams.get_mut(handle) else {
                continue;
            };
            entry.place.leave();
            entry.turn = true;
            self.tell_writer(handle);
            room = room.saturating_sub(MAX_PAYLOAD);
        }
    }

    /// Adds a frame without a payload.
    pub(super) fn send(&mut self, now: Instant, header: Header) {
        self.put(header);
        self.time_write(now, false);
    }

    pub(super) fn put(&mut self, header: Header) {
        self.out.tail().extend_from_slice(&header.encode());
        self.queued += HEADER_LEN as u64;
    }
}
