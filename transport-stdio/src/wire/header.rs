//! The header of each frame: its length, type, stream and flags.

use super::violation::Violation;

/// The size of the header in front of each payload, in bytes.
pub const HEADER_LEN: usize = 8;
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
    /// The names under which the sender provides interfaces. Older peers skip it.
    Names = 0x80,
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
            0x80 => Self::Names,
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
            Self::Ping
            | Self::Pong
            | Self::GoAway
            | Self::Close
            | Self::ConnectionCredit
            | Self::Names => 0,
        }
    }

    /// Whether only the opener of a stream may send it.
    fn opener_only(self) -> bool {
        matches!(self, Self::Open | Self::End | Self::Cancel)
    }

    /// Whether it concerns the connection and no stream.
    pub(super) fn connection_level(self) -> bool {
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
