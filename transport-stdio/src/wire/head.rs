//! The parts of frames that stand before a message.

use super::header::Kind;
use super::limits::{MAX_HEAD, MAX_PATH};
use super::violation::Violation;

/// What a call begins with, as it travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHead<'a> {
    /// The method: `/package.Service/Method`.
    pub path: &'a str,
    /// The channel; 0 is the main one.
    pub channel: u32,
    /// How long the call may take, in nanoseconds.
    pub timeout: Option<u64>,
    /// The metadata's entries, encoded; see [`metadata`](super::metadata).
    pub metadata: &'a [u8],
    /// The metadata came in parts before the frame.
    pub parts: bool,
}

/// How a call ended, as it travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusHead<'a> {
    /// The status code's number, as gRPC has them; 0 is OK.
    pub code: u8,
    /// The call was not looked at, so it can be made again safely.
    pub refused: bool,
    /// Headers that were not sent in a frame of their own, encoded.
    pub headers: &'a [u8],
    /// Trailers, encoded.
    pub trailers: &'a [u8],
    /// The text for people.
    pub text: &'a str,
    /// The details: an encoded `google.rpc.Status`.
    pub details: &'a [u8],
    /// A head in the long form came in parts before the frame, and counts in place of this one but
    /// for code and `refused`.
    pub parts: bool,
}

mod open_bits {
    pub(super) const CHANNEL: u8 = 0x01;
    pub(super) const TIMEOUT: u8 = 0x02;
    pub(super) const METADATA: u8 = 0x04;
    pub(super) const ALL: u8 = 0x07;
}

mod status_bits {
    pub(super) const HEADERS: u8 = 0x01;
    pub(super) const TRAILERS: u8 = 0x02;
    pub(super) const TEXT: u8 = 0x04;
    pub(super) const DETAILS: u8 = 0x08;
    pub(super) const REFUSED: u8 = 0x10;
    pub(super) const ALL: u8 = 0x1f;
}

/// Whether the lengths of blocks have 16 or 32 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Short,
    Long,
}

fn encode_long_block(bytes: &[u8], out: &mut Vec<u8>) {
    // The limits of the core are far below.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn encode_block(bytes: &[u8], out: &mut Vec<u8>) {
    // Blocks are at most MAX_HEAD long, which their makers check.
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

impl<'a> OpenHead<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            bit(self.channel != 0, open_bits::CHANNEL)
                | bit(self.timeout.is_some(), open_bits::TIMEOUT)
                | bit(!self.metadata.is_empty(), open_bits::METADATA),
        );
        encode_block(self.path.as_bytes(), out);
        if self.channel != 0 {
            out.extend_from_slice(&self.channel.to_le_bytes());
        }
        if let Some(timeout) = self.timeout {
            out.extend_from_slice(&timeout.to_le_bytes());
        }
        if !self.metadata.is_empty() {
            encode_block(self.metadata, out);
        }
    }

    /// Its length on the wire, in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        let block = |len: usize| 2 + len;
        1 + block(self.path.len())
            + if self.channel == 0 { 0 } else { 4 }
            + self.timeout.map_or(0, |_| 8)
            + if self.metadata.is_empty() {
                0
            } else {
                block(self.metadata.len())
            }
    }

    /// `last` is the path that may come again.
    pub(super) fn decode(rest: &mut Cursor<'a>, last: &'a str) -> Result<Self, Violation> {
        let before = rest.rest.len();
        let bits = rest.bits(open_bits::ALL)?;
        let len = usize::from(rest.u16()?);
        if len > MAX_PATH {
            return Err(Violation::PathTooLong { len });
        }
        let mut head = Self {
            path: rest.text_or(len, last)?,
            ..Self::default()
        };
        if bits & open_bits::CHANNEL != 0 {
            head.channel = rest.u32()?;
        }
        if bits & open_bits::TIMEOUT != 0 {
            head.timeout = Some(u64::from_le_bytes(rest.array()?));
        }
        if bits & open_bits::METADATA != 0 {
            head.metadata = rest.block()?;
        }
        rest.head_limit(before)?;
        Ok(head)
    }
}

