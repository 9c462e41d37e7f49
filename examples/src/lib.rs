//! What the examples share: their command line, and what two programs need of one interface.

#[cfg(feature = "netrpc")]
pub mod basic;
#[cfg(all(unix, feature = "blocking"))]
pub mod blocking;
#[cfg(feature = "netrpc")]
pub mod kv;

use outboard::Host;

/// The arguments of an example, without the flags that [`with_flags`] reads.
#[must_use]
pub fn args() -> Vec<String> {
    std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect()
}

/// The host as the flags on the command line want it.
///
/// `--stdio` has it talk to the plugin over the plugin's own stdin and stdout, without any socket.
/// `--multiplex` has all go over one connection, and `--auto-mtls` has it encrypted. The plugin needs no
/// flag: it is told.
pub fn with_flags(host: Host) -> Host {
    #[cfg(feature = "multiplex")]
    let host = host.multiplex(std::env::args().any(|arg| arg == "--multiplex"));
    #[cfg(feature = "tls")]
    let host = host.auto_mtls(std::env::args().any(|arg| arg == "--auto-mtls"));
    #[cfg(feature = "stdio")]
    if std::env::args().any(|arg| arg == "--stdio") {
        return host.transport(outboard::Stdio::new());
    }
    host
}
