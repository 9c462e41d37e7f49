//! TLS on both sides and from outside: certificates as files for peers in every language, what an
//! application of its own would configure, and clients and servers that are not to be trusted.

mod any;
pub mod by_hand;
mod certificates;
mod environment;
pub mod first;
pub mod pairs;
pub mod strangers;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use outboard::rt::SharedRuntime;
use outboard::tls::Tls;
use outboard_conformance::axes::{self, RuntimeKind};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

pub use rustls::pki_types;

pub use self::any::{Shown, any_client, any_server};
pub use self::certificates::{Certificates, Certified, Wanted};
pub use self::environment::of_environment;

/// How long a scenario on one runtime may take. Reached only by a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a scenario on a runtime of this kind; one that takes too long ends the test program.
pub fn on<F: Future>(kind: RuntimeKind, scenario: impl FnOnce(SharedRuntime) -> F) -> F::Output {
    let (done, waiting) = channel::<()>();
    std::thread::spawn(move || {
        if waiting.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a scenario on {kind} hangs");
            std::process::abort();
        }
    });
    let output = axes::block_on(kind, scenario);
    drop(done);
    output
}

/// What rustls computes with.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Versions of TLS by their number; all for none.
///
/// # Panics
/// If there is no such version.
#[must_use]
pub fn versions(number: Option<&str>) -> &'static [&'static SupportedProtocolVersion] {
    static OLD: [&SupportedProtocolVersion; 1] = [&TLS12];
    static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
    match number {
        None => rustls::DEFAULT_VERSIONS,
        Some("1.2") => &OLD,
        Some("1.3") => &NEW,
        Some(other) => panic!("TLS {other:?}"),
    }
}

/// TLS of the application's own in both roles: shows the certificate in IDENTITY.pem with the key in
/// IDENTITY.key, and wants one from the other side that comes from those in `trust`.
///
/// # Panics
/// If the files are not those of a test.
#[must_use]
pub fn own(identity: &Path, trust: &Path, version: Option<&str>) -> Tls {
    let shown = CertificateDer::from_pem_file(identity.with_extension("pem")).expect("it is there");
    let key = || PrivateKeyDer::from_pem_file(identity.with_extension("key")).expect("a key");
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(trust).expect("it is there") {
        roots.add(root.expect("a certificate")).expect("a root");
    }
    let (roots, versions) = (Arc::new(roots), versions(version));
    let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider());
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions of TLS")
        .with_webpki_verifier(servers.build().expect("there are roots"))
        .with_client_auth_cert(vec![shown.clone()], key())
        .expect("they belong together");
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions of TLS")
        .with_client_cert_verifier(clients.build().expect("there are roots"))
        .with_single_cert(vec![shown], key())
        .expect("they belong together");
    Tls::client(client).with_server(server)
}
