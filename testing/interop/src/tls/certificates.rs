//! Certificates for tests.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

/// A directory of certificates with their keys.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
    authority: Certified,
}

/// What a certificate is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The kind of its key.
    pub key: &'static SignatureAlgorithm,
    /// The years between whose beginnings it is valid.
    pub years: (i32, i32),
    /// Whose it is by its own words; signed by itself without.
    pub issuer: Option<&'a Certified>,
    /// Whether it may be another's issuer, as Go's may.
    pub authority: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            key: &PKCS_ECDSA_P256_SHA256,
            years: (2020, 2120),
            issuer: None,
            authority: true,
        }
    }
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Certified {
    params: CertificateParams,
    pair: KeyPair,
    path: PathBuf,
    /// The certificate as text.
    pub pem: String,
    /// The certificate.
    pub der: CertificateDer<'static>,
}

impl Certificates {
    /// A new directory, with an authority for those that are signed.
    ///
    /// # Panics
    /// If there is no room for one.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("tls").expect("a directory");
        let authority = Certified::make(dir.path(), "authority", Wanted::default());
        Self { dir, authority }
    }

    /// What the signed ones come from.
    #[must_use]
    pub fn authority(&self) -> &Certified {
        &self.authority
    }

    /// A certificate of the authority's, for TLS of an application's own.
    #[must_use]
    pub fn signed(&self, name: &str) -> Certified {
        let wanted = Wanted {
            issuer: Some(&self.authority),
            authority: false,
            ..Wanted::default()
        };
        self.make(name, wanted)
    }

    /// A certificate signed by itself, as AutoMTLS has them.
    #[must_use]
    pub fn alone(&self, name: &str) -> Certified {
        self.make(name, Wanted::default())
    }

    /// A certificate that is like this.
    #[must_use]
    pub fn make(&self, name: &str, wanted: Wanted<'_>) -> Certified {
        Certified::make(self.dir.path(), name, wanted)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Certified {
    fn make(dir: &Path, name: &str, wanted: Wanted<'_>) -> Self {
        let pair = KeyPair::generate_for(wanted.key).expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let (from, to) = wanted.years;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        params
            .distinguished_name
            .push(DnType::OrganizationName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if wanted.authority {
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let made = match wanted.issuer {
            None => params.self_signed(&pair),
            Some(issuer) => {
                let by = Issuer::from_params(&issuer.params, &issuer.pair);
                params.signed_by(&pair, &by)
            }
        };
        let made = made.expect("a certificate");
        let path = dir.join(name);
        fs::write(path.with_extension("pem"), made.pem()).expect("room for it");
        fs::write(path.with_extension("key"), pair.serialize_pem()).expect("room for it");
        Self {
            pem: made.pem(),
            der: made.der().clone(),
            params,
            pair,
            path,
        }
    }

    /// Where it and its key are, less `.pem` and `.key`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.path.with_extension("pem")
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
    }
}
