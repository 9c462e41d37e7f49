//! What can be wrong with a side's TLS, each with what to do.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::{AlertDescription, CertificateError, Error};

/// Why a connection could not be secured, or does not stay so.
///
/// A secured stream's reads and writes fail with an [`io::Error`] that holds one of these, which
/// [`TlsError::of`] finds.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// What was to be a certificate is none.
    #[error(
        "expected one X.509 certificate, found {found}; it must come unchanged from the other side"
    )]
    NotACertificate {
        /// What it is instead.
        found: String,
    },
    /// What was to be a private key is none, or not that of the certificate.
    #[error(
        "expected the private key of the certificate, found {found}; the two belong together, as \
         Identity::generate_pem writes them"
    )]
    NotAKey {
        /// What it is instead. Nothing of a key.
        found: String,
    },
    /// The other side showed a certificate that is not the pinned one.
    #[error(
        "expected the certificate that the other side announced, found another: whoever answers here \
         is not the process that was started; look for a second process at this address"
    )]
    OtherCertificate,
    /// The other side showed the right certificate and does not have its key.
    #[error(
        "expected a signature by the key of the other side's certificate, found one by another key: \
         whoever answers here has read the certificate and is not the process that made it; look for a \
         second process at this address"
    )]
    WrongKey,
    /// The client showed no certificate.
    #[error(
        "expected the client's certificate, found none: it is not the process that was told to \
         connect here, or has TLS without AutoMTLS; turn AutoMTLS on or off on both sides"
    )]
    PeerShowedNone,
    /// The other side's certificate is no longer valid, by the application's own verifier.
    #[error(
        "expected a valid certificate, found one that has expired; renew it, or set the clock of this \
         machine"
    )]
    Expired,
    /// The other side's certificate is not valid yet, by the application's own verifier.
    #[error(
        "expected a valid certificate, found one that is not valid yet; set the clocks of both machines"
    )]
    NotYetValid,
    /// The application's own verifier refused the other side's certificate for another reason.
    #[error(
        "expected a certificate that this side's TLS configuration trusts, found one that it does not \
         ({0:?}); give it the other side's root, or use AutoMTLS on both sides"
    )]
    NotTrusted(CertificateError),
    /// The two sides agreed on no application protocol, or another.
    #[error(
        "expected the protocol {expected:?} to be agreed on (ALPN), found {found}; the other side must \
         offer it"
    )]
    NoProtocol {
        /// What is required.
        expected: &'static str,
        /// What came instead.
        found: String,
    },
    /// The other side answered with something that is not TLS.
    #[error(
        "expected TLS, found {found}: the other side talks without; turn TLS on or off on both sides"
    )]
    NotTls {
        /// The beginning of what it said.
        found: String,
    },
    /// The connection ended before it was secured.
    #[error(
        "expected a TLS handshake, found the end of the connection after {received} bytes: the other \
         side talks without TLS, refused it, or has ended; its log may tell"
    )]
    Ended {
        /// How many bytes had come until then.
        received: u64,
    },
    /// The connection ended without the message that says so.
    #[error(
        "expected the end of TLS, found the end of the connection: what came may lack its rest; the \
         other side has probably ended without closing"
    )]
    Truncated,
    /// The other side refused.
    #[error(
        "expected the other side to go on, found its alert {alert:?}{}; its log may tell more",
        hint(*alert)
    )]
    Refused {
        /// What it said.
        alert: AlertDescription,
    },
    /// The handshake holds more than any does.
    #[error("expected a TLS handshake of usual size, found one of more than {most} bytes")]
    TooLong {
        /// How much is kept.
        most: usize,
    },
    /// A [`Tls`](crate::Tls) without a client's configuration was to connect.
    #[error(
        "expected a TLS configuration for connecting, found one for accepting only; give `with_client` one"
    )]
    NoClientConfig,
    /// A [`Tls`](crate::Tls) without a server's configuration was to accept.
    #[error(
        "expected a TLS configuration for accepting, found one for connecting only; give `with_server` one"
    )]
    NoServerConfig,
    /// A server's name that cannot be one.
    #[error("expected a DNS name or an IP address as the server's name, found {found:?}")]
    NotAServerName {
        /// What was given.
        found: String,
    },
    /// The time that a certificate was to begin at cannot be said in one.
    #[error(
        "expected a time between 1970 and 9968 for a certificate's beginning, found {now:?}; set the clock"
    )]
    Clock {
        /// The time that was given.
        now: SystemTime,
    },
    /// A certificate could not be made.
    #[error("expected to make a certificate, found: {why}")]
    Generate {
        /// What the library said.
        why: String,
    },
    /// The connection below failed.
    #[error("expected a connection that works, found: {0}")]
    Io(Arc<io::Error>),
    /// Anything else that rustls found.
    #[error("expected valid TLS, found: {0}")]
    Other(Error),
}

fn hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => {
            ": by its clock our certificate is not valid; set the clocks of both machines"
        }
        AlertDescription::CertificateRequired => {
            ": it wants a certificate and was shown none; turn AutoMTLS on or off on both sides"
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            ": our certificate is not the one that it was told to expect"
        }
        AlertDescription::ProtocolVersion => ": no version of TLS suits both sides",
        _ => "",
    }
}

impl TlsError {
    /// The reason in an error of a secured stream, if TLS is what failed.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    pub(crate) fn generate(error: rcgen::Error) -> Self {
        Self::Generate {
            why: error.to_string(),
        }
    }

    /// What rustls means by `error`, where `alpn` is required.
    pub(crate) fn from_rustls(error: Error, alpn: Option<&'static str>) -> Self {
        match (error, alpn) {
            (Error::InvalidCertificate(why), _) => match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                CertificateError::Other(ref other) => match other.0.downcast_ref::<Self>() {
                    Some(ours) => ours.clone(),
                    None => Self::NotTrusted(why),
                },
                why => Self::NotTrusted(why),
            },
            (Error::NoCertificatesPresented, _) => Self::PeerShowedNone,
            (Error::NoApplicationProtocol, Some(expected)) => Self::NoProtocol {
                expected,
                found: "only others on the other side".to_owned(),
            },
            (Error::AlertReceived(AlertDescription::NoApplicationProtocol), Some(expected)) => {
                Self::NoProtocol {
                    expected,
                    found: "that the other side has none of ours".to_owned(),
                }
            }
            (Error::AlertReceived(alert), _) => Self::Refused { alert },
            (error, _) => Self::Other(error),
        }
    }
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        match Self::of(&error) {
            Some(ours) => ours.clone(),
            None => Self::Io(Arc::new(error)),
        }
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        let kind = match &error {
            TlsError::Io(error) => error.kind(),
            TlsError::Truncated | TlsError::Ended { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
