//! An encoded message on its way out.

use bytes::{BufMut, Bytes, BytesMut};

/// An encoded message with room in front for a transport's prefix.
///
/// gRPC puts five bytes before each message and the stdio transport a frame header. With the room
/// already in the same buffer a transport hands the system one piece instead of two, and nobody
/// copies the message.
#[derive(Clone, Debug, Default)]
pub struct OutMessage {
    /// `HEADROOM` unused bytes, then the message.
    buffer: BytesMut,
}

impl OutMessage {
    /// The room in front of the message, in bytes: more than any prefix in use (a guess with slack).
    pub const HEADROOM: usize = 32;

    /// Encodes a protobuf message.
    #[must_use]
    pub fn encode(message: &impl prost::Message) -> Self {
        let mut buffer = BytesMut::with_capacity(Self::HEADROOM + message.encoded_len());
        buffer.put_bytes(0, Self::HEADROOM);
        // A BytesMut grows as needed, so encoding into it cannot run out of room.
        message.encode_raw(&mut buffer);
        Self { buffer }
    }

    /// Copies a message that is already encoded.
    #[must_use]
    pub fn copy_from(message: &[u8]) -> Self {
        let mut buffer = BytesMut::with_capacity(Self::HEADROOM + message.len());
        buffer.put_bytes(0, Self::HEADROOM);
        buffer.put_slice(message);
        Self { buffer }
    }

    /// The message without any prefix.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.buffer.get(Self::HEADROOM..).unwrap_or_default()
    }

    /// The length of the message in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len().saturating_sub(Self::HEADROOM)
    }

    /// Whether the message has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message without the room in front of it.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.with_prefix(&[])
    }

    /// The prefix and the message as one piece.
    ///
    /// # Panics
    /// If the prefix is longer than [`HEADROOM`](Self::HEADROOM).
    #[must_use]
    pub fn with_prefix(self, prefix: &[u8]) -> Bytes {
        let mut buffer = self.buffer;
        if buffer.is_empty() {
            // `default()` makes a message without a buffer.
            buffer.put_bytes(0, Self::HEADROOM);
        }
        let start = Self::HEADROOM
            .checked_sub(prefix.len())
            .expect("a transport's prefix fits the headroom");
        buffer[start..Self::HEADROOM].copy_from_slice(prefix);
        let _room = buffer.split_to(start);
        buffer.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_stands_right_before_the_message() {
        let message = OutMessage::copy_from(b"abc");
        assert_eq!((message.as_slice(), message.len()), (&b"abc"[..], 3));
        assert_eq!(message.clone().with_prefix(b"12345").as_ref(), b"12345abc");
        assert_eq!(message.into_bytes().as_ref(), b"abc");
        assert_eq!(OutMessage::default().with_prefix(b"1").as_ref(), b"1");
        assert!(OutMessage::default().is_empty());
    }
}
