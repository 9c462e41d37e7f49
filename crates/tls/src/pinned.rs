//! The certificate that the other side is known by.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::server::ParsedCertificate;

use crate::TlsError;

/// Far above what anybody makes: Go's are 600 bytes, and RSA's largest 3 KiB.
const MOST: usize = 64 * 1024;

/// The other side's certificate, which alone is accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct Pinned {
    der: Arc<CertificateDer<'static>>,
}

impl Pinned {
    /// The certificate in field six of a plugin's handshake line, out of its base64.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotACertificate`] unless it is exactly one X.509 certificate of at most 64 KiB.
    pub fn from_der(der: &[u8]) -> Result<Self, TlsError> {
        if der.len() > MOST {
            return Err(too_long(der.len()));
        }
        let der = CertificateDer::from(der.to_vec());
        if let Err(error) = ParsedCertificate::try_from(&der) {
            let why = match error {
                rustls::Error::InvalidCertificate(why) => format!("{why:?}"),
                other => other.to_string(),
            };
            let length = der.len();
            return Err(TlsError::NotACertificate {
                found: format!("{length} bytes that do not parse ({why})"),
            });
        }
        Ok(Self { der: Arc::new(der) })
    }

    /// The certificate in `PLUGIN_CLIENT_CERT`.
    ///
    /// Of several the first counts. Go would accept each of them, but a host has one.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotACertificate`] unless there is one in at most 64 KiB of text.
    pub fn from_pem(text: &str) -> Result<Self, TlsError> {
        if text.len() > MOST {
            return Err(too_long(text.len()));
        }
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| {
            // Its own text repeats what may be long and anything.
            let why = match error {
                pem::Error::NoItemsFound => "no such section",
                pem::Error::MissingSectionEnd { .. } => "its section has no end",
                pem::Error::IllegalSectionStart { .. } => "its section begins in no known way",
                _ => "its section is not base64",
            };
            TlsError::NotACertificate {
                found: format!("{} bytes of text without one ({why})", text.len()),
            }
        })?;
        Self::from_der(&der)
    }

    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

fn too_long(length: usize) -> TlsError {
    TlsError::NotACertificate {
        found: format!("{length} bytes, where at most {MOST} are read"),
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned")
            .field("certificate", &self.der.len())
            .finish_non_exhaustive()
    }
}
