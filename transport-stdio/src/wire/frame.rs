//! The frames: their layout, and nothing of what they mean together.
//!
//! Every frame is an 8-byte header and a payload. The header has a fixed size and layout, not
//! variable-length integers: one bounds check finds a frame, the length can be patched in after
//! the payload was written, and six bytes more or less make no difference to the cost of a
//! system call. `docs/stdio-protocol.md` is the specification.

use super::head::Cursor;
pub use super::head::{OpenHead, StatusHead};
use super::violation::Violation;

/// The size of the header in front of each payload, in bytes.
pub const HEADER_LEN: usize = 8;
/// The most bytes of a frame that are not the message: a limit of the protocol, so that the
/// memory for calls that have no message yet is bounded by their number. Everything that small
/// fits the smallest frame size a peer may set (16,384) beside a length.
pub const MAX_HEAD: usize = 16_000;
/// The most entries in one list of metadata. In memory an entry takes some 90 bytes beside its name
/// and value, on the wire as few as 4, so without a limit a list could take twenty times its
/// length.
pub const MAX_ENTRIES: usize = 128;
/// The longest path of a method, in bytes: bounds the table of names (a guess with slack; gRPC
/// paths are tens of bytes).
pub const MAX_PATH: usize = 1_024;
/// In the place of a method's number: the name that follows is not to be kept.
pub const UNNUMBERED: u16 = u16::MAX;

/// The bit in a frame's type that lets a receiver who does not know the type skip the frame.
pub const IGNORABLE: u8 = 0x80;

/// The flags of a frame's header.
pub mod flags {
    /// The sender of the frame is the side that opened the stream.
    pub const OPENER: u8 = 0x01;
    /// The opener sends no more messages on the stream.
    pub const END: u8 = 0x02;
    /// The payload ends in a whole message.
    pub const INLINE: u8 = 0x04;
    /// The payload ends in the length of a message that follows in chunks.
    pub const LARGE: u8 = 0x08;
    /// The frame's head came in parts before it; of a part, that it is the first.
    pub const PARTS: u8 = 0x10;
}

/// The types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Opens a stream: method, deadline, metadata, perhaps the first message.
    Open = 0x01,
    /// A message, or the announcement of a large one.
    Message = 0x02,
    /// A piece of a large message.
    Chunk = 0x03,
    /// The opener sends no more messages.
    End = 0x04,
    /// The acceptor's metadata before its messages.
    Headers = 0x05,
    /// The acceptor's last frame: how the call ended, perhaps with the one response message.
    Status = 0x06,
    /// The opener gives the call up.
    Cancel = 0x07,
    /// More messages may be sent on a stream.
    Credit = 0x08,
    /// The announced large message may be sent.
    Grant = 0x09,
    /// A piece of a head that does not fit a frame.
    Part = 0x0a,
    /// Asks for a [`Pong`](Self::Pong) with the same content.
    Ping = 0x20,
    /// Answers a [`Ping`](Self::Ping).
    Pong = 0x21,
    /// The sender accepts no more streams on its main channel.
    GoAway = 0x22,
    /// The sender's last frame.
    Close = 0x23,
    /// More messages may be sent on the connection.
    ConnectionCredit = 0x24,
}

impl Kind {
    /// The type with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0x01 => Self::Open,
            0x02 => Self::Message,
            0x03 => Self::Chunk,
            0x04 => Self::End,
            0x05 => Self::Headers,
            0x06 => Self::Status,
            0x07 => Self::Cancel,
            0x08 => Self::Credit,
            0x09 => Self::Grant,
            0x0a => Self::Part,
            0x20 => Self::Ping,
            0x21 => Self::Pong,
            0x22 => Self::GoAway,
            0x23 => Self::Close,
            0x24 => Self::ConnectionCredit,
            _ => return None,
        })
    }

    /// The flags this type may carry.
    fn allowed_flags(self) -> u8 {
        use flags::{END, INLINE, LARGE, OPENER, PARTS};
        match self {
            Self::Open => OPENER | END | INLINE | LARGE | PARTS,
            Self::Message => OPENER | END | INLINE | LARGE,
            Self::Chunk => OPENER | END,
            Self::Status => INLINE | PARTS,
            Self::End | Self::Cancel | Self::Credit | Self::Grant => OPENER,
            Self::Part => OPENER | PARTS,
            Self::Headers => PARTS,
            Self::Ping | Self::Pong | Self::GoAway | Self::Close | Self::ConnectionCredit => 0,
        }
    }

    /// Whether only the opener of a stream may send it.
    fn opener_only(self) -> bool {
        matches!(self, Self::Open | Self::End | Self::Cancel)
    }

    /// Whether it concerns the connection and no stream.
    fn connection_level(self) -> bool {
        self as u8 >= Self::Ping as u8
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The length of the payload in bytes; 24 bits on the wire.
    pub len: u32,
    /// The type's number, known or not.
    pub kind: u8,
    /// The stream; 24 bits on the wire, 0 for frames of the connection.
    pub stream: u32,
    /// See [`flags`].
    pub flags: u8,
}

