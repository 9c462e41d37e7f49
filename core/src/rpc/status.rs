//! The outcome of a call.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::Metadata;

/// The status codes of gRPC, with its numbers.
///
/// Source: the gRPC project's `statuscodes` document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(
    clippy::exhaustive_enums,
    reason = "gRPC has these, and takes others for UNKNOWN"
)]
pub enum Code {
    /// Not an error.
    Ok = 0,
    /// The caller gave up.
    Cancelled = 1,
    /// An error without a better code, also what an unknown code number becomes.
    Unknown = 2,
    /// The request is wrong whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the call was done; it may still have had its effect.
    DeadlineExceeded = 4,
    /// What was asked for does not exist.
    NotFound = 5,
    /// What should be made exists.
    AlreadyExists = 6,
    /// The caller, who is known, may not do this.
    PermissionDenied = 7,
    /// Something is used up: quota, space, or a message over the size limit.
    ResourceExhausted = 8,
    /// The state of the system does not allow it.
    FailedPrecondition = 9,
    /// A conflict with other work; trying again at a higher level may help.
    Aborted = 10,
    /// Past the valid range.
    OutOfRange = 11,
    /// There is no such service or method.
    Unimplemented = 12,
    /// A bug on the other side, or a peer that broke the protocol.
    Internal = 13,
    /// The other side cannot be reached now: for a plugin, its process or connection is gone.
    Unavailable = 14,
    /// Data was lost or is corrupt.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Code {
    /// All codes in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of this number; [`Unknown`](Self::Unknown) for numbers gRPC does not define.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .unwrap_or(Self::Unknown)
    }

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The name the gRPC documents use, such as `NOT_FOUND`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a call ended, when it did not end well: a code, a text for people, and optionally machine
/// readable details and trailing metadata.
///
/// It is the error type of every generated method. A status is one pointer wide, so that
/// `Result<T, Status>` stays small on the path where all is well.
#[derive(Clone, PartialEq, Eq)]
pub struct Status(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    message: Cow<'static, str>,
    details: Bytes,
    metadata: Metadata,
    lost: bool,
    unsent: bool,
}

impl Status {
    /// A status with this code and text.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            details: Bytes::new(),
            metadata: Metadata::new(),
            lost: false,
            unsent: false,
        }))
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details as they travel: an encoded `google.rpc.Status`, empty if there are none.
    #[must_use]
    pub fn details(&self) -> &[u8] {
        &self.0.details
    }

    /// The same, shared and not copied.
    pub(super) fn details_bytes(&self) -> Bytes {
        self.0.details.clone()
    }

    /// The metadata that came, or will go, with the status.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The metadata, to add to it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.0.metadata
    }

    /// Whether this side made the status because the connection or the process is gone, in
    /// difference to an answer of the peer. A later call on the same channel may succeed if the
    /// process lives: see `Host::reconnect_within` of the crate `outboard`.
    #[must_use]
    pub fn is_connection_lost(&self) -> bool {
        self.0.lost
    }

    /// Whether it is certain that the other side has seen nothing of the call, since this side made the
    /// status before anything of it was sent: made again, the call happens once. Where this does not hold
    /// the call may have been sent, and may have had its effect.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.0.unsent
    }

    /// The same status, of a call of which nothing was sent.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.0.unsent = true;
        self
    }

    /// The same status, of a call of which something may have been sent: of one that was made again, say, where
    /// the other side may have seen it the first time.
    #[must_use]
    pub fn maybe_sent(mut self) -> Self {
        self.0.unsent = false;
        self
    }

    /// The same status with these details: an encoded `google.rpc.Status`.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.0.details = details.into();
        self
    }

    /// The same status with this metadata instead of its own.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.0.metadata = metadata;
        self
    }

    /// The status of calls whose connection is gone: [`Code::Unavailable`], marked so that
    /// [`is_connection_lost`](Self::is_connection_lost) holds.
    pub fn connection_lost(message: impl Into<Cow<'static, str>>) -> Self {
        let mut status = Self::new(Code::Unavailable, message);
        status.0.lost = true;
        status
    }
}

macro_rules! shorthands {
    ($($name:ident $code:ident;)*) => {
        /// One constructor per code an application has reason to use.
        impl Status {
            $(
                #[doc = concat!("A status with [`Code::", stringify!($code), "`].")]
                pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                    Self::new(Code::$code, message)
                }
            )*
        }
    };
}

shorthands! {
    cancelled Cancelled;
    unknown Unknown;
    invalid_argument InvalidArgument;
    deadline_exceeded DeadlineExceeded;
    not_found NotFound;
    already_exists AlreadyExists;
    permission_denied PermissionDenied;
    resource_exhausted ResourceExhausted;
    failed_precondition FailedPrecondition;
    aborted Aborted;
    out_of_range OutOfRange;
    unimplemented Unimplemented;
    internal Internal;
    unavailable Unavailable;
    data_loss DataLoss;
    unauthenticated Unauthenticated;
}

/// The text, and what else the status holds: what a `main` that returns it prints.
impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        if !self.0.details.is_empty() {
            write!(f, "; details: {:?}", self.0.details)?;
        }
        if !self.0.metadata.is_empty() {
            write!(f, "; metadata: {:?}", self.0.metadata)?;
        }
        Ok(())
    }
}

/// `NOT_FOUND: no such key`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.code)?;
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_unknown_ones_become_unknown() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), code);
        }
        assert_eq!(Code::from_number(17), Code::Unknown);
        assert_eq!(Code::from_number(u32::MAX), Code::Unknown);
    }

    #[test]
    fn a_result_with_a_status_stays_small() {
        assert_eq!(size_of::<Status>(), size_of::<usize>());
    }

    #[test]
    fn display_names_code_and_message() {
        assert_eq!(Status::not_found("no key").to_string(), "NOT_FOUND: no key");
        assert_eq!(Status::new(Code::Aborted, "").to_string(), "ABORTED");
    }

    #[test]
    fn debug_is_the_text_and_what_else_there_is() {
        let mut status = Status::not_found("no key");
        assert_eq!(format!("{status:?}"), "NOT_FOUND: no key");
        let inserted = status.metadata_mut().insert("retry-after", "3");
        inserted.expect("a good name");
        let text = format!("{:?}", status.with_details(&b"xyz"[..]));
        assert!(
            text.starts_with("NOT_FOUND: no key; details: b\"xyz\"; metadata: "),
            "{text}"
        );
        assert!(text.contains("retry-after"), "{text}");
    }
}
