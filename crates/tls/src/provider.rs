//! The cryptography, named explicitly wherever rustls asks for it.

use std::sync::{Arc, OnceLock};

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{DEFAULT_CIPHER_SUITES, default_provider, kx_group};

/// aws-lc-rs: the only one of rustls' own providers that can do P-521, which is what Go makes.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let made = PROVIDER.get_or_init(|| {
        let mut cipher_suites = DEFAULT_CIPHER_SUITES.to_vec();
        // As Go has it: nothing that stays within a machine needs the longer key, which costs more.
        // Sorting is stable, so that the rest stays as rustls has it.
        cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
        Arc::new(CryptoProvider {
            cipher_suites,
            // In this order, and not as a feature of rustls that somebody else turns on orders them.
            kx_groups: vec![
                kx_group::X25519,
                kx_group::SECP256R1,
                kx_group::SECP384R1,
                kx_group::X25519MLKEM768,
            ],
            ..default_provider()
        })
    });
    Arc::clone(made)
}

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}
