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
    /// No transport is compiled in or chosen.
    #[error("the plugin speaks no transport: enable the feature \"h2\" or call Plugin::transport")]
    NoTransport,
    /// The host asks for mutual TLS (AutoMTLS), which this version of outboard does not have.
    /// Serving without would only fail later, in the host's TLS handshake.
    #[error(
        "the host asks for AutoMTLS (PLUGIN_CLIENT_CERT is set), which this plugin does not speak; \
         turn AutoMTLS off in the host"
    )]
    TlsUnsupported,
    /// It could not start serving.
    #[error(transparent)]
    Start(PluginError),
}

outboard_core::debug_as_text!(ServeError);
