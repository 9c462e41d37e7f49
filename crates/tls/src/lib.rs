//! TLS over outboard's byte streams, and go-plugin's AutoMTLS.
//!
//! With AutoMTLS each side of a connection makes a certificate for one process' life, tells it to the
//! other side, and accepts the other side's certificate and nothing else:
//!
//! | Step | Here |
//! | --- | --- |
//! | host makes its certificate, its PEM goes into the plugin's environment | [`Identity::generate`], [`Identity::pem`] |
//! | plugin makes its own, its DER goes into the handshake line | [`Identity::der`] |
//! | each reads the other's | [`Pinned::from_pem`], [`Pinned::from_der`] |
//! | each secures its connections, in either role | [`Tls::pinned`] |
//!
//! An application that has certificates of its own brings rustls configurations instead:
//! [`Tls::client`], [`Tls::server`]. They must name their provider (`builder_with_provider`) unless
//! the application has set the process' default; this crate neither sets nor reads it.
//!
//! # What pinning checks
//!
//! The certificate is compared byte for byte, and the handshake's signature must come from its key.
//! That is as strong as what Go does, which trusts a pool that holds this certificate alone. Its dates
//! are not looked at: it lives as long as one process, and the clocks of containers and of machines
//! that slept differ. Nor are its names, usages or issuer, of which bytes that are known leave nothing
//! to decide.
//!
//! # Why an adapter of its own
//!
//! `futures-rustls` 0.26 (of early 2024) would fit the traits. It drives rustls' buffered interface, which
//! reads at most a record at a time: for a message of 64 KiB between two threads it made 4.3 reads and two
//! writes where this made one of each, with 5 to 10 % less of the processor's time. This drives the
//! unbuffered interface with buffers that grow with their use, to 80 KiB for reading and six records for
//! writing. What rustls has to answer while somebody only reads is sent without taking a waiting writer's
//! place, and pieces of a vectored write share their records.
//!
//! # Time
//!
//! Nothing here looks at a timer: who connects or accepts bounds the handshake. Two sides of which one
//! speaks no TLS and waits to be spoken to first may wait for each other for ever.
//!
//! # The first random number
//!
//! Programs with this crate should be built with `AWS_LC_SYS_NO_JITTER_ENTROPY=1` in the environment, best
//! by `[env]` in `.cargo/config.toml`. Without it aws-lc collects jitter of the processor for its first
//! random number, in addition to the system's randomness: measured here, 90 ms to 170 ms of every process
//! that makes a key or a connection, so of every start of a plugin; aws-lc's authors say 50 ms. With it the
//! system's randomness is mixed with the processor's own generator, and the same takes less than 1 ms.
//! Only the build of the program can choose, so that this crate cannot.
//!
//! # Key exchange
//!
//! X25519 comes first. The hybrid with ML-KEM is offered to a peer that insists, not preferred: these
//! connections stay within one machine, a record of them is worthless by the time anybody could break
//! X25519, and the hybrid made a handshake of 490 µs one of 560 µs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod config;
mod error;
mod identity;
mod pinned;
mod provider;
mod session;
mod stream;
mod verify;

pub use rustls;

pub use self::config::Tls;
pub use self::error::TlsError;
pub use self::identity::{Identity, KeyKind};
pub use self::pinned::Pinned;
