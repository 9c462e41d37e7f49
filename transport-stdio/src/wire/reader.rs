//! From bytes to frames, however they are cut.

use std::ops::Range;

use bytes::Bytes;

use super::header::{HEADER_LEN, Header, Kind};
use super::limits::MAX_HEAD;
use super::violation::Violation;

/// The room for bytes read ahead: many small frames in one read, while a large one soon goes
/// straight to its own memory. Half a pipe's usual capacity; more gave nothing when 64 callers
/// were measured at 16 bytes.
const SCRATCH: usize = 32 * 1024;
/// A frame at least this long that has not come whole gets memory of its own. Below it the rest is
/// read into the common room, which must hold such a frame whole.
const OWN_BODY: usize = 4_096;

/// What the next bytes make up.
#[derive(Debug)]
pub(super) enum Step {
    /// More bytes are needed.
    More,
    /// A whole frame in the common room.
    Here(Header, Range<usize>),
    /// A whole frame in its own memory. For chunks, the buffer also holds what was there before.
    Own(Header, Body),
    /// A long frame begins: go on with [`Reader::start_body`].
    Begins(Header),
}

/// A long frame on its way in.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Holds `before` bytes of something else, then the payload.
    pub(super) buffer: Vec<u8>,
    pub(super) before: usize,
    filled: usize,
}

/// Collects bytes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    scratch: Vec<u8>,
    start: usize,
    end: usize,
    body: Option<(Header, Body)>,
}

impl Reader {
    /// Where the next bytes go; never empty. Call only after [`step`](Self::step) asked for more.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if let Some((_, body)) = &mut self.body {
            return body.buffer.get_mut(body.filled..).unwrap_or_default();
        }
        if self.scratch.is_empty() {
            self.scratch = vec![0; SCRATCH];
        }
        if self.start > 0 {
            self.scratch.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.scratch.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes note of `count` bytes that were put into [`space`](Self::space).
    pub(super) fn filled(&mut self, count: usize) {
        match &mut self.body {
            Some((_, body)) => body.filled = (body.filled + count).min(body.buffer.len()),
            None => self.end = (self.end + count).min(self.scratch.len()),
        }
    }

    /// Whether no bytes wait for the rest of a frame.
    pub(super) fn is_between_frames(&self) -> bool {
        self.body.is_none() && self.start == self.end
    }

    /// The bytes that wait in the common room.
    pub(super) fn waiting(&self) -> &[u8] {
        self.scratch.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// The bytes of a [`Step::Here`].
    pub(super) fn payload(&self, range: Range<usize>) -> &[u8] {
        self.scratch.get(range).unwrap_or_default()
    }

    pub(super) fn step(&mut self, max_frame: u32) -> Result<Step, Violation> {
        if let Some((_, body)) = &self.body
            && body.filled < body.buffer.len()
        {
            return Ok(Step::More);
        }
        if let Some((header, body)) = self.body.take() {
            return Ok(Step::Own(header, body));
        }
        let Some(header) = self.waiting().first_chunk::<HEADER_LEN>() else {
            return Ok(Step::More);
        };
        let header = Header::decode(*header);
        let max_frame = if header.kind == Kind::Names as u8 {
            // Nobody is to need memory for more, before it has come or after.
            max_frame.min(MAX_HEAD as u32)
        } else {
            max_frame
        };
        if header.len > max_frame {
            return Err(Violation::FrameTooLarge {
                kind: header.kind,
                len: header.len,
                most: max_frame,
            });
        }
        let len = header.len as usize;
        let from = self.start + HEADER_LEN;
        if self.end - from >= len {
            self.start = from + len;
            return Ok(Step::Here(header, from..from + len));
        }
        if len >= OWN_BODY {
            return Ok(Step::Begins(header));
        }
        Ok(Step::More)
    }

    /// Goes on with a frame that [`step`](Self::step) said begins. Its payload is appended to
    /// `buffer`.
    pub(super) fn start_body(&mut self, header: Header, mut buffer: Vec<u8>) {
        let before = buffer.len();
        let here = self
            .scratch
            .get(self.start + HEADER_LEN..self.end)
            .unwrap_or_default();
        let filled = before + here.len();
        buffer.reserve_exact(header.len as usize);
        buffer.extend_from_slice(here);
        buffer.resize(before + header.len as usize, 0);
        self.start = 0;
        self.end = 0;
        self.body = Some((
            header,
            Body {
                buffer,
                before,
                filled,
            },
        ));
    }
}

/// The payload of a frame, wherever it lies.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Here(&'a [u8]),
    Own(Bytes),
}

impl Payload<'_> {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }

    /// The last `len` bytes as a message. A message that fills little of its memory would keep
    /// all of that alive, so those in the common room are copied.
    pub(super) fn message(&self, len: usize) -> Bytes {
        let from = self.as_slice().len().saturating_sub(len);
        match self {
            Self::Here(bytes) => Bytes::copy_from_slice(bytes.get(from..).unwrap_or_default()),
            Self::Own(bytes) if len < bytes.len() / 2 => {
                Bytes::copy_from_slice(bytes.get(from..).unwrap_or_default())
            }
            Self::Own(bytes) => bytes.slice(from..),
        }
    }
}
