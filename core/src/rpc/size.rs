//! The limits on the size of a message, and whose they are.

use super::Status;

/// The two sides of a call. Either end of a connection can be both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that made the call: it sends requests.
    Caller,
    /// The one that answers it: it sends responses.
    Server,
}

/// The largest message that one side of a call sends or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SizeLimit {
    /// The size in bytes.
    pub bytes: usize,
    /// Whose limit it is.
    pub side: Side,
}

/// A message is over the limit of one of the sides.
///
/// Its text reads the same wherever it gets to: it says whose limit it was by the side of the call,
/// and not as "this" or "the other".
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {} of {length} bytes is over the limit of {limit} bytes of the side that {}; \
     raise max_message_size there",
    self.message(),
    self.role()
)]
pub struct TooLarge {
    /// The size of the message in bytes, as far as it was announced.
    pub length: u64,
    /// The limit in bytes.
    pub limit: u64,
    /// Whose limit it is.
    pub whose: Side,
    /// Who sent the message.
    pub sender: Side,
}

impl TooLarge {
    fn message(&self) -> &'static str {
        match self.sender {
            Side::Caller => "request",
            Side::Server => "response",
        }
    }

    fn role(&self) -> &'static str {
        match self.whose {
            Side::Caller => "makes the call",
            Side::Server => "serves it",
        }
    }
}

impl From<TooLarge> for Status {
    fn from(error: TooLarge) -> Self {
        Self::resource_exhausted(error.to_string())
    }
}

impl Side {
    /// The side at the other end of the call.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Server,
            Self::Server => Self::Caller,
        }
    }
}

impl SizeLimit {
    /// A limit of the side that makes calls.
    #[must_use]
    pub fn of_caller(bytes: usize) -> Self {
        let side = Side::Caller;
        Self { bytes, side }
    }

    /// A limit of the side that answers calls.
    #[must_use]
    pub fn of_server(bytes: usize) -> Self {
        let side = Side::Server;
        Self { bytes, side }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_whose_limit_it_was() {
        let text = |whose, sender| {
            let error = TooLarge {
                length: 9,
                limit: 8,
                whose,
                sender,
            };
            Status::from(error).message().to_owned()
        };
        use Side::{Caller, Server};
        for (whose, sender, what, of) in [
            (
                Caller,
                Caller,
                "the request of 9 bytes",
                "that makes the call",
            ),
            (
                Caller,
                Server,
                "the response of 9 bytes",
                "that makes the call",
            ),
            (Server, Caller, "the request of 9 bytes", "that serves it"),
            (Server, Server, "the response of 9 bytes", "that serves it"),
        ] {
            let text = text(whose, sender);
            assert!(text.contains(what) && text.contains(of), "{text}");
            assert!(text.contains("limit of 8 bytes"), "{text}");
        }
    }
}