impl<'a> StatusHead<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.encode_as(Form::Short, out);
    }

    /// The long form, which travels in parts.
    pub(super) fn encode_long(&self, out: &mut Vec<u8>) {
        self.encode_as(Form::Long, out);
    }

    fn encode_as(&self, form: Form, out: &mut Vec<u8>) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            bit(!self.headers.is_empty(), status_bits::HEADERS)
                | bit(!self.trailers.is_empty(), status_bits::TRAILERS)
                | bit(!self.text.is_empty(), status_bits::TEXT)
                | bit(!self.details.is_empty(), status_bits::DETAILS)
                | bit(self.refused, status_bits::REFUSED),
        );
        out.push(self.code);
        for block in [
            self.headers,
            self.trailers,
            self.text.as_bytes(),
            self.details,
        ] {
            match form {
                _ if block.is_empty() => {}
                Form::Short => encode_block(block, out),
                Form::Long => encode_long_block(block, out),
            }
        }
    }

    /// Its length on the wire in the short form, in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        let block = |len: usize| if len == 0 { 0 } else { 2 + len };
        2 + block(self.headers.len())
            + block(self.trailers.len())
            + block(self.text.len())
            + block(self.details.len())
    }

    pub(super) fn decode(rest: &mut Cursor<'a>) -> Result<Self, Violation> {
        let before = rest.rest.len();
        let head = Self::decode_as(Form::Short, rest)?;
        rest.head_limit(before)?;
        Ok(head)
    }

    /// Reads the long form, which is all that came in parts.
    pub(super) fn decode_long(bytes: &'a [u8]) -> Result<Self, Violation> {
        let mut rest = Cursor {
            kind: Kind::Part,
            rest: bytes,
        };
        let head = Self::decode_as(Form::Long, &mut rest)?;
        rest.empty()?;
        Ok(head)
    }

    fn decode_as(form: Form, rest: &mut Cursor<'a>) -> Result<Self, Violation> {
        let bits = rest.bits(status_bits::ALL)?;
        let [code] = rest.array()?;
        let mut head = Self {
            code,
            refused: bits & status_bits::REFUSED != 0,
            ..Self::default()
        };
        if bits & status_bits::HEADERS != 0 {
            head.headers = rest.block_as(form)?;
        }
        if bits & status_bits::TRAILERS != 0 {
            head.trailers = rest.block_as(form)?;
        }
        if bits & status_bits::TEXT != 0 {
            let len = rest.len_as(form)?;
            head.text = rest.text(len)?;
        }
        if bits & status_bits::DETAILS != 0 {
            head.details = rest.block_as(form)?;
        }
        Ok(head)
    }
}

/// What is left of a payload.
pub(super) struct Cursor<'a> {
    pub(super) kind: Kind,
    pub(super) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) =
            self.rest
                .split_at_checked(len)
                .ok_or_else(|| Violation::Truncated {
                    kind: self.kind as u8,
                    missing: len.saturating_sub(self.rest.len()),
                })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Violation> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn block(&mut self) -> Result<&'a [u8], Violation> {
        self.block_as(Form::Short)
    }

    fn block_as(&mut self, form: Form) -> Result<&'a [u8], Violation> {
        let len = self.len_as(form)?;
        self.take(len)
    }

    fn len_as(&mut self, form: Form) -> Result<usize, Violation> {
        Ok(match form {
            Form::Short => self.u16()?.into(),
            Form::Long => self.u32()? as usize,
        })
    }

    pub(super) fn text(&mut self, len: usize) -> Result<&'a str, Violation> {
        let kind = self.kind as u8;
        std::str::from_utf8(self.take(len)?).map_err(|_| Violation::NotText { kind })
    }

    /// Text that is likely to be this.
    fn text_or(&mut self, len: usize, likely: &'a str) -> Result<&'a str, Violation> {
        if len == likely.len()
            && let Some(after) = self.rest.strip_prefix(likely.as_bytes())
        {
            self.rest = after;
            return Ok(likely);
        }
        self.text(len)
    }

    pub(super) fn bits(&mut self, known: u8) -> Result<u8, Violation> {
        let [bits] = self.array()?;
        if bits & !known != 0 {
            return Err(Violation::UnknownBits {
                kind: self.kind as u8,
                bits,
            });
        }
        Ok(bits)
    }

    pub(super) fn empty(&self) -> Result<(), Violation> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Violation::TrailingBytes {
            kind: self.kind as u8,
            extra: self.rest.len(),
        })
    }

    pub(super) fn limit(&self, most: usize) -> Result<(), Violation> {
        if self.rest.len() <= most {
            return Ok(());
        }
        Err(Violation::HeadTooLong {
            kind: self.kind as u8,
            len: self.rest.len(),
            most,
        })
    }

    /// Checks that what was read since `before` bytes were left is not too long.
    pub(super) fn head_limit(&self, before: usize) -> Result<(), Violation> {
        let len = before - self.rest.len();
        if len <= MAX_HEAD {
            return Ok(());
        }
        Err(Violation::HeadTooLong {
            kind: self.kind as u8,
            len,
            most: MAX_HEAD,
        })
    }
}
