//! Messages that do not fit a frame: on their way out until they are granted and sent, on their way in
//! from the announcement until they are taken.
//!
//! They wait for a grant, since credit alone would not bound what they take: a window per stream that has
//! room for the longest message, times as many streams as the peer may open. As it is, only so many of
//! them come at once, whatever the number of streams.

use bytes::Bytes;

use super::violation::Violation;

/// A large message on its way out.
#[derive(Debug)]
pub(super) enum LargeOut {
    /// The peer is yet to grant it.
    Announced(Bytes),
    /// What is left of it.
    Granted(Bytes),
}

impl LargeOut {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Announced(left) | Self::Granted(left) => left.len(),
        }
    }
}

/// The large messages of one stream that come: one at a time, as its sender announces the next only
/// when one is complete, and that one is granted only when the one before was taken.
///
/// ```text
///          announced            slot                        last chunk
///   Idle ------------> InLine --------> Coming(Due or Sent) -----------> Kept(None)
///    ^ |                 ^                      |                         |      |
///    | | unwanted        | taken        deafen  |               announced |      | taken
///    | v                 |                      v                         v      v
///    | Refused     Kept(Announced)          Dropping         Kept(Announced)    Idle
///    |                                          |
///    '--------------- last chunk ---------------'
/// ```
///
/// In `Coming` and `Kept` the stream holds a slot. A message is unwanted if it is too long, or if
/// nobody reads: it is `Refused`, never granted. `deafen` refuses what the peer has not been granted,
/// and `cut_short` forgets whatever is not complete.
#[derive(Debug, Default)]
pub(super) enum LargeIn {
    /// None is announced or kept.
    #[default]
    Idle,
    /// Announced, of this length, and in line for a slot.
    InLine(usize),
    /// Granted: it has a slot, and its chunks come once the peer knows.
    Coming(Grant, Assembly),
    /// Complete and not taken yet; and the one after it.
    Kept(Next),
    /// Announced, never to be granted.
    Refused,
    /// Granted before anybody knew that nobody reads: this much is still to come, and is dropped.
    Dropping(usize),
}

/// How the peer learns that its message may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// By a frame that has not left.
    Due,
    Sent,
}

/// The large message after one that is not taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    None,
    Announced(usize),
    Refused,
}

/// What has come of a message.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) left: usize,
    pub(super) buffer: Vec<u8>,
}

impl Assembly {
    fn new(total: usize) -> Self {
        Self {
            left: total,
            buffer: Vec::new(),
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

/// Why a frame does not go with the large message that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misplaced {
    /// A message while another is not complete.
    #[error("a message in the middle of another")]
    InMessage,
    /// A chunk that was not announced or granted.
    #[error("a chunk that was not granted")]
    NotGranted,
    /// A chunk longer than what was left.
    #[error("more than the {left} bytes that were left")]
    TooLong { left: usize },
}

impl Misplaced {
    /// What it is of a message or chunk of `len` bytes for a stream.
    pub(super) fn of(self, stream: u32, len: usize) -> Violation {
        match self {
            Self::InMessage => Violation::MessageInMessage { stream },
            Self::NotGranted => Violation::ChunkNotGranted { stream },
            Self::TooLong { left } => Violation::ChunkTooLong { stream, len, left },
        }
    }
}

/// What a transition means for the slots of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Slot {
    /// Nothing.
    Same,
    /// The stream gets in line for one.
    Wanted,
    /// The stream's slot is free again.
    Freed,
    /// As both: it is free, and the stream wants one again.
    FreedAndWanted,
}

/// What came of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// There are more to come.
    More,
    /// It was the last, of this message.
    Whole(Vec<u8>),
    /// It was the last of a message that nobody reads.
    Dropped,
}

impl LargeIn {
    /// Whether a message was announced that is not complete.
    pub(super) fn is_midway(&self) -> bool {
        !matches!(self, Self::Idle | Self::Kept(Next::None))
    }

    /// Whether the stream holds a slot.
    pub(super) fn holds_slot(&self) -> bool {
        matches!(self, Self::Coming(..) | Self::Kept(_))
    }

