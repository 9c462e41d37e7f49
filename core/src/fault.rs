//! A system error as the machines know it: told by the driver, comparable, without the handle.

use std::{fmt, io};

/// A system error that the driver met while carrying out an action.
///
/// [`std::io::Error`] can be neither cloned nor compared; this keeps what people and programs need
/// of it. [`io::ErrorKind`] is a plain enum: nothing here does IO.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Fault {
    /// The kind of error.
    pub kind: io::ErrorKind,
    /// The system's text for it, with any context that the driver has.
    pub message: String,
}

impl Fault {
    /// An error of this kind, with this text.
    pub fn new(kind: io::ErrorKind, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { kind, message }
    }

    /// An error of no particular kind.
    pub fn other(message: impl fmt::Display) -> Self {
        Self::new(io::ErrorKind::Other, message)
    }
}

impl From<&io::Error> for Fault {
    fn from(error: &io::Error) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}
