//! Heads that do not fit a frame: metadata and statuses in parts.
//!
//! They travel without credit, between frames of other streams. What a receiver keeps of them is
//! bounded for the connection: what would be too much is dropped, and the call it is for ends with
//! an error of its own, so nobody ever waits for room.

use std::collections::BTreeMap;

use bytes::Bytes;
use outboard_core::rpc::Status;
use outboard_core::rpc::limits::{MAX_METADATA_SIZE, MAX_STATUS_MESSAGE, bounded_status};

use super::frame::{Frame, MAX_HEAD, StatusHead};
use super::metadata::{self, Block};
use super::mux::Mux;
use super::out::{COPY_BELOW, OutBuf};
use super::stream::Key;
use super::transmit::MAX_PIECE;
use super::violation::Violation;

/// The longest head that this implementation sends: a status with the longest text, the most
/// details and metadata, and their lengths.
pub(super) const MAX_LONG_HEAD: u32 = (MAX_STATUS_MESSAGE + MAX_METADATA_SIZE + 1024) as u32;

/// Text and details that are longer are not sent to a peer that takes no parts, nor beside them.
const SHORT_TEXT: usize = 3_900;
const SHORT_DETAILS: usize = 8_000;

/// What a head in parts belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Opening,
    Headers,
    Ending,
}

/// A head on its way out.
#[derive(Debug)]
pub(super) struct PartsOut {
    pub(super) left: Bytes,
    pub(super) of: Of,
    first: bool,
}

impl PartsOut {
    pub(super) fn new(of: Of, head: Vec<u8>) -> Self {
        Self {
            left: head.into(),
            of,
            first: true,
        }
    }
}

/// How a call of the peer ends, until it is sent.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) code: u8,
    pub(super) refused: bool,
    pub(super) trailers: Block,
    pub(super) text: String,
    pub(super) details: Bytes,
    /// The long form has left.
    parts: bool,
}

impl Ending {
    /// What travels of a status.
    pub(super) fn of(status: &Status) -> Self {
        let status = bounded_status(status);
        Self {
            code: u8::try_from(status.code().number()).unwrap_or(2),
            trailers: metadata::encode(status.metadata()).unwrap_or_default(),
            text: status.message().to_owned(),
            details: Bytes::copy_from_slice(status.details()),
            ..Self::default()
        }
    }

    pub(super) fn with_trailers(trailers: Block) -> Self {
        Self {
            trailers,
            ..Self::default()
        }
    }

    /// As it travels in a frame, without headers.
    pub(super) fn head(&self) -> StatusHead<'_> {
        StatusHead {
            code: self.code,
            refused: self.refused,
            headers: &[],
            trailers: self.trailers.short(),
            text: &self.text,
            details: &self.details,
            parts: self.parts,
        }
    }

    pub(super) fn fits_a_frame(&self) -> bool {
        !self.trailers.long && self.head().encoded_len() <= MAX_HEAD
    }

    /// The long form for a peer that takes as much; this keeps what travels beside it, for a peer
    /// that drops it.
    pub(super) fn split(&mut self, max_head: u32) -> Option<Vec<u8>> {
        let mut long = None;
        if max_head > 0 {
            let trailers = if self.trailers.long {
                self.trailers.bytes.clone()
            } else {
                // The long form of the list, too.
                lengthen(&self.trailers.bytes)
            };
            let head = StatusHead {
                trailers: &trailers,
                parts: false,
                ..self.head()
            };
            let mut bytes = Vec::new();
            head.encode_long(&mut bytes);
            long = Some(bytes).filter(|bytes| bytes.len() <= max_head as usize);
        }
        self.parts = long.is_some();
        self.shorten();
        long
    }

    /// Brings it into the short form; the text says what is missing.
    fn shorten(&mut self) {
        let mut missing = Vec::new();
        if self.trailers.long || self.trailers.bytes.len() > SHORT_TEXT {
            missing.push("metadata");
            self.trailers = Block::default();
        }
        if self.details.len() > SHORT_DETAILS {
            missing.push("details");
            self.details = Bytes::new();
        }
        let len = self.text.len();
        let kept = cut(&self.text, SHORT_TEXT).len();
        if kept < len {
            self.text.truncate(kept);
            self.text
                .push_str(&format!("… [{} of {len} bytes left out]", len - kept));
        }
        if !missing.is_empty() {
            self.text
                .push_str(&format!(" [{} left out]", missing.join(" and ")));
        }
    }

    /// The caller has given the call up: only its end is still of interest.
    pub(super) fn strip(&mut self) {
        self.parts = false;
        self.shorten();
        if self.code == 0 {
            self.code = 1;
            self.trailers = Block::default();
        }
    }
}

/// The start of `text`, at most `most` bytes of it.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The long form of a list of entries in the short form.
fn lengthen(mut rest: &[u8]) -> Vec<u8> {
    let mut long = Vec::with_capacity(rest.len() + rest.len() / 2);
    while let Some((name_len, after)) = rest.split_first()
        && let Some((name, after)) = after.split_at_checked((*name_len).into())
        && let Some((len, after)) = after.split_first_chunk::<2>()
        && let Some((value, after)) = after.split_at_checked(u16::from_le_bytes(*len).into())
    {
        long.push(*name_len);
        long.extend_from_slice(name);
        long.extend_from_slice(len);
        long.extend_from_slice(&[0, 0]);
        long.extend_from_slice(value);
        rest = after;
    }
    long
}

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
        if let Some(head) = self.table(opener).remove(&stream) {
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
        const KIND: u8 = super::frame::Kind::Part as u8;
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
        kind: super::frame::Kind,
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
        if piece.len() < COPY_BELOW {
            out.tail().extend_from_slice(&piece);
        } else {
            out.push(piece);
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use outboard_core::rpc::Metadata;

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

    #[test]
    fn a_short_list_gets_longer_lengths() {
        let mut metadata = Metadata::new();
        metadata.insert("a", "one").expect("valid");
        metadata.insert_bin("b-bin", vec![0, 255]).expect("valid");
        let block = metadata::encode(&metadata).expect("fits");
        let long = lengthen(&block.bytes);
        assert_eq!(metadata::decode(&long, true), Ok(Ok(metadata)));
    }

    #[test]
    fn what_an_old_peer_does_not_take_is_cut_with_a_note() {
        let mut metadata = Metadata::new();
        metadata.insert("a", &"v".repeat(20_000)).expect("valid");
        let text = "\u{1f608}".repeat(2_000);
        let status = Status::not_found(text.clone())
            .with_metadata(metadata)
            .with_details(vec![1; 9_000]);
        let mut ending = Ending::of(&status);
        assert!(!ending.fits_a_frame());
        assert_eq!(ending.split(0), None);
        assert!(ending.fits_a_frame() && !ending.head().parts);
        let (kept, note) = ending.text.split_once('…').expect("a note");
        assert!(text.starts_with(kept) && kept.len() == 3_900);
        assert_eq!(
            note,
            " [4100 of 8000 bytes left out] [metadata and details left out]"
        );
        let mut ending = Ending::of(&status);
        let long = ending.split(MAX_LONG_HEAD).expect("in parts");
        let head = StatusHead::decode_long(&long).expect("valid");
        assert_eq!((head.text, head.details.len()), (text.as_str(), 9_000));
        assert!(ending.fits_a_frame() && ending.head().parts);
    }
}
