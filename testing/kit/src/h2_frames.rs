//! HTTP/2 by hand: its preface and frames (RFC 9113), and header blocks that need no table.
#![allow(missing_docs, reason = "the names are those of the RFC")]

use std::io::{self, Read};

use bytes::Bytes;
use futures_io::AsyncRead;
use futures_util::io::AsyncReadExt as _;

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// The flag of SETTINGS and PING that answer.
pub const ACK: u8 = 1;
/// The flag of HEADERS and CONTINUATION after which no CONTINUATION comes.
pub const END_HEADERS: u8 = 4;

/// How long a frame's head is.
pub const HEAD: usize = 9;

/// A frame's head, with a length that need not be true.
#[must_use]
pub fn head(length: u32, kind: u8, flags: u8, stream: u32) -> [u8; HEAD] {
    let [_, a, b, c] = length.to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// A frame, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    /// SETTINGS of these numbers and values.
    #[must_use]
    pub fn settings(entries: &[(u16, u32)]) -> Self {
        let entry = |(id, value): &(u16, u32)| {
            let [a, b] = id.to_be_bytes();
            let [c, d, e, f] = value.to_be_bytes();
            [a, b, c, d, e, f]
        };
        let payload: Vec<u8> = entries.iter().flat_map(entry).collect();
        Self::new(SETTINGS, 0, 0, payload)
    }

    /// # Panics
    /// If its payload is longer than its head can say.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("small");
        let mut bytes = head(length, self.kind, self.flags, self.stream).to_vec();
        bytes.extend(&self.payload);
        bytes
    }

    fn of_head(head: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = head;
        Self {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload: vec![0; u32::from_be_bytes([0, a, b, c]) as usize],
        }
    }

    /// The next frame, `None` at the end of the stream.
    pub async fn read(end: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = [0; HEAD];
        end.read_exact(&mut head).await.ok()?;
        let mut frame = Self::of_head(head);
        end.read_exact(&mut frame.payload).await.ok()?;
        Some(frame)
    }

    /// The same of a stream that blocks.
    ///
    /// # Errors
    /// Those of the stream, and its end.
    pub fn read_blocking(stream: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; HEAD];
        stream.read_exact(&mut head)?;
        let mut frame = Self::of_head(head);
        stream.read_exact(&mut frame.payload)?;
        Ok(frame)
    }

    /// The next frame of one of these kinds on this stream.
    pub async fn find(
        end: &mut (impl AsyncRead + Unpin),
        kinds: &[u8],
        stream: u32,
    ) -> Option<Self> {
        loop {
            let frame = Self::read(end).await?;
            if kinds.contains(&frame.kind) && frame.stream == stream {
                return Some(frame);
            }
        }
    }
}

/// A header block of literals that need no table (RFC 7541, section 6.2.2).
///
/// # Panics
/// If one is too long to say its length in a byte.
#[must_use]
pub fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
            block.push(length.expect("below 127"));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The headers of a gRPC request; `authority` as given, or none.
#[must_use]
pub fn request_block(authority: Option<&str>, path: &str) -> Vec<u8> {
    let mut fields = vec![(":method", "POST"), (":scheme", "http"), (":path", path)];
    if let Some(authority) = authority {
        fields.push((":authority", authority));
    }
    fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    header_block(&fields)
}

/// A gRPC message behind its prefix.
#[must_use]
pub fn framed(message: &[u8]) -> Bytes {
    let mut bytes = outboard_core::grpc::prefix(message.len()).to_vec();
    bytes.extend_from_slice(message);
    bytes.into()
}
