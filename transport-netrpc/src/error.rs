//! Why a call has no reply.

use std::time::Duration;

use outboard_core::fault::Fault;

/// Why a call has no reply.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The peer answered with an error, which in net/rpc is a text and nothing else.
    #[error("{method}: {text}")]
    Answered {
        /// The method.
        method: String,
        /// The peer's words.
        text: String,
    },
    /// The argument cannot be sent. Nothing was, and the stream goes on.
    #[error("the argument of {method}, a {kind}, cannot be sent: {error}")]
    Argument {
        /// The method.
        method: String,
        /// The type of the argument.
        kind: &'static str,
        /// Why.
        error: outboard_gob::Error,
    },
    /// The peer's reply is not what was expected. The stream goes on.
    #[error(
        "the reply of {method} is none that fits: expected a {kind}, and the peer sent a {sent}: {error}"
    )]
    Reply {
        /// The method.
        method: String,
        /// The type that was expected.
        kind: &'static str,
        /// The shape of what was sent, in Go's words.
        sent: String,
        /// Why that does not fit.
        error: outboard_gob::Error,
    },
    /// Decoding the reply panicked, which is code of its type. The stream goes on.
    #[error("the reply of {method} was to become a {kind}, which {text}")]
    Panicked {
        /// The method.
        method: String,
        /// The type that was expected.
        kind: &'static str,
        /// What the panic said.
        text: String,
    },
    /// The stream ended before the answer came. The peer may have begun with the call.
    #[error("no answer to {method}: {fault}")]
    Lost {
        /// The method.
        method: String,
        /// How it ended.
        fault: Fault,
    },
    /// No answer within the time that was given. The peer does not learn of it: it goes on, and its
    /// answer is skipped.
    #[error(
        "no answer to {method} within {after:?}; net/rpc has no deadlines, so the peer goes on with it"
    )]
    TimedOut {
        /// The method.
        method: String,
        /// The time.
        after: Duration,
    },
}

/// What a method fails with, for interfaces that have no error of their own: in net/rpc that is a text.
///
/// ```
/// use outboard_transport_netrpc::Error;
///
/// fn get(key: &str) -> Result<Vec<u8>, Error> {
///     Err(Error::new(format!("there is no {key}")))
/// }
/// # let _ = get("x");
/// ```
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The method failed, in the words of its implementation.
    #[error("{0}")]
    Text(String),
    /// There is no answer of the method, or none that can be read.
    #[error(transparent)]
    Call(CallError),
}

impl Error {
    /// With these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Answered { text, .. } => Self::Text(text),
            error => Self::Call(error),
        }
    }
}

/// So that a method that uses the broker can pass on why that failed.
impl From<BrokerError> for Error {
    fn from(error: BrokerError) -> Self {
        Self::Text(error.to_string())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Why a broker's stream was not had.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Somebody accepts on the id already: a mistake of the caller.
    #[error("broker id {id} is being accepted already; take a fresh one with next_id")]
    AlreadyAccepting {
        /// The id.
        id: u32,
    },
    /// Nobody has dialled the id.
    #[error("nobody has dialled broker id {id} within {after:?}")]
    NotDialled {
        /// The id.
        id: u32,
        /// The time that was given.
        after: Duration,
    },
    /// The peer closed the stream: nobody accepted on the id within the five seconds that it waits, or
    /// somebody has had that id.
    #[error("the peer closed the stream to broker id {id}: nobody accepts on it there")]
    Closed {
        /// The id.
        id: u32,
    },
    /// The peer does not accept on the id.
    #[error(
        "the peer did not accept on broker id {id} within {after:?}; it must accept on the id that it \
         passed, and each accept takes one stream"
    )]
    NotAccepted {
        /// The id.
        id: u32,
        /// The time that was given.
        after: Duration,
    },
    /// The peer answered with another id.
    #[error("the peer answered the dial of broker id {id} with {found}")]
    WrongId {
        /// The id.
        id: u32,
        /// What came.
        found: u32,
    },
    /// The connection ended.
    #[error("broker id {id} cannot be reached: {fault}")]
    Lost {
        /// The id.
        id: u32,
        /// How.
        fault: Fault,
    },
}

outboard_core::debug_as_text!(CallError, Error, BrokerError);
