//! The stdio transport by hand: its preface and frames, as `docs/stdio-protocol.md` has them and
//! without the code of the transport.
#![allow(missing_docs, reason = "the names are those of the document")]

/// A preface's magic bytes and version.
pub const MAGIC: &[u8] = b"\x89OBS\r\n\x1a\n\x02\x01";

/// A preface of version 2.0 that sets nothing.
pub const PREFACE: &[u8] = b"\x89OBS\r\n\x1a\n\x02\x00\x00\x00";

pub const OPEN: u8 = 0x01;
pub const MESSAGE: u8 = 0x02;
pub const CHUNK: u8 = 0x03;
pub const CANCEL: u8 = 0x07;
pub const CREDIT: u8 = 0x08;
pub const GRANT: u8 = 0x09;
pub const PING: u8 = 0x20;
pub const CLOSE: u8 = 0x23;
pub const CONNECTION_CREDIT: u8 = 0x24;

/// The flag of frames of the side that opened the stream.
pub const OPENER: u8 = 0x01;
/// The flag of the opener's last frame.
pub const END: u8 = 0x02;
/// The flag of a frame that ends in a message.
pub const INLINE: u8 = 0x04;

/// The code of CLOSE for a peer that broke a rule.
pub const VIOLATION: u16 = 1;

/// A frame's head, with a length that need not be true.
#[must_use]
pub fn head(length: u32, kind: u8, stream: u32, flags: u8) -> [u8; 8] {
    let [a, b, c, _] = length.to_le_bytes();
    let [d, e, f, _] = stream.to_le_bytes();
    [a, b, c, kind, d, e, f, flags]
}

/// A frame.
///
/// # Panics
/// If its payload is longer than its head can say.
#[must_use]
pub fn frame(kind: u8, stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small");
    [&head(length, kind, stream, flags), payload].concat()
}
