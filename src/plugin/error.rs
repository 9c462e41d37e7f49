//! Why a plugin cannot serve.

use std::io;

use outboard_core::env::CookieError;
use outboard_core::plugin::PluginError;
use outboard_core::rpc::DuplicateService;

/// Why a plugin cannot serve.
///
/// Its `Debug` form is the text for people, since that is what a `main` that returns the error
/// prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No host has launched this program, or its handshake has no cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// The standard streams cannot be claimed.
    #[error("the plugin cannot claim its stdout and stderr: {0}; are file descriptors used up?")]
    Claim(io::Error),
    /// Two interfaces of the same service in one version, or one of go-plugin's own services, which
    /// every plugin serves by itself.
    #[error(transparent)]
    Duplicate(#[from] DuplicateService),
    /// Two interfaces under one name in one version: no host could tell them apart.
    #[error(
        "the plugin provides two interfaces under the name {name:?} in version {version}; give each \
         a name of its own"
    )]
    DuplicateName {
        /// The name both have.
        name: String,
        /// The version both are in.
        version: i64,
    },
    /// A version has interfaces of gRPC and of net/rpc: all of a version share one protocol.
    #[error(
        "the plugin provides interfaces of gRPC and of Go's net/rpc in version {version}; give each \
         protocol a version of its own (Plugin::provide_version)"
    )]
    MixedProtocols {
        /// The version.
        version: i64,
    },
    /// What a version provides needs a transport that was not chosen.
    #[error(
        "the plugin provides version {version} over {needed}, and none of its transports speaks that: \
         call Plugin::transport with one that does"
    )]
    NoTransportFor {
        /// The version.
        version: i64,
        /// The protocol that is missing.
        needed: &'static str,
    },
    /// No transport is compiled in or chosen.
    #[error("the plugin speaks no transport: enable the feature \"h2\" or call Plugin::transport")]
    NoTransport,
    /// The host asks for mutual TLS (AutoMTLS), and the program is built without the feature `tls`.
    /// Serving without would only fail later, in the host's TLS handshake.
    #[error(
        "the host asks for AutoMTLS (PLUGIN_CLIENT_CERT is set), which this plugin is built without; \
         build it with outboard's feature \"tls\", or turn AutoMTLS off in the host"
    )]
    TlsUnsupported,
    /// What the host gave as its certificate is none.
    #[cfg(feature = "tls")]
    #[error("the host's TLS certificate (PLUGIN_CLIENT_CERT) cannot be used: {0}")]
    HostCertificate(outboard_tls::TlsError),
    /// No certificate could be made for AutoMTLS.
    #[cfg(feature = "tls")]
    #[error("the plugin cannot set up AutoMTLS: {0}")]
    Tls(outboard_tls::TlsError),
    /// The plugin's own [TLS](crate::Plugin::tls_provider) could not be had, or cannot serve.
    #[cfg(feature = "tls")]
    #[error("the plugin's own TLS cannot be used: {0}")]
    TlsProvider(Box<dyn std::error::Error + Send + Sync>),
    /// A plugin that [no host has launched](crate::Plugin::serve_in_test) is to be served, and none of its
    /// transports uses a socket.
    #[error(
        "the plugin is to be served without a host, which takes a socket, and its only transport uses \
         none: call Plugin::transport with H2 or NetRpc, or use memory::start in a test"
    )]
    NeedsSocket,
    /// The runtime dropped its tasks before the plugin served.
    #[error("the async runtime has shut down before the plugin served")]
    RuntimeGone,
    /// It could not start serving.
    #[error(transparent)]
    Start(PluginError),
}

outboard_core::debug_as_text!(ServeError);
