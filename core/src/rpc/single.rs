//! The rule of exactly one message.

use bytes::Bytes;

use super::{Side, Status};

/// A direction of a call that has exactly one message: it is known only when nothing follows.
///
/// ```text
///         push            finish
/// empty --------> full ------------> the message
///   |              |
///   | finish       | push
///   v              v
///  none           second:  INTERNAL, "cardinality violation"
/// ```
#[derive(Debug)]
pub struct Single<M = Bytes> {
    sender: Side,
    message: Option<M>,
}

impl<M> Single<M> {
    /// The one request of a unary or server-streaming call.
    #[must_use]
    pub const fn request() -> Self {
        Self {
            sender: Side::Caller,
            message: None,
        }
    }

    /// The one response of a unary or client-streaming call.
    #[must_use]
    pub const fn response() -> Self {
        Self {
            sender: Side::Server,
            message: None,
        }
    }

    /// A message has come.
    ///
    /// # Errors
    /// `INTERNAL` if it is the second.
    pub fn push(&mut self, message: M) -> Result<(), Status> {
        match self.message.replace(message) {
            None => Ok(()),
            Some(_) => Err(second(self.sender)),
        }
    }

    /// Whether a message has come, so that only the end is missing.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.message.is_some()
    }

    /// Nothing follows: gives the message.
    ///
    /// # Errors
    /// `INTERNAL` if there was none.
    pub fn finish(&mut self) -> Result<M, Status> {
        self.message.take().ok_or_else(|| none(self.sender))
    }
}

/// The status of a direction that ended without its one message.
pub(super) fn none(sender: Side) -> Status {
    violation(
        sender,
        match sender {
            Side::Caller => "the requests ended without any",
            Side::Server => "the call ended well without any",
        },
    )
}

/// The status of a direction with more than its one message.
pub(super) fn second(sender: Side) -> Status {
    violation(sender, "a second one followed")
}

fn violation(sender: Side, found: &str) -> Status {
    Status::internal(format!(
        "cardinality violation: expected one {sender} message, but {found}; do both sides declare \
         the method alike in the .proto?",
        sender = match sender {
            Side::Caller => "request",
            Side::Server => "response",
        }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_one_and_two() {
        for new in [Single::request, Single::response] {
            let mut single = new();
            assert!(!single.is_full());
            let none = single.finish().expect_err("none").to_string();
            assert!(none.contains("without any"), "{none}");
            assert_eq!(single.push(Bytes::from_static(b"1")), Ok(()));
            assert!(single.is_full());
            let second = single.push(Bytes::from_static(b"2"));
            let second = second.expect_err("a second").to_string();
            assert!(second.contains("a second one followed"), "{second}");
            let mut single = new();
            assert_eq!(single.push(Bytes::from_static(b"1")), Ok(()));
            assert_eq!(single.finish(), Ok(Bytes::from_static(b"1")));
        }
    }
}
