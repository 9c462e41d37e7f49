//! Frames: a header of twelve bytes, and for data a payload.

use crate::violation::Violation;

/// The length of a frame's header.
pub const HEADER_LEN: usize = 12;

/// The only version there is.
const VERSION: u8 = 0;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes of a stream; the length is theirs.
    Data = 0,
    /// Credit for a stream; the length is by how much it grows.
    WindowUpdate = 1,
    /// A ping with SYN or its answer with ACK; the length is a value that comes back.
    Ping = 2,
    /// The session ends, or gets no new streams; the length is a code of [`away`].
    GoAway = 3,
}

/// Flags of a frame; several may be set.
pub mod flags {
    /// The stream begins.
    pub const SYN: u16 = 1;
    /// The stream is acknowledged.
    pub const ACK: u16 = 2;
    /// The sender sends no more data on the stream.
    pub const FIN: u16 = 4;
    /// The stream is given up in both directions.
    pub const RST: u16 = 8;
}

/// Codes of [`Kind::GoAway`].
pub mod away {
    /// No more streams are to be opened; those that are open go on.
    pub const NORMAL: u32 = 0;
    /// The session is over: the receiver broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// The session is over: the sender failed.
    pub const INTERNAL_ERROR: u32 = 2;
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// What it is about.
    pub kind: Kind,
    /// Bits of [`flags`].
    pub flags: u16,
    /// The stream; 0 for the session.
    pub stream: u32,
    /// A length, or what [`Kind`] says.
    pub len: u32,
}

impl Header {
    /// A header.
    #[must_use]
    pub fn new(kind: Kind, flags: u16, stream: u32, len: u32) -> Self {
        Self {
            kind,
            flags,
            stream,
            len,
        }
    }

    /// As it is sent.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = VERSION;
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.flags.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.to_be_bytes());
        bytes[8..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    /// As it came.
    ///
    /// # Errors
    /// [`Violation::Version`] or [`Violation::UnknownKind`].
    pub fn decode(bytes: [u8; HEADER_LEN]) -> Result<Self, Violation> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        if version != VERSION {
            return Err(Violation::Version { version });
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            kind => return Err(Violation::UnknownKind { kind }),
        };
        Ok(Self {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            len: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    pub(crate) fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_out_as_they_went_in() {
        let header = Header::new(Kind::WindowUpdate, flags::SYN, 5, 0x0102_0304);
        let bytes = header.encode();
        assert_eq!(bytes, [0, 1, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4]);
        assert_eq!(Header::decode(bytes), Ok(header));
        // Flags that nobody knows are no reason to end anything: Go does not look at them.
        let header = Header::new(Kind::Data, 0xfff0, 1, 0);
        assert_eq!(Header::decode(header.encode()), Ok(header));
    }

    #[test]
    fn other_versions_and_kinds_are_refused() {
        let mut bytes = Header::new(Kind::Ping, 0, 0, 0).encode();
        bytes[1] = 4;
        assert_eq!(
            Header::decode(bytes),
            Err(Violation::UnknownKind { kind: 4 })
        );
        bytes[0] = 1;
        assert_eq!(
            Header::decode(bytes),
            Err(Violation::Version { version: 1 })
        );
    }
}
