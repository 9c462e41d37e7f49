//! TLS by hand: a side that trusts whomever it meets, and shows what a test wants it to show.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};

use super::{Certified, provider, versions};

/// What a side shows.
#[derive(Clone, Debug)]
pub struct Shown(Option<Arc<SingleCertAndKey>>);

impl Shown {
    /// No certificate.
    #[must_use]
    pub fn nothing() -> Self {
        Self(None)
    }

    /// A certificate, whose key it has.
    #[must_use]
    pub fn of(certified: &Certified) -> Self {
        Self::chain(&[certified], certified)
    }

    /// These certificates, the first of them first, and the key of another, be it the right one or not.
    ///
    /// # Panics
    /// If the key is of no use.
    #[must_use]
    pub fn chain(shown: &[&Certified], key: &Certified) -> Self {
        Self::certificates(shown.iter().map(|one| one.der.clone()).collect(), key)
    }

    /// This certificate, and the key of another.
    #[must_use]
    pub fn der(shown: CertificateDer<'static>, key: &Certified) -> Self {
        Self::certificates(vec![shown], key)
    }

    fn certificates(chain: Vec<CertificateDer<'static>>, key: &Certified) -> Self {
        let key = provider().key_provider.load_private_key(key.key());
        let key = CertifiedKey::new(chain, key.expect("a key"));
        Self(Some(Arc::new(key.into())))
    }
}

/// A client that trusts every server.
///
/// # Panics
/// If there is no such version of TLS.
#[must_use]
pub fn any_client(shown: &Shown, alpn: &[&str], version: Option<&str>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(version))
        .expect("versions of TLS")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new()));
    let mut config = match &shown.0 {
        None => builder.with_no_client_auth(),
        Some(key) => builder.with_client_cert_resolver(Arc::clone(key) as _),
    };
    config.alpn_protocols = names(alpn);
    config
}

/// A server that asks every client for its certificate, and takes it whatever it is.
///
/// # Panics
/// If it is to show nothing, or there is no such version of TLS.
#[must_use]
pub fn any_server(shown: &Shown, alpn: &[&str], version: Option<&str>) -> ServerConfig {
    let key = shown.0.as_ref().expect("a server has a certificate");
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(version))
        .expect("versions of TLS")
        .with_client_cert_verifier(Arc::new(Anybody::new()))
        .with_cert_resolver(Arc::clone(key) as _);
    config.alpn_protocols = names(alpn);
    config
}

fn names(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// Believes everybody, signatures included.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new() -> Self {
        Self(provider().signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
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
        self.0.supported_schemes()
    }
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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
        self.0.supported_schemes()
    }
}
