//! An encoded message on its way out.

use bytes::{BufMut, Bytes, BytesMut};

/// An encoded message with room in front for a transport's prefix.
///
/// gRPC puts five bytes before each message and the stdio transport a frame header. With the room
/// already in the same buffer a transport hands the system one piece instead of two, and nobody
/// copies the message.
#[derive(Clone, Debug)]
pub struct OutMessage(Repr);

#[derive(Clone, Debug)]
enum Repr {
    /// `HEADROOM` unused bytes, then the message.
    Fresh(BytesMut),
    /// The message behind a prefix of this length.
    Framed(Bytes, u8),
}

impl Default for OutMessage {
    fn default() -> Self {
        Self(Repr::Fresh(BytesMut::new()))
    }
}

impl OutMessage {
    /// The room in front of the message, in bytes: more than any prefix in use (a guess with slack).
    pub const HEADROOM: usize = 32;

    /// A message that `write` appends to a buffer with room for `length` bytes, which grows if that
    /// is not enough.
    ///
    /// # Panics
    /// If `write` takes something out of the buffer that was in it.
    #[must_use]
    #[inline]
    pub fn write(length: usize, write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut buffer = BytesMut::with_capacity(Self::HEADROOM + length);
        buffer.put_bytes(0, Self::HEADROOM);
        write(&mut buffer);
        assert!(buffer.len() >= Self::HEADROOM, "a message is appended");
        Self(Repr::Fresh(buffer))
    }

    /// Takes back what [`with_prefix`](Self::with_prefix) gave with a prefix of this length, for
    /// another attempt to send it.
    ///
    /// # Panics
    /// If the prefix is longer than [`HEADROOM`](Self::HEADROOM).
    #[must_use]
    pub fn from_prefixed(bytes: Bytes, prefix: usize) -> Self {
        assert!(prefix <= Self::HEADROOM, "a transport's prefix fits");
        Self(Repr::Framed(bytes, prefix as u8))
    }

    /// Copies a message that is already encoded.
    #[must_use]
    pub fn copy_from(message: &[u8]) -> Self {
        Self::write(message.len(), |buffer| buffer.put_slice(message))
    }

    /// The message without any prefix.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        let (bytes, start): (&[u8], usize) = match &self.0 {
            Repr::Fresh(buffer) => (buffer, Self::HEADROOM),
            Repr::Framed(bytes, prefix) => (bytes, usize::from(*prefix)),
        };
        bytes.get(start..).unwrap_or_default()
    }

    /// The length of the message in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
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
        let mut buffer = match self.0 {
            Repr::Fresh(buffer) => buffer,
            // The same message, by the same transport, once more.
            Repr::Framed(bytes, length) if bytes.get(..length.into()) == Some(prefix) => {
                return bytes;
            }
            Repr::Framed(..) => return Self::copy_from(self.as_slice()).with_prefix(prefix),
        };
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

    #[test]
    fn a_message_that_was_not_sent_is_framed_again() {
        let sent = OutMessage::copy_from(b"abc").with_prefix(b"12345");
        let back = || OutMessage::from_prefixed(sent.clone(), 5);
        assert_eq!((back().as_slice(), back().len()), (&b"abc"[..], 3));
        let again = back().with_prefix(b"12345");
        assert_eq!(
            (again.as_ref(), again.as_ptr()),
            (&b"12345abc"[..], sent.as_ptr())
        );
        assert_eq!(back().with_prefix(b"1").as_ref(), b"1abc");
        assert_eq!(back().into_bytes().as_ref(), b"abc");
    }
}
