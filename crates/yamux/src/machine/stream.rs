//! One stream.

use std::cmp::min;

use outboard_mux::{OutBuf, Place, ReceiveWindow, SendWindow};

use crate::error::StreamError;

/// How much a stream's empty buffer keeps.
const KEEP: usize = 16 * 1024;
/// Pieces at least this long stay where they were read, while their stream's reader keeps up.
const PASS_ON: usize = 8 * 1024;
/// A stream whose reader leaves more than this waiting has everything else copied, so that its pieces
/// do not keep much larger buffers alive.
const LAGS: usize = 64 * 1024;

/// What comes on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// More may.
    Open,
    /// The last frame has begun.
    Ending,
    /// Nothing more.
    Ended,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: u32,
    pub(super) ours: bool,
    /// The peer has not acknowledged it yet.
    pub(super) unacked: bool,
    /// It waits for being accepted.
    pub(super) waits: bool,
    /// Somebody has it.
    pub(super) held: bool,
    /// The peer knows it: frames may still come.
    pub(super) wired: bool,
    /// This side has finished.
    pub(super) finished: bool,
    pub(super) incoming: Incoming,
    /// Why it ended before its time.
    pub(super) failed: Option<StreamError>,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    pub(super) inbox: OutBuf,
    /// Whether somebody is to be told when there is something to read.
    pub(super) reader: bool,
    /// Whether somebody is to be told when something can be written.
    pub(super) writer: bool,
    /// Its place among those that wait for room in the output.
    pub(super) place: Place,
    /// It has come up there.
    pub(super) turn: bool,
}

impl Entry {
    pub(super) fn new(id: u32, ours: bool, window: u32) -> Self {
        Self {
            id,
            ours,
            unacked: ours,
            waits: !ours,
            held: ours,
            wired: true,
            finished: false,
            incoming: Incoming::Open,
            failed: None,
            send: SendWindow::new(crate::config::INITIAL_WINDOW),
            receive: ReceiveWindow::new(window),
            inbox: OutBuf::default(),
            reader: false,
            writer: false,
            place: Place::Out,
            turn: false,
        }
    }

    /// Keeps what came.
    pub(super) fn deliver(&mut self, piece: bytes::Bytes) {
        if piece.len() >= PASS_ON && self.inbox.len() <= LAGS {
            self.inbox.push(piece);
        } else {
            self.inbox.tail().extend_from_slice(&piece);
        }
    }

    /// Copies out what there is.
    pub(super) fn copy_out(&mut self, target: &mut [u8]) -> usize {
        let mut done = 0;
        while done < target.len() && !self.inbox.is_empty() {
            let mut slice = [std::io::IoSlice::new(&[])];
            self.inbox.slices(&mut slice);
            let [slice] = slice;
            let room = target.get_mut(done..).unwrap_or_default();
            let count = min(slice.len(), room.len());
            room[..count].copy_from_slice(&slice[..count]);
            done += count;
            self.inbox.advance(count);
        }
        self.inbox.shrink(KEEP);
        done
    }
}
