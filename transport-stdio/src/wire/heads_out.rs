//! Heads on their way out: how a call of this side begins, the headers and the end of one of the
//! peer's, whole or in parts.

use std::borrow::Cow;

use bytes::Bytes;
use outboard_core::rpc::Status;
use outboard_core::rpc::limits::bounded_status;

use super::head::StatusHead;
use super::limits::MAX_HEAD;
use super::metadata::{self, Block};

/// Text and details that are longer are not sent to a peer that takes no parts, nor beside them.
const SHORT_TEXT: usize = 3_900;
const SHORT_DETAILS: usize = 8_000;

/// What a call of this side begins with, until it is sent.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) path: Cow<'static, str>,
    pub(super) timeout: Option<u64>,
    pub(super) metadata: Block,
    pub(super) urgent: bool,
}

/// The headers of a call of the peer.
#[derive(Debug, Default)]
pub(super) enum HeadersOut {
    /// None are queued, and they may still be.
    #[default]
    Open,
    Queued(Block),
    /// They left, or a message did, which means that there are none.
    Passed,
}

impl HeadersOut {
    /// Takes what is queued; no more headers can be sent.
    pub(super) fn pass(&mut self) -> Option<Block> {
        match std::mem::replace(self, Self::Passed) {
            Self::Queued(block) => Some(block),
            Self::Open | Self::Passed => None,
        }
    }

    pub(super) fn queued(&self) -> Option<&Block> {
        match self {
            Self::Queued(block) => Some(block),
            Self::Open | Self::Passed => None,
        }
    }
}

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
    pub(super) first: bool,
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

/// How a call of the peer ends, until it is sent. A call that ends well and without trailers, as most
/// do, needs none.
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

    /// Whether it can leave with the last message.
    pub(super) fn fits_a_message(&self) -> bool {
        self.code == 0 && self.fits_a_frame()
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

#[cfg(test)]
mod tests {
    use outboard_core::rpc::Metadata;

    use super::super::limits::MAX_LONG_HEAD;
    use super::*;

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
