//! TLS of the application's own, and the kinds of keys for AutoMTLS.
//!
//! Between a host and a plugin that it launches, [`Host::auto_mtls`](crate::Host::auto_mtls) is all it
//! takes. Where both have certificates from elsewhere, each side gives its rustls configuration:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use outboard::tls::rustls::crypto::aws_lc_rs::default_provider;
//! use outboard::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
//! use outboard::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
//! use outboard::tls::Tls;
//! use outboard::{Command, Handshake, Host, Plugin};
//!
//! const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
//!
//! /// Checks the plugin by these roots, for the name in its certificate.
//! fn host(roots: RootCertStore) -> Result<Host, Box<dyn std::error::Error>> {
//!     let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
//!         .with_safe_default_protocol_versions()?
//!         .with_root_certificates(roots)
//!         .with_no_client_auth();
//!     let tls = Tls::client(config).server_name("greeter.internal")?;
//!     Ok(Host::new(HANDSHAKE).command(Command::new("./greeter")).tls(tls))
//! }
//!
//! /// Shows this certificate to its host.
//! fn plugin(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Plugin {
//!     Plugin::new(HANDSHAKE).tls_provider(|| {
//!         let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
//!             .with_safe_default_protocol_versions()?
//!             .with_no_client_auth()
//!             .with_single_cert(chain, key)?;
//!         Ok::<_, outboard::tls::rustls::Error>(Tls::server(config))
//!     })
//! }
//! ```
//!
//! Over gRPC both sides have to agree on `h2` (ALPN); a configuration that names no protocols gets that by
//! itself. What is served through a broker is secured by the same values, the other way round: a side
//! that serves there needs a server's part ([`Tls::with_server`]), one that dials a client's
//! ([`Tls::with_client`]).
//!
//! # How to build
//!
//! aws-lc, which does the cryptography, collects 100 ms of jitter for the first random number of a process,
//! beside the system's randomness, unless its build is told not to. Only the program's build can say so, by
//! the environment, such as in `.cargo/config.toml`:
//!
//! ```toml
//! [env]
//! AWS_LC_SYS_NO_JITTER_ENTROPY = "1"
//! ```
//!
//! A program without TLS leaves out the feature `tls`, and with it rustls and aws-lc.
//!
//! # A host that attaches
//!
//! What host and plugin have made for each other is gone with the host, unless that was given an identity
//! that the next one has, too: [`Host::identity`](crate::Host::identity).
//!
//! # Who fits whom
//!
//! | host | plugin | |
//! | --- | --- | --- |
//! | none | none, or AutoMTLS | in the clear: nobody asks for it |
//! | AutoMTLS | AutoMTLS | each side accepts the other's certificate alone |
//! | its own | its own | as the two configurations say |
//! | AutoMTLS | none, or its own | [`CertificateMissing`](crate::error::HandshakeError::CertificateMissing) at the start |
//! | its own | none, or AutoMTLS | [`StartFailure::Tls`](crate::StartFailure::Tls) at the start |
//! | none | its own | the first call fails, and says what may be the matter |

pub use outboard_tls::{Identity, KeyKind, Pinned, Tls, TlsError, rustls};
