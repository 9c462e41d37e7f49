//! The frames: their layout, and nothing of what they mean together.
//!
//! Every frame is an 8-byte header and a payload. The header has a fixed size and layout, not
//! variable-length integers: one bounds check finds a frame, the length can be patched in after
//! the payload was written, and six bytes more or less make no difference to the cost of a
//! system call. `docs/stdio-protocol.md` is the specification.

use super::head::Cursor;
pub use super::head::{OpenHead, StatusHead};
pub use super::header::{HEADER_LEN, Header, IGNORABLE, Kind, flags};
pub use super::limits::{MAX_ENTRIES, MAX_HEAD, MAX_PATH};
use super::names;
use super::violation::Violation;

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
    /// See [`Kind::Names`].
    Names {
        /// Each is its length in a byte and its text.
        names: &'a [u8],
    },
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
            | Self::Names { .. }
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
            Self::Names { names } => {
                out.extend_from_slice(names);
                (Kind::Names as u8, 0, 0)
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
        Self::decode_after(header, payload, "")
    }

    /// [`decode`](Self::decode) where a call of this path came before: most often it comes again, and to
    /// compare is cheaper than to see whether bytes are text.
    pub(super) fn decode_after(
        header: Header,
        payload: &'a [u8],
        path: &'a str,
    ) -> Result<Self, Violation> {
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
                    ..OpenHead::decode(&mut rest, path)?
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
            Kind::Names => {
                rest.limit(MAX_HEAD)?;
                names::check(&mut rest)?;
                Self::Names { names: payload }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_before_changes_nothing_but_the_work() {
        let open = |path: &[u8]| {
            let mut payload = vec![0, u8::try_from(path.len()).expect("short"), 0];
            payload.extend_from_slice(path);
            payload
        };
        for path in [
            &b"/a.B/C"[..],
            b"/a.B/D",
            b"/a.B",
            b"/a.B/C/",
            b"",
            b"/a.B/\xff",
        ] {
            let payload = open(path);
            let header = Header {
                len: u32::try_from(payload.len()).expect("short"),
                kind: Kind::Open as u8,
                stream: 0,
                flags: flags::OPENER,
            };
            for before in ["", "/a.B/C", "/a.B/D"] {
                let frame = Frame::decode_after(header, &payload, before);
                assert_eq!(frame, Frame::decode(header, &payload));
                match frame {
                    Ok(Frame::Open { head, .. }) => assert_eq!(head.path.as_bytes(), path),
                    other => {
                        let kind = Kind::Open as u8;
                        assert_eq!(other, Err(Violation::NotText { kind }));
                        assert_eq!(path, b"/a.B/\xff");
                    }
                }
            }
        }
    }
}