impl Header {
    /// Reads a header.
    #[must_use]
    pub fn decode(bytes: [u8; HEADER_LEN]) -> Self {
        let [l0, l1, l2, kind, s0, s1, s2, flags] = bytes;
        Self {
            len: u32::from_le_bytes([l0, l1, l2, 0]),
            kind,
            stream: u32::from_le_bytes([s0, s1, s2, 0]),
            flags,
        }
    }

    /// Writes a header. Only the lower 24 bits of length and stream are sent.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, _] = self.len.to_le_bytes();
        let [s0, s1, s2, _] = self.stream.to_le_bytes();
        [l0, l1, l2, self.kind, s0, s1, s2, self.flags]
    }

    /// Checks the flags of a frame of this type.
    pub(super) fn check_flags(self, kind: Kind) -> Result<(), Violation> {
        let unknown = self.flags & !kind.allowed_flags() != 0;
        let of_opener = kind.opener_only() || self.flags & flags::END != 0;
        if unknown || of_opener && self.flags & flags::OPENER == 0 {
            return Err(Violation::BadFlags {
                kind: self.kind,
                flags: self.flags,
            });
        }
        Ok(())
    }
}

/// The message part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// None.
    Absent,
    /// A whole message.
    Inline(&'a [u8]),
    /// The length of a message that follows in chunks, once granted.
    Large(u32),
}

