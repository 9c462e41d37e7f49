//! Heads that do not fit a frame: metadata and statuses in parts.
//!
//! They travel without credit, between frames of other streams. What a receiver keeps of them is
//! bounded for the connection: what would be too much is dropped, and the call it is for ends with
//! an error of its own, so nobody ever waits for room.

use std::collections::BTreeMap;

use outboard_core::rpc::Status;
use outboard_mux::OutBuf;

use super::Mux;
use crate::wire::frame::{Frame, Kind};
use crate::wire::key::Key;
use crate::wire::limits::MAX_PIECE;
use crate::wire::violation::Violation;

/// A head on its way in.
#[derive(Debug, Default)]
struct HeadIn {
    buffer: Vec<u8>,
    len: usize,
    /// There was no room for it.
    dropped: bool,
}

/// What came of the heads in parts.
#[derive(Debug, Default)]
pub(super) struct HeadsIn {
    /// By the numbers of the streams that the peer opens, and of ours.
    theirs: BTreeMap<u32, HeadIn>,
    ours: BTreeMap<u32, HeadIn>,
    /// The bytes of them, and of those that are complete and kept with their calls.
    pub(super) held: usize,
}

/// A head that is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Whole(Vec<u8>),
    /// Of this length, and there was no room for it.
    Dropped(usize),
}

impl HeadsIn {
    fn table(&mut self, opener: bool) -> &mut BTreeMap<u32, HeadIn> {
        if opener {
            &mut self.theirs
        } else {
            &mut self.ours
        }
    }

    /// Forgets what came for a stream.
    pub(super) fn forget(&mut self, opener: bool, stream: u32) {
        let heads = self.table(opener);
        // For nearly every call: a search costs more than a look.
        if !heads.is_empty()
            && let Some(head) = heads.remove(&stream)
        {
            self.held -= head.buffer.len();
        }
    }

    /// The head that is complete now. Its bytes stay counted: the stream holds them.
    pub(super) fn take(&mut self, opener: bool, stream: u32) -> Option<Head> {
        let head = self.table(opener).remove(&stream)?;
        Some(if head.dropped {
            Head::Dropped(head.len)
        } else {
            Head::Whole(head.buffer)
        })
    }

    fn add(
        &mut self,
        (opener, stream): (bool, u32),
        first: bool,
        data: &[u8],
        (most, memory): (usize, usize),
    ) -> Result<(), Violation> {
        const KIND: u8 = Kind::Part as u8;
        if first {
            self.forget(opener, stream);
            self.table(opener).insert(stream, HeadIn::default());
        }
        let held = self.held;
        let Some(head) = self.table(opener).get_mut(&stream) else {
            return Err(Violation::NoParts { kind: KIND, stream });
        };
        head.len += data.len();
        if head.len > most {
            return Err(Violation::HeadTooLong {
                kind: KIND,
                len: head.len,
                most,
            });
        }
        if held + data.len() > memory || head.dropped {
            head.dropped = true;
            let freed = std::mem::take(&mut head.buffer).len();
            self.held -= freed;
            return Ok(());
        }
        head.buffer.extend_from_slice(data);
        self.held += data.len();
        Ok(())
    }
}

impl Mux {
    /// A piece of a head came.
    pub(super) fn part_came(
        &mut self,
        opener: bool,
        stream: u32,
        first: bool,
        data: &[u8],
    ) -> Result<(), Violation> {
        let limits = (
            self.config.settings.max_head as usize,
            self.config.head_memory,
        );
        self.heads.add((opener, stream), first, data, limits)
    }

    /// The head in parts that a frame for this stream has.
    pub(super) fn head_in_parts(
        &mut self,
        kind: Kind,
        key: Key,
        wire: u32,
    ) -> Result<Head, Violation> {
        let kind = kind as u8;
        let head = self.heads.take(!key.is_ours(), wire);
        let head = head.ok_or(Violation::NoParts { kind, stream: wire })?;
        if let Head::Whole(bytes) = &head
            && let Some(stream) = self.stream_mut(key)
        {
            stream.heads_held += bytes.len();
        }
        Ok(head)
    }

    /// What a head that was dropped means for its call.
    pub(super) fn no_room(&self, len: usize) -> Status {
        let memory = self.config.head_memory;
        Status::resource_exhausted(format!(
            "received {len} bytes of metadata while the calls of the connection hold up to the \
             limit of {memory} bytes together"
        ))
    }

    /// Sends the next piece of the stream's head. Whether there are more.
    pub(super) fn send_part(&mut self, key: Key, wire: u32, out: &mut OutBuf) -> bool {
        let most = MAX_PIECE.min(self.peer.max_frame as usize);
        let Some(parts) = self.stream_mut(key).and_then(|s| s.parts_out.as_mut()) else {
            return false;
        };
        if parts.left.is_empty() {
            return false;
        }
        let piece = parts.left.split_to(most.min(parts.left.len()));
        let more = !parts.left.is_empty();
        let frame = Frame::Part {
            stream: wire,
            opener: key.is_ours(),
            first: std::mem::take(&mut parts.first),
            data: &[],
        };
        frame.encode_head(out.tail(), piece.len());
        out.append(piece);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: (usize, usize) = (100, 150);

    #[test]
    fn pieces_make_a_head_and_a_first_one_begins_anew() {
        let mut heads = HeadsIn::default();
        for (first, data) in [(true, &b"gone"[..]), (true, b"ab"), (false, b"c")] {
            heads.add((true, 7), first, data, LIMITS).expect("fits");
        }
        assert_eq!(heads.held, 3);
        assert_eq!(heads.take(false, 7), None, "the other side's stream");
        assert_eq!(heads.take(true, 7), Some(Head::Whole(b"abc".to_vec())));
        assert_eq!(heads.take(true, 7), None);
        let orphan = heads.add((true, 7), false, b"d", LIMITS);
        assert_eq!(
            orphan,
            Err(Violation::NoParts {
                kind: 0x0a,
                stream: 7
            })
        );
    }

    #[test]
    fn what_the_connection_has_no_room_for_is_dropped_alone() {
        let mut heads = HeadsIn::default();
        heads.add((true, 1), true, &[0; 100], LIMITS).expect("fits");
        heads.add((true, 2), true, &[0; 40], LIMITS).expect("fits");
        heads
            .add((true, 2), false, &[0; 20], LIMITS)
            .expect("dropped");
        assert_eq!(heads.held, 100);
        heads
            .add((true, 2), false, &[0; 20], LIMITS)
            .expect("dropped");
        assert_eq!(heads.take(true, 2), Some(Head::Dropped(80)));
        assert_eq!(heads.take(true, 1), Some(Head::Whole(vec![0; 100])));
        // Too long is a violation whether or not it is kept.
        let long = heads.add((true, 3), true, &[0; 101], LIMITS);
        assert!(matches!(
            long,
            Err(Violation::HeadTooLong { most: 100, .. })
        ));
    }
}
