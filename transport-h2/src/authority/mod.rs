//! Requests of hosts whose `:authority` is none.
//!
//! gRPC's C core (Python, Ruby, PHP, C++) and others send the percent-encoded path of a unix socket
//! as `:authority`. gRPC servers do not mind, but `h2` parses the value as an RFC 3986 authority
//! while it decodes the HEADERS frame, resets the request and offers no hook before that. As the
//! HPACK state of a connection spans its header blocks, nothing above `h2` could mend such a
//! request. So this stands below: a [`Filter`] sees what a server reads before `h2` does and
//! puts a valid value, which nobody looks at, in the place of an invalid one.
//!
//! What comes from hosts that send valid values goes through without a change and without a copy,
//! and so does all that the filter cannot make sense of: `h2` then judges it.

mod block;
mod huffman;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::block::{Malformed, Table, rewrite};

/// The client's part of the connection preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// The head of a frame (RFC 9113, section 4.1).
const HEAD: usize = 9;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// More frames than `h2` takes for one block whatever its limits are, so it refuses these.
const MOST_FRAMES: usize = 1 << 16;

/// What is held back beyond the limit of a header list: the frames of a block have heads.
const BEYOND: usize = 64 << 10;

/// What is asked for at once: the length of a frame is the peer's claim, memory is ours.
const STEP: usize = 16 << 10;

/// A buffer larger than this is not kept for the next block.
const KEPT: usize = 16 << 10;

/// Sans-IO: bytes that were read go in, bytes for `h2` come out.
///
/// As long as [`missing`](Self::missing) is `None`, what is read goes through
/// [`pass`](Self::pass) in place. It may hold the end of it back: a part of a frame's head, or of a
/// header block. Then as much as is missing, and no more, is read with [`fill`](Self::fill), so
/// that payload is never copied. What comes of that is given out by [`take`](Self::take), which is
/// asked before anything else.
pub(crate) struct Filter {
    /// How much is still to pass unseen: the preface, or the rest of a frame that is no concern.
    passing: usize,
    /// From the head of a frame on. Incomplete.
    held: Vec<u8>,
    /// How far `held` was looked through.
    walk: Walk,
    /// What `held` has become, and how much of that was taken.
    ready: Vec<u8>,
    taken: usize,
    table: Table,
    /// Everything passes from here on.
    off: bool,
    /// The most that is held.
    limit: usize,
}

/// What there is at some place among the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The head of a frame that holds no headers, and how long its payload is.
    Other(usize),
    /// This many bytes more would tell more.
    Incomplete(usize),
    /// All frames of a header block, so many bytes.
    Block(usize),
    /// No header block that `h2` would take.
    Foreign,
}

/// Goes from frame to frame, as far as they belong to one header block.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    at: usize,
    frames: usize,
}

impl Walk {
    fn find(&mut self, bytes: &[u8], limit: usize) -> Found {
        loop {
            let Some(head) = Head::parse(&bytes[self.at..]) else {
                return Found::Incomplete(self.at + HEAD - bytes.len());
            };
            match (self.frames, head.kind) {
                (0, HEADERS) | (1.., CONTINUATION) => {}
                (0, _) => return Found::Other(head.length),
                (1.., _) => return Found::Foreign,
            }
            let end = self.at + HEAD + head.length;
            if end > limit || self.frames == MOST_FRAMES {
                return Found::Foreign;
            }
            if end > bytes.len() {
                return Found::Incomplete(end - bytes.len());
            }
            self.at = end;
            self.frames += 1;
            if head.flags & END_HEADERS != 0 {
                return Found::Block(end);
            }
        }
    }
}

struct Head {
    length: usize,
    kind: u8,
    flags: u8,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, ..] = *bytes.get(..HEAD)? else {
            return None;
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self {
            length,
            kind,
            flags,
        })
    }

    /// The part of the payload that belongs to the header block (RFC 9113, section 6.2).
    fn fragment(&self, payload: &[u8]) -> Result<Range<usize>, Malformed> {
        let mut fragment = 0..payload.len();
        if self.kind == HEADERS && self.flags & PADDED != 0 {
            let padding = usize::from(*payload.first().ok_or(Malformed)?);
            fragment.start += 1;
            fragment.end = fragment.end.checked_sub(padding).ok_or(Malformed)?;
        }
        if self.kind == HEADERS && self.flags & PRIORITY != 0 {
            fragment.start += 5;
        }
        if fragment.start > fragment.end {
            return Err(Malformed);
        }
        Ok(fragment)
    }
}

impl Filter {
    /// A filter for a new connection, before its preface. `header_list` is the limit on header lists
    /// that the peer is told: about as much may be held back here, and the filter gives up on a peer
    /// that sends more.
    pub(crate) fn new(header_list: u32) -> Self {
        Self {
            passing: PREFACE,
            held: Vec::new(),
            walk: Walk::default(),
            ready: Vec::new(),
            taken: 0,
            table: Table::new(),
            off: false,
            limit: (header_list as usize).saturating_add(BEYOND),
        }
    }

