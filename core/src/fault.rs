//! A system error as the machines know it: told by the driver, comparable, without the handle.

use std::{fmt, io};

/// A system error that the driver met while carrying out an action.
///
/// [`std::io::Error`] can be neither cloned nor compared; this keeps what people and programs need
/// of it. [`io::ErrorKind`] is a plain enum: nothing here does IO.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The kind of error.
    pub kind: io::ErrorKind,
    /// The system's text for it, with any context that the driver has.
    pub message: String,
}

impl Fault {
    /// An error of no particular kind.
    pub fn other(message: impl fmt::Display) -> Self {
        Self {
            kind: io::ErrorKind::Other,
            message: message.to_string(),
        }
    }
}

impl From<&io::Error> for Fault {
    fn from(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}
