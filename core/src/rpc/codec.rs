//! How messages become bytes.

use std::fmt;

use bytes::Bytes;

use super::{OutMessage, Status};

/// How messages of a type become bytes, and bytes messages.
///
/// Calls are made and served *with* a codec: generated code names one, and no interface, client or
/// implementation does. A codec is a value without state, so that it costs nothing and can be inlined.
/// It is not a trait of the messages, since those of other crates, such as `google.protobuf.Timestamp`,
/// could not implement one of ours.
pub trait Codec<T>: Copy + Send + Sync + 'static {
    /// Encodes a message.
    fn encode(message: &T) -> OutMessage;

    /// Decodes what [`encode`](Self::encode) of the other side has made.
    ///
    /// # Errors
    /// [`DecodeError`] if that is no message of this type.
    fn decode(bytes: Bytes) -> Result<T, DecodeError>;
}

/// protobuf, for the messages that [prost](https://docs.rs/prost) generates.
///
/// Messages nested deeper than 100 are refused where they are decoded, so that nothing that comes from
/// a peer is. What a program builds by itself it may nest as deeply as it likes, and prost encodes it by
/// recursion, as Rust drops it: on a stack of 2 MiB, 12,000 `google.protobuf.ListValue` in each other
/// could be both encoded and dropped in an optimised build, and 20,000 neither; without optimisation
/// 3,000 and 5,000. (x86-64; the time grows with the square of the depth, to a second for the 12,000.)
/// A message cannot be asked for its depth beforehand.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it holds nothing")]
pub struct Prost;

impl<T: prost::Message + Default> Codec<T> for Prost {
    #[inline]
    fn encode(message: &T) -> OutMessage {
        // The buffer grows as needed, so encoding into it cannot run out of room.
        OutMessage::write(message.encoded_len(), |buffer| message.encode_raw(buffer))
    }

    #[inline]
    fn decode(bytes: Bytes) -> Result<T, DecodeError> {
        T::decode(bytes).map_err(|error| {
            let reason = error.to_string();
            // prost keeps the kind of the error to itself.
            if reason.contains("recursion limit") {
                DecodeError::new(format!(
                    "its messages are nested deeper than 100, the limit for decoding; send a \
                     flatter one ({reason})"
                ))
            } else {
                DecodeError::new(format!("{reason}; do both sides use the same .proto?"))
            }
        })
    }
}

/// Why bytes are no message of the expected type.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError {
    reason: Box<str>,
}

impl DecodeError {
    /// An error for this reason, which completes "cannot decode the message: …".
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into().into();
        Self { reason }
    }

    /// The status of a call whose `what`, such as its request, could not be decoded.
    #[must_use]
    pub fn status(&self, what: &str) -> Status {
        // The code is that of grpc-go.
        Status::internal(format!("cannot decode the {what}: {self}"))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The text, as of all errors.
impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::rpc::{Code, Streaming};

    /// A message and a codec that know nothing of protobuf.
    #[derive(Debug, PartialEq)]
    struct Line(String);

    #[derive(Clone, Copy)]
    struct Utf8;

    impl Codec<Line> for Utf8 {
        fn encode(message: &Line) -> OutMessage {
            OutMessage::copy_from(message.0.as_bytes())
        }

        fn decode(bytes: Bytes) -> Result<Line, DecodeError> {
            let text = String::from_utf8(bytes.into());
            text.map(Line)
                .map_err(|error| DecodeError::new(error.to_string()))
        }
    }

    #[test]
    fn a_stream_of_messages_of_any_kind_is_encoded_by_its_codec() {
        let lines = ["a", "b"].map(|line| Line(line.to_owned()));
        let mut messages = Streaming::iter(lines).into_messages(Utf8);
        let mut cx = Context::from_waker(Waker::noop());
        for line in ["a", "b"] {
            let Poll::Ready(Some(Ok(message))) = messages.as_mut().poll_next(&mut cx) else {
                panic!("{line} is missing");
            };
            assert_eq!(message.as_slice(), line.as_bytes());
        }
        assert!(matches!(
            messages.as_mut().poll_next(&mut cx),
            Poll::Ready(None)
        ));
    }

    #[test]
    fn what_cannot_be_decoded_says_what_and_why() {
        let error = Utf8::decode(Bytes::from_static(b"\xff")).expect_err("it is no text");
        let status = error.status("request");
        assert_eq!(status.code(), Code::Internal);
        let told = format!("cannot decode the request: {error}");
        assert_eq!(status.message(), told);
    }

    #[test]
    fn prost_decodes_what_it_has_encoded_and_nothing_else() {
        let encoded = Prost::encode(&"text".to_owned());
        let bytes = Bytes::copy_from_slice(encoded.as_slice());
        let decoded: Result<String, _> = Prost::decode(bytes);
        assert_eq!(decoded, Ok("text".to_owned()));
        let decoded: Result<String, _> = Prost::decode(Bytes::from_static(b"\xff"));
        let told = decoded.expect_err("it is no message").to_string();
        assert!(
            told.ends_with("do both sides use the same .proto?"),
            "{told}"
        );
    }
}