/// A frame whose parts lie in a buffer of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Fields are explained at `Kind`, `OpenHead`, `StatusHead` and `Body`.
pub enum Frame<'a> {
    /// See [`Kind::Open`].
    Open {
        stream: u32,
        end: bool,
        head: OpenHead<'a>,
        body: Body<'a>,
    },
    /// See [`Kind::Message`].
    Message {
        stream: u32,
        opener: bool,
        end: bool,
        body: Body<'a>,
    },
    /// See [`Kind::Chunk`].
    Chunk {
        stream: u32,
        opener: bool,
        end: bool,
        data: &'a [u8],
    },
    /// See [`Kind::End`].
    End { stream: u32 },
    /// See [`Kind::Headers`].
    Headers {
        stream: u32,
        /// The entries; none if they came in parts.
        metadata: &'a [u8],
        parts: bool,
    },
    /// See [`Kind::Part`].
    Part {
        stream: u32,
        opener: bool,
        first: bool,
        data: &'a [u8],
    },
    /// See [`Kind::Status`].
    Status {
        stream: u32,
        head: StatusHead<'a>,
        body: Body<'a>,
    },
    /// See [`Kind::Cancel`].
    Cancel { stream: u32 },
    /// See [`Kind::Credit`].
    Credit {
        stream: u32,
        opener: bool,
        amount: u32,
    },
    /// See [`Kind::Grant`].
    Grant { stream: u32, opener: bool },
    /// See [`Kind::Ping`].
    Ping { content: [u8; 8] },
    /// See [`Kind::Pong`].
    Pong { content: [u8; 8] },
    /// See [`Kind::GoAway`].
    GoAway { text: &'a str },
    /// See [`Kind::Close`].
    Close { code: u16, text: &'a str },
    /// See [`Kind::ConnectionCredit`].
    ConnectionCredit { amount: u32 },
    /// A frame of unknown type that may be skipped.
    Ignored { kind: u8 },
}

impl<'a> Frame<'a> {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open { body, .. } | Self::Message { body, .. } | Self::Status { body, .. } => {
                if let Body::Inline(message) = body {
                    self.encode_head(out, message.len());
                    out.extend_from_slice(message);
                } else {
                    self.encode_head(out, 0);
                }
            }
            Self::Chunk { data, .. } | Self::Part { data, .. } => {
                self.encode_head(out, data.len());
                out.extend_from_slice(data);
            }
            Self::End { .. }
            | Self::Headers { .. }
            | Self::Cancel { .. }
            | Self::Credit { .. }
            | Self::Grant { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::GoAway { .. }
            | Self::Close { .. }
            | Self::ConnectionCredit { .. }
            | Self::Ignored { .. } => self.encode_head(out, 0),
        }
    }

    /// Appends the frame without the bytes of its inline message or chunk, of which there will be
    /// `body_len`.
    pub(crate) fn encode_head(&self, out: &mut Vec<u8>, body_len: usize) {
        use flags::{END, INLINE, LARGE, OPENER, PARTS};
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        let body_flag = |body: &Body<'_>| match body {
            Body::Absent => 0,
            Body::Inline(_) => INLINE,
            Body::Large(_) => LARGE,
        };
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let (kind, stream, flags) = match self {
            Self::Open {
                stream,
                end,
                head,
                body,
            } => {
                head.encode(out);
                encode_large(body, out);
                let flags = OPENER | bit(*end, END) | body_flag(body) | bit(head.parts, PARTS);
                (Kind::Open as u8, *stream, flags)
            }
            Self::Message {
                stream,
                opener,
                end,
                body,
            } => {
                encode_large(body, out);
                let flags = bit(*opener, OPENER) | bit(*end, END) | body_flag(body);
                (Kind::Message as u8, *stream, flags)
            }
            Self::Chunk {
                stream,
                opener,
                end,
                data: _,
            } => (
                Kind::Chunk as u8,
                *stream,
                bit(*opener, OPENER) | bit(*end, END),
            ),
            Self::End { stream } => (Kind::End as u8, *stream, OPENER),
            Self::Headers {
                stream,
                metadata,
                parts,
            } => {
                out.extend_from_slice(metadata);
                (Kind::Headers as u8, *stream, bit(*parts, PARTS))
            }
            Self::Status { stream, head, body } => {
                head.encode(out);
                let flags = body_flag(body) | bit(head.parts, PARTS);
                (Kind::Status as u8, *stream, flags)
            }
            Self::Part {
                stream,
                opener,
                first,
                data: _,
            } => (
                Kind::Part as u8,
                *stream,
                bit(*opener, OPENER) | bit(*first, PARTS),
            ),
            Self::Cancel { stream } => (Kind::Cancel as u8, *stream, OPENER),
            Self::Credit {
                stream,
                opener,
                amount,
            } => {
                out.extend_from_slice(&amount.to_le_bytes());
                (Kind::Credit as u8, *stream, bit(*opener, OPENER))
            }
            Self::Grant { stream, opener } => (Kind::Grant as u8, *stream, bit(*opener, OPENER)),
            Self::Ping { content } => {
                out.extend_from_slice(content);
                (Kind::Ping as u8, 0, 0)
            }
            Self::Pong { content } => {
                out.extend_from_slice(content);
                (Kind::Pong as u8, 0, 0)
            }
            Self::GoAway { text } => {
                out.extend_from_slice(text.as_bytes());
                (Kind::GoAway as u8, 0, 0)
            }
            Self::Close { code, text } => {
                out.extend_from_slice(&code.to_le_bytes());
                out.extend_from_slice(text.as_bytes());
                (Kind::Close as u8, 0, 0)
            }
            Self::ConnectionCredit { amount } => {
                out.extend_from_slice(&amount.to_le_bytes());
                (Kind::ConnectionCredit as u8, 0, 0)
            }
            Self::Ignored { kind } => (*kind | IGNORABLE, 0, 0),
        };
        let len = out.len() - start - HEADER_LEN + body_len;
        let header = Header {
            len: u32::try_from(len).unwrap_or(u32::MAX),
            kind,
            stream,
            flags,
        };
        if let Some(place) = out.get_mut(start..start + HEADER_LEN) {
            place.copy_from_slice(&header.encode());
        }
    }

    /// Reads the payload of a frame with this header. The message, if there is one, is always the
    /// tail of the payload.
    ///
    /// # Errors
    /// A [`Violation`] if the frame is malformed or of an unknown type that may not be skipped.
    pub fn decode(header: Header, payload: &'a [u8]) -> Result<Self, Violation> {
        use flags::{END, INLINE, LARGE, OPENER, PARTS};
        let Some(kind) = Kind::from_number(header.kind) else {
            if header.kind & IGNORABLE != 0 {
                return Ok(Self::Ignored { kind: header.kind });
            }
            return Err(Violation::UnknownFrame { kind: header.kind });
        };
        header.check_flags(kind)?;
        let bad_flags = Violation::BadFlags {
            kind: header.kind,
            flags: header.flags,
        };
        let stream = header.stream;
        let opener = header.flags & OPENER != 0;
        let end = header.flags & END != 0;
        let parts = header.flags & PARTS != 0;
        if kind.connection_level() && stream != 0 {
            return Err(Violation::WrongStream {
                kind: header.kind,
                stream,
            });
        }
        let mut rest = Cursor {
            kind,
            rest: payload,
        };
        let body_of = |rest: &mut Cursor<'a>| match header.flags & (INLINE | LARGE) {
            0 => rest.empty().map(|()| Body::Absent),
            INLINE => Ok(Body::Inline(std::mem::take(&mut rest.rest))),
            // The last message of a stream is marked on its last chunk.
            LARGE if !end => {
                let body = Body::Large(rest.u32()?);
                rest.empty().map(|()| body)
            }
            _ => Err(bad_flags.clone()),
        };
        let frame = match kind {
            Kind::Open => Self::Open {
                stream,
                end,
                head: OpenHead {
                    parts,
                    ..OpenHead::decode(&mut rest)?
                },
                body: body_of(&mut rest)?,
            },
            Kind::Message => {
                let body = body_of(&mut rest)?;
                if body == Body::Absent {
                    return Err(bad_flags);
                }
                Self::Message {
                    stream,
                    opener,
                    end,
                    body,
                }
            }
            Kind::Chunk => {
                if payload.is_empty() {
                    return Err(Violation::EmptyChunk { stream });
                }
                Self::Chunk {
                    stream,
                    opener,
                    end,
                    data: payload,
                }
            }
            Kind::End => {
                rest.empty()?;
                Self::End { stream }
            }
            Kind::Headers => {
                rest.limit(MAX_HEAD)?;
                Self::Headers {
                    stream,
                    metadata: payload,
                    parts,
                }
            }
            Kind::Status => Self::Status {
                stream,
                head: StatusHead {
                    parts,
                    ..StatusHead::decode(&mut rest)?
                },
                body: body_of(&mut rest)?,
            },
            Kind::Part => {
                if payload.is_empty() {
                    return Err(Violation::EmptyChunk { stream });
                }
                Self::Part {
                    stream,
                    opener,
                    first: parts,
                    data: payload,
                }
            }
            Kind::Cancel => {
                rest.empty()?;
                Self::Cancel { stream }
            }
            Kind::Credit => {
                let amount = rest.u32()?;
                rest.empty()?;
                Self::Credit {
                    stream,
                    opener,
                    amount,
                }
            }
            Kind::Grant => {
                rest.empty()?;
                Self::Grant { stream, opener }
            }
            Kind::Ping | Kind::Pong => {
                let content = rest.array()?;
                rest.empty()?;
                if kind == Kind::Ping {
                    Self::Ping { content }
                } else {
                    Self::Pong { content }
                }
            }
            Kind::GoAway => {
                rest.limit(MAX_HEAD)?;
                Self::GoAway {
                    text: rest.text(payload.len())?,
                }
            }
            Kind::Close => {
                rest.limit(MAX_HEAD)?;
                let code = rest.u16()?;
                let len = rest.rest.len();
                Self::Close {
                    code,
                    text: rest.text(len)?,
                }
            }
            Kind::ConnectionCredit => {
                let amount = rest.u32()?;
                rest.empty()?;
                Self::ConnectionCredit { amount }
            }
        };
        Ok(frame)
    }
}

fn encode_large(body: &Body<'_>, out: &mut Vec<u8>) {
    if let Body::Large(total) = body {
        out.extend_from_slice(&total.to_le_bytes());
    }
}