    /// A message of `total` bytes was announced, which somebody wants or not.
    pub(super) fn announced(&mut self, total: usize, wanted: bool) -> Result<Slot, Misplaced> {
        let slot = match (&*self, wanted) {
            (Self::Idle, true) => {
                *self = Self::InLine(total);
                Slot::Wanted
            }
            (Self::Idle, false) => {
                *self = Self::Refused;
                Slot::Same
            }
            (Self::Kept(Next::None), wanted) => {
                *self = Self::Kept(if wanted {
                    Next::Announced(total)
                } else {
                    Next::Refused
                });
                Slot::Same
            }
            (_, _) => return Err(Misplaced::InMessage),
        };
        Ok(slot)
    }

    /// There is a slot for the stream. Whether it takes it.
    pub(super) fn offer_slot(&mut self) -> bool {
        let Self::InLine(total) = *self else {
            return false;
        };
        *self = Self::Coming(Grant::Due, Assembly::new(total));
        true
    }

    /// The grant leaves, if one is due.
    pub(super) fn grant_sent(&mut self) -> bool {
        match self {
            Self::Coming(grant, _) => std::mem::replace(grant, Grant::Sent) == Grant::Due,
            _ => false,
        }
    }

    /// Where a chunk of `len` bytes may be put as it is read.
    pub(super) fn assembly(&mut self, len: usize) -> Option<&mut Assembly> {
        match self {
            Self::Coming(_, assembly) if len <= assembly.left => Some(assembly),
            _ => None,
        }
    }

    /// A chunk of `len` bytes came: `data`, or `whole` with all that came before it.
    pub(super) fn chunk(
        &mut self,
        len: usize,
        data: &[u8],
        whole: Option<Vec<u8>>,
    ) -> Result<Chunk, Misplaced> {
        let left = match self {
            Self::Coming(_, assembly) => &mut assembly.left,
            Self::Dropping(left) => left,
            Self::Idle | Self::InLine(_) | Self::Kept(_) | Self::Refused => {
                return Err(Misplaced::NotGranted);
            }
        };
        let rest = left
            .checked_sub(len)
            .ok_or(Misplaced::TooLong { left: *left })?;
        let Self::Coming(_, assembly) = self else {
            if rest > 0 {
                *self = Self::Dropping(rest);
                return Ok(Chunk::More);
            }
            *self = Self::Idle;
            return Ok(Chunk::Dropped);
        };
        match whole {
            Some(whole) => assembly.buffer = whole,
            None => {
                assembly.reserve(data.len());
                assembly.buffer.extend_from_slice(data);
            }
        }
        assembly.left = rest;
        if rest > 0 {
            return Ok(Chunk::More);
        }
        let buffer = std::mem::take(&mut assembly.buffer);
        *self = Self::Kept(Next::None);
        Ok(Chunk::Whole(buffer))
    }

    /// The message that is kept was taken.
    pub(super) fn taken(&mut self) -> Slot {
        let Self::Kept(next) = *self else {
            return Slot::Same;
        };
        let (state, slot) = match next {
            Next::None => (Self::Idle, Slot::Freed),
            Next::Announced(total) => (Self::InLine(total), Slot::FreedAndWanted),
            Next::Refused => (Self::Refused, Slot::Freed),
        };
        *self = state;
        slot
    }

    /// Nobody reads any more.
    pub(super) fn deafen(&mut self) -> Slot {
        let slot = if self.holds_slot() {
            Slot::Freed
        } else {
            Slot::Same
        };
        *self = match std::mem::take(self) {
            Self::Idle | Self::Kept(Next::None) => Self::Idle,
            // What has come shows that the peer knows, whatever has left.
            Self::Coming(Grant::Due, assembly) if assembly.buffer.is_empty() => Self::Refused,
            Self::Coming(_, assembly) => Self::Dropping(assembly.left),
            Self::Dropping(left) => Self::Dropping(left),
            Self::InLine(_) | Self::Kept(_) | Self::Refused => Self::Refused,
        };
        slot
    }

