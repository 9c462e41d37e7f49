//! The certificate that one side makes for itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
    PKCS_ED25519, date_time_ymd,
};
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Pinned, TlsError};

/// The name that go-plugin's clients ask for, whatever they connect to.
pub(crate) const NAME: &str = "localhost";
/// As long as a Go host's clock may be behind ours, and what Go itself does.
const BEFORE: Duration = Duration::from_secs(30);
/// As go-plugin: 262,980 hours, which is 30 years.
const AFTER: Duration = Duration::from_secs(262_980 * 60 * 60);
/// 9999-01-01, for an end that a certificate can still say.
const LAST: Duration = Duration::from_secs(253_370_764_800);

/// What kind of key a certificate made here has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA over P-256: the fastest to make and to use.
    #[default]
    P256,
    /// ECDSA over P-384.
    P384,
    /// ECDSA over P-521, what go-plugin makes.
    P521,
    /// Ed25519.
    Ed25519,
}

/// A certificate for one process' life, with its key.
///
/// The key is in memory only, in the hands of aws-lc, which overwrites what it frees. Where it is
/// written out on the way there, that is overwritten here. Nothing prints it, and it cannot be had out of
/// this again: whoever wants to hand it on has it made [as text](Self::generate_pem).
#[derive(Clone)]
pub struct Identity {
    pub(crate) key: Arc<CertifiedKey>,
}

/// A key and its certificate, PKCS#8 and X.509. The key is overwritten when this is dropped.
struct Made {
    key: Zeroizing<PrivateKeyDer<'static>>,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// Makes one that is valid from 30 seconds before `now`, for 30 years, for both roles.
    ///
    /// # Errors
    ///
    /// When no key can be made, or `now` is before 1970 or too late for a certificate to say.
    pub fn generate(kind: KeyKind, now: SystemTime) -> Result<Self, TlsError> {
        let Made { key, certificate } = make(kind, now)?;
        Self::of(vec![certificate], &key)
    }

    /// Makes one as text, for [`from_pem`](Self::from_pem), so that another process can have the same:
    /// certificate and private key, PEM. Whoever reads it can be the host, or the plugin, whose it is.
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// use outboard_tls::{Identity, KeyKind};
    ///
    /// let text = Identity::generate_pem(KeyKind::P256, SystemTime::now())?;
    /// let here = Identity::from_pem(&text)?;
    /// let there = Identity::from_pem(&text)?;
    /// assert_eq!(here.der(), there.der());
    /// # Ok::<(), outboard_tls::TlsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`generate`](Self::generate).
    pub fn generate_pem(kind: KeyKind, now: SystemTime) -> Result<Zeroizing<String>, TlsError> {
        let Made { key, certificate } = make(kind, now)?;
        let length = certificate.len() + key.secret_der().len();
        // All the room that it takes: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * length + 512));
        push_pem(&mut text, "CERTIFICATE", &certificate);
        push_pem(&mut text, "PRIVATE KEY", key.secret_der());
        Ok(text)
    }

    /// The one in such a text: the first certificate and the first private key of it.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotACertificate`] or [`TlsError::NotAKey`] unless there is one of each that belong
    /// together.
    pub fn from_pem(text: &str) -> Result<Self, TlsError> {
        let certificate = Pinned::from_pem(text)?;
        let not_a_key = |found: &str| TlsError::NotAKey {
            found: found.to_owned(),
        };
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            // Its own words may hold some of the key.
            .map_err(|_| not_a_key("none in the text"))?;
        let key = Zeroizing::new(key);
        let certificate = CertificateDer::from(certificate.der().to_vec());
        let identity = Self::of(vec![certificate], &key)
            .map_err(|_| not_a_key("one of a kind that is not known here"))?;
        match identity.key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(identity)
            }
            Err(_) => Err(not_a_key("that of another certificate")),
        }
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Self, TlsError> {
        let key = any_supported_type(key).map_err(TlsError::Other)?;
        Ok(Self {
            key: Arc::new(CertifiedKey::new(chain, key)),
        })
    }

    /// The certificate, as field six of the handshake line carries it (there in base64).
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |der| der.as_ref())
    }

    /// The certificate, as `PLUGIN_CLIENT_CERT` carries it.
    #[must_use]
    pub fn pem(&self) -> String {
        let mut pem = String::new();
        push_pem(&mut pem, "CERTIFICATE", self.der());
        pem
    }
}

