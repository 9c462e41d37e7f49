//! How a session or a stream ends.

use std::io;
use std::sync::Arc;

use crate::frame::away;
use crate::violation::Violation;

/// How a session ended, or why it opens no more streams.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer closed the connection.
    #[error("the yamux session is over: the peer closed the connection{}", if *.within_frame { " in the middle of a frame" } else { "" })]
    Closed {
        /// Whether a frame had begun to come.
        within_frame: bool,
    },
    /// The peer broke the protocol.
    #[error("the yamux session is over: the peer broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The peer takes no more streams (0), says that this side broke the protocol (1) or that it has
    /// failed (2 and others); see [`away`].
    #[error("the peer sent a yamux go-away, code {0} ({text})", text = away_text(*.0))]
    GoAway(u32),
    /// The peer did not answer a ping in time.
    #[error("the yamux session is over: the peer did not answer a ping within {limit:?}")]
    PingTimeout {
        /// What it had.
        limit: std::time::Duration,
    },
    /// The peer did not acknowledge a stream in time.
    #[error(
        "the yamux session is over: the peer did not acknowledge stream {stream} within {limit:?}"
    )]
    OpenTimeout {
        /// Which.
        stream: u32,
        /// What it had.
        limit: std::time::Duration,
    },
    /// The connection took none of what waited to be written.
    #[error(
        "the yamux session is over: nothing could be written for {limit:?}; the peer does not read"
    )]
    WriteTimeout {
        /// For how long that may be.
        limit: std::time::Duration,
    },
    /// The connection broke.
    #[error("the yamux session is over: the connection broke: {0}")]
    Io(Arc<io::Error>),
    /// All numbers for streams are used up.
    #[error(
        "this side has opened 2^31 streams, and there are no numbers for more; open a new session"
    )]
    Exhausted,
    /// This side ended it, for the reason given.
    #[error("{0}")]
    Ended(Arc<str>),
}

fn away_text(code: u32) -> &'static str {
    match code {
        away::NORMAL => "it takes no more streams",
        away::PROTOCOL_ERROR => "it says that this side broke the protocol",
        away::INTERNAL_ERROR => "it failed",
        _ => "a code that is not known",
    }
}

impl SessionError {
    /// Ended by this side because of `why`, which is to say it all.
    pub fn ended(why: impl Into<Arc<str>>) -> Self {
        Self::Ended(why.into())
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<SessionError> for io::Error {
    fn from(error: SessionError) -> Self {
        let kind = match &error {
            SessionError::Closed { .. } | SessionError::GoAway(_) => io::ErrorKind::ConnectionReset,
            SessionError::Violation(_) => io::ErrorKind::InvalidData,
            SessionError::PingTimeout { .. }
            | SessionError::OpenTimeout { .. }
            | SessionError::WriteTimeout { .. } => io::ErrorKind::TimedOut,
            SessionError::Io(error) => error.kind(),
            SessionError::Exhausted | SessionError::Ended(_) => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}

/// Why a stream cannot be read or written any more.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The session is over.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The peer gave the stream up.
    #[error("the peer reset yamux stream {0}")]
    Reset(u32),
    /// This side gave it up since the peer did not finish it.
    #[error(
        "yamux stream {stream} was reset: the peer did not finish it within {limit:?} after this side did"
    )]
    CloseTimeout {
        /// Which.
        stream: u32,
        /// How long the peer had.
        limit: std::time::Duration,
    },
    /// It is written to after it was closed.
    #[error("yamux stream {0} was closed by this side and takes no more data")]
    Finished(u32),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Session(error) => return error.into(),
            StreamError::Reset(_) => io::ErrorKind::ConnectionReset,
            StreamError::CloseTimeout { .. } => io::ErrorKind::TimedOut,
            StreamError::Finished(_) => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}