    /// Changes what was read in place. Gives how many of the bytes go on; the others have become
    /// fewer or are held back. Must not be called while something is missing or to be taken.
    pub(crate) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        debug_assert!(self.held.is_empty() && self.ready.is_empty());
        // What is before `kept` is as it goes on; from `from` to `at` it is right, but for where it
        // stands.
        let (mut kept, mut from, mut at) = (0, 0, 0);
        while at < bytes.len() {
            if self.off {
                at = bytes.len();
            } else if self.passing > 0 {
                let now = self.passing.min(bytes.len() - at);
                self.passing -= now;
                at += now;
            } else {
                let mut walk = Walk::default();
                match walk.find(&bytes[at..], self.limit) {
                    Found::Other(length) => {
                        self.passing = length;
                        at += HEAD;
                    }
                    Found::Block(length) => {
                        let block = at..at + length;
                        at = block.end;
                        if let Some(shorter) = self.mend(&mut bytes[block.clone()]) {
                            kept = append(bytes, kept, from..block.start);
                            kept = append(bytes, kept, block.start..block.start + shorter);
                            from = at;
                        }
                    }
                    Found::Incomplete(_) => {
                        self.held.extend_from_slice(&bytes[at..]);
                        self.walk = walk;
                        break;
                    }
                    Found::Foreign => self.off = true,
                }
            }
        }
        append(bytes, kept, from..at)
    }

    /// How many bytes have to be read before anything else; at least one.
    pub(crate) fn missing(&self) -> Option<usize> {
        if self.held.is_empty() {
            return None;
        }
        // What was held is incomplete, or it would not be any more.
        let mut walk = self.walk;
        match walk.find(&self.held, self.limit) {
            Found::Incomplete(count) => Some(count.min(STEP)),
            Found::Other(_) | Found::Block(_) | Found::Foreign => None,
        }
    }

    /// Gives `read` a buffer of `missing` bytes; it says how many of them it has filled.
    pub(crate) fn fill<R>(
        &mut self,
        missing: usize,
        read: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> R {
        let before = self.held.len();
        self.held.resize(before + missing, 0);
        let (count, result) = read(&mut self.held[before..]);
        self.held.truncate(before + count.min(missing));
        let mut walk = self.walk;
        match walk.find(&self.held, self.limit) {
            Found::Incomplete(_) => self.walk = walk,
            Found::Other(length) => {
                self.passing = length;
                self.release();
            }
            Found::Block(_) => {
                let mut held = std::mem::take(&mut self.held);
                if let Some(shorter) = self.mend(&mut held) {
                    held.truncate(shorter);
                }
                self.held = held;
                self.release();
            }
            Found::Foreign => {
                self.off = true;
                self.release();
            }
        }
        result
    }

    /// No more bytes will come: what is held back goes on as it is.
    pub(crate) fn end(&mut self) {
        self.off = true;
        self.release();
    }

    fn release(&mut self) {
        debug_assert_eq!(self.taken, self.ready.len());
        self.ready.clear();
        std::mem::swap(&mut self.ready, &mut self.held);
        self.taken = 0;
        self.walk = Walk::default();
    }

    /// Moves what is ready; gives how much.
    pub(crate) fn take(&mut self, target: &mut [u8]) -> usize {
        let rest = &self.ready[self.taken..];
        let count = rest.len().min(target.len());
        target[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.ready.len() && self.taken > 0 {
            self.ready.clear();
            self.taken = 0;
            if self.ready.capacity() > KEPT {
                self.ready = Vec::new();
            }
        }
        count
    }

    /// Replaces what has to be in the frames of one block; gives how long they are then.
    fn mend(&mut self, frames: &mut [u8]) -> Option<usize> {
        match mend(frames, &mut self.table) {
            Ok(shorter) => shorter,
            Err(Malformed) => {
                self.off = true;
                None
            }
        }
    }
}

/// Moves a range forward to `kept`; gives where it ends then.
fn append(bytes: &mut [u8], kept: usize, range: Range<usize>) -> usize {
    let end = kept + range.len();
    if range.start != kept {
        bytes.copy_within(range, kept);
    }
    end
}

fn mend(frames: &mut [u8], table: &mut Table) -> Result<Option<usize>, Malformed> {
    // As a rule there is one frame, and nothing is copied.
    let (first, _) = frame(frames, 0)?;
    if first.end == frames.len() {
        let Some(block) = rewrite(&frames[first.fragment.clone()], table)? else {
            return Ok(None);
        };
        return Ok(Some(refill(frames, &block)?));
    }
    let (mut at, mut block) = (0, Vec::new());
    while at < frames.len() {
        let (frame, _) = frame(frames, at)?;
        block.extend_from_slice(&frames[frame.fragment]);
        at = frame.end;
    }
    match rewrite(&block, table)? {
        None => Ok(None),
        Some(block) => Ok(Some(refill(frames, &block)?)),
    }
}

/// Where one frame and its part of the header block are.
struct Frame {
    fragment: Range<usize>,
    end: usize,
}

fn frame(frames: &[u8], at: usize) -> Result<(Frame, Head), Malformed> {
    let head = Head::parse(&frames[at..]).ok_or(Malformed)?;
    let (start, end) = (at + HEAD, at + HEAD + head.length);
    let payload = frames.get(start..end).ok_or(Malformed)?;
    let fragment = head.fragment(payload)?;
    let fragment = start + fragment.start..start + fragment.end;
    Ok((Frame { fragment, end }, head))
}

/// Puts a block, which must not be longer, in the place of the one in these frames. Each frame
/// takes as much as it had, until nothing is left.
fn refill(frames: &mut [u8], mut block: &[u8]) -> Result<usize, Malformed> {
    let (mut at, mut kept) = (0, 0);
    while at < frames.len() {
        let (Frame { fragment, end }, _) = frame(frames, at)?;
        let (now, later) = block.split_at(block.len().min(fragment.len()));
        block = later;
        let length = end - at - HEAD - (fragment.len() - now.len());
        let filled = fragment.start..fragment.start + now.len();
        frames[filled.clone()].copy_from_slice(now);
        let bytes = u32::try_from(length).map_err(|_| Malformed)?.to_be_bytes();
        frames[at..at + 3].copy_from_slice(&bytes[1..]);
        kept = append(frames, kept, at..filled.end);
        kept = append(frames, kept, fragment.end..end);
        at = end;
    }
    Ok(kept)
}
