//! Sides that are configured by hand, to be what no side of ours is.

use std::sync::Arc;
use std::time::SystemTime;

use outboard_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use outboard_tls::rustls::crypto::CryptoProvider;
use outboard_tls::rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use outboard_tls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use outboard_tls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use outboard_tls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use outboard_tls::{Identity, Pinned, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::pinned;

pub(crate) type Versions = &'static [&'static SupportedProtocolVersion];

pub(crate) fn key_of(pair: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// A server that shows `chain`, signs with `key`, and lets everybody in.
pub(crate) fn server_with(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
    versions: Versions,
) -> Tls {
    let key = CertifiedKey::new(chain, any_supported_type(key).expect("a key"));
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    Tls::server(config)
}

/// A client that takes exactly `server`, whoever has its key, and shows `shown`.
pub(crate) fn client_config(
    server: &Identity,
    shown: Option<(Vec<CertificateDer<'static>>, &PrivateKeyDer<'_>)>,
    versions: Versions,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(pinned(server))));
    match shown {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = CertifiedKey::new(chain, any_supported_type(key).expect("a key"));
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
        }
    }
}

/// Trusts one certificate and does not look at signatures: a stranger that wants to get in.
#[derive(Debug)]
struct Anyone(Pinned);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        assert_eq!(end_entity.as_ref(), self.0.der());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// An authority made here, of which the test has the key, and a certificate that it has signed.
pub(crate) struct Signed {
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

pub(crate) type Validity = (SystemTime, SystemTime);

pub(crate) fn signed(valid: Option<Validity>) -> Signed {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(vec![]).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    if let Some((from, to)) = valid {
        let time = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("later");
            rcgen::date_time_ymd(1970, 1, 1) + since
        };
        leaf.not_before = time(from);
        leaf.not_after = time(to);
    }
    let issuer = Issuer::new(authority, authority_key);
    let leaf = leaf.signed_by(&key, &issuer).expect("signed");
    Signed {
        authority: certificate.der().clone(),
        leaf: leaf.der().clone(),
        key: key_of(&key),
    }
}
