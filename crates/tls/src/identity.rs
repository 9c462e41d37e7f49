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
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize as _, Zeroizing};

use crate::TlsError;

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
/// written out on the way there, that is overwritten here. Nothing prints it.
#[derive(Clone)]
pub struct Identity {
    pub(crate) key: Arc<CertifiedKey>,
}

impl Identity {
    /// Makes one that is valid from 30 seconds before `now`, for 30 years, for both roles.
    ///
    /// # Errors
    ///
    /// When no key can be made, or `now` is before 1970 or too late for a certificate to say.
    pub fn generate(kind: KeyKind, now: SystemTime) -> Result<Self, TlsError> {
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
        let der = Zeroizing::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            pair.serialized_der().to_vec(),
        )));
        pair.zeroize();
        let certificate = made.map_err(TlsError::generate)?.der().clone();
        let key = any_supported_type(&der).map_err(TlsError::Other)?;
        Ok(Self {
            key: Arc::new(CertifiedKey::new(vec![certificate], key)),
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
        let text = STANDARD.encode(self.der());
        let mut pem = String::with_capacity(text.len() + text.len() / 64 + 64);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
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