    /// A message that was announced will not come, or not whole.
    pub(super) fn cut_short(&mut self) -> Slot {
        let (state, slot) = match self {
            Self::Kept(_) => (Self::Kept(Next::None), Slot::Same),
            Self::Coming(..) => (Self::Idle, Slot::Freed),
            Self::Idle | Self::InLine(_) | Self::Refused | Self::Dropping(_) => {
                (Self::Idle, Slot::Same)
            }
        };
        *self = state;
        slot
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_large_message_takes_the_memory_of_what_came_and_never_more_than_announced() {
        for (total, piece) in [(1_000_000, 999), (300_000, 131_072), (262_145, 131_072)] {
            let mut large = Assembly::new(total);
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

    #[test]
    fn a_message_that_is_too_long_is_not_granted_when_the_one_before_it_is_taken() {
        let mut large = LargeIn::default();
        assert_eq!(large.announced(3, true), Ok(Slot::Wanted));
        assert!(large.offer_slot() && large.grant_sent());
        assert_eq!(
            large.chunk(3, b"abc", None),
            Ok(Chunk::Whole(b"abc".into()))
        );
        assert_eq!(large.announced(usize::MAX, false), Ok(Slot::Same));
        assert_eq!(large.taken(), Slot::Freed);
        assert!(!large.offer_slot(), "it has no place in line");
        assert_eq!(large.chunk(1, b"x", None), Err(Misplaced::NotGranted));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Announced(usize, bool),
        Offer,
        Grant,
        Chunk(usize),
        Taken,
        Deafen,
        Cut,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1..100usize, any::<bool>()).prop_map(|(total, wanted)| Step::Announced(total, wanted)),
            3 => Just(Step::Offer),
            3 => Just(Step::Grant),
            6 => (1..60usize).prop_map(Step::Chunk),
            2 => Just(Step::Taken),
            1 => Just(Step::Deafen),
            1 => Just(Step::Cut),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: slots are taken and freed in turn, nothing comes
        /// without a grant or past its length, and a message comes whole or not at all.
        #[test]
        fn slots_and_bytes_add_up(steps in proptest::collection::vec(step(), 0..200)) {
            let mut large = LargeIn::default();
            let (mut held, mut in_line) = (false, false);
            // What the peer may still send, and what it has sent of the message.
            let (mut may, mut came) = (0, 0);
            for step in steps {
                let before = large.holds_slot();
                prop_assert_eq!(before, held);
                let slot = match step {
                    Step::Announced(total, wanted) => match large.announced(total, wanted) {
                        Ok(slot) => slot,
                        Err(error) => {
                            prop_assert_eq!(error, Misplaced::InMessage);
                            prop_assert!(large.is_midway());
                            Slot::Same
                        }
                    },
                    Step::Offer => {
                        let offered = large.offer_slot();
                        prop_assert_eq!(offered, in_line);
                        if offered {
                            (held, in_line) = (true, false);
                            if let LargeIn::Coming(_, assembly) = &large {
                                (may, came) = (assembly.left, 0);
                            }
                            prop_assert!(may > 0);
                        }
                        Slot::Same
                    }
                    Step::Grant => {
                        let due = matches!(large, LargeIn::Coming(Grant::Due, _));
                        prop_assert_eq!(large.grant_sent(), due);
                        prop_assert!(!large.grant_sent(), "once");
                        Slot::Same
                    }
                    Step::Chunk(len) => {
                        match large.chunk(len, &vec![0; len], None) {
                            Ok(Chunk::More) => (may, came) = (may - len, came + len),
                            Ok(Chunk::Whole(message)) => {
                                prop_assert_eq!(message.len(), came + len);
                                prop_assert_eq!(may, len);
                                may = 0;
                            }
                            Ok(Chunk::Dropped) => may = 0,
                            Err(Misplaced::NotGranted) => prop_assert_eq!(may, 0),
                            Err(Misplaced::TooLong { left }) => {
                                prop_assert_eq!(left, may);
                                prop_assert!(len > left);
                            }
                            Err(error) => prop_assert!(false, "{}", error),
                        }
                        Slot::Same
                    }
                    Step::Taken => large.taken(),
                    Step::Deafen => {
                        in_line = false;
                        let slot = large.deafen();
                        if matches!(large, LargeIn::Refused) {
                            may = 0;
                        }
                        slot
                    }
                    Step::Cut => {
                        (may, in_line) = (0, false);
                        large.cut_short()
                    }
                };
                match slot {
                    Slot::Same => {}
                    Slot::Wanted => in_line = true,
                    Slot::Freed => {
                        prop_assert!(held);
                        held = false;
                    }
                    Slot::FreedAndWanted => {
                        prop_assert!(held);
                        (held, in_line) = (false, true);
                    }
                }
            }
        }
    }
}
