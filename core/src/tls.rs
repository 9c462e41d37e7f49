//! Why two sides did not agree on a secured connection, for programs to tell apart.

use crate::fault::Fault;

/// Why there is no TLS connection. The text beside it says the same to people, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsReason {
    /// What the other side announced as its certificate is none.
    NotACertificate,
    /// It showed another certificate than the one that it announced.
    OtherCertificate,
    /// It showed the right certificate and does not have its key.
    WrongKey,
    /// It showed no certificate, and one was required.
    NoCertificate,
    /// Its certificate has expired. Never with AutoMTLS, which does not look at dates.
    Expired,
    /// Its certificate is not valid yet. Never with AutoMTLS.
    NotYetValid,
    /// The application's own configuration does not trust its certificate.
    NotTrusted,
    /// The two agreed on no protocol for what is inside (ALPN, RFC 7301).
    NoProtocol,
    /// It talks without TLS.
    NotTls,
    /// It refused, by an alert.
    Refused,
    /// It hung up.
    Ended,
    /// It did not answer in time.
    TimedOut,
    /// Something else, which the text says.
    Other,
}

/// Why there is no TLS connection, in both forms.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
#[non_exhaustive]
pub struct TlsFault {
    /// For programs.
    pub reason: TlsReason,
    /// For people.
    pub fault: Fault,
}

impl TlsFault {
    /// Both forms of it.
    #[must_use]
    pub fn new(reason: TlsReason, fault: Fault) -> Self {
        Self { reason, fault }
    }
}