fn make(kind: KeyKind, now: SystemTime) -> Result<Made, TlsError> {
    let now = now
        .duration_since(UNIX_EPOCH)
        .ok()
        .filter(|since| *since < LAST.saturating_sub(AFTER))
        .ok_or(TlsError::Clock { now })?;
    let algorithm = match kind {
        KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
        KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
        KeyKind::P521 => &PKCS_ECDSA_P521_SHA512,
        KeyKind::Ed25519 => &PKCS_ED25519,
    };
    let mut pair = KeyPair::generate_for(algorithm).map_err(TlsError::generate)?;
    let made = params(now).and_then(|params| params.self_signed(&pair));
    let key = Zeroizing::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        pair.serialized_der().to_vec(),
    )));
    pair.zeroize();
    let certificate = made.map_err(TlsError::generate)?.der().clone();
    Ok(Made { key, certificate })
}

/// Adds a section of PEM, in lines of 64 characters.
fn push_pem(to: &mut String, what: &str, der: &[u8]) {
    let text = Zeroizing::new(STANDARD.encode(der));
    to.extend(["-----BEGIN ", what, "-----\n"]);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        to.extend([line, "\n"]);
        rest = more;
    }
    to.extend(["-----END ", what, "-----\n"]);
}

/// As go-plugin's own, of which Go needs the name, the dates and usages that allow both roles.
fn params(now: Duration) -> Result<CertificateParams, rcgen::Error> {
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::new([NAME.to_owned()])?;
    params.not_before = epoch + now.saturating_sub(BEFORE);
    params.not_after = epoch + (now + AFTER);
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = &mut params.distinguished_name;
    name.push(DnType::OrganizationName, "outboard");
    name.push(DnType::CommonName, NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyAgreement,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    Ok(params)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.der().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Zeroizing<String> {
        Identity::generate_pem(KeyKind::Ed25519, SystemTime::now()).expect("a key can be made")
    }

    /// The two sections.
    fn sections(text: &str) -> (&str, &str) {
        let key = text.find("-----BEGIN PRIVATE KEY").expect("a key");
        text.split_at(key)
    }

    #[test]
    fn the_text_of_each_kind_is_read_again() {
        for kind in [
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
            KeyKind::Ed25519,
        ] {
            let text = Identity::generate_pem(kind, SystemTime::now()).expect("a key");
            let identity = Identity::from_pem(&text).expect("it was just written");
            let (certificate, key) = sections(&text);
            assert_eq!(identity.pem(), certificate, "{kind:?}");
            // In another order as well.
            let other = Identity::from_pem(&format!("{key}{certificate}")).expect("the same");
            assert_eq!(other.der(), identity.der(), "{kind:?}");
        }
    }

    #[test]
    fn what_lacks_one_of_both_or_mixes_them_is_refused() {
        let (one, other) = (made(), made());
        let (certificate, key) = sections(&one);
        let error = Identity::from_pem(key).expect_err("no certificate");
        assert!(matches!(error, TlsError::NotACertificate { .. }), "{error}");
        for (text, found) in [
            (certificate.to_owned(), "none in the text"),
            (
                format!("{certificate}{}", sections(&other).1),
                "that of another certificate",
            ),
        ] {
            let error = Identity::from_pem(&text).expect_err("it does not fit");
            let told = error.to_string();
            assert!(
                matches!(error, TlsError::NotAKey { .. }) && told.contains(found),
                "{told}"
            );
        }
    }
}
