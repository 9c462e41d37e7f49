//! The transports that this build has.

use std::sync::Arc;

use outboard_core::rpc::Transport;

/// What a plugin serves unless told otherwise: everything compiled in. The host chooses.
pub(crate) fn of_plugins() -> Vec<Arc<dyn Transport>> {
    vec![
        #[cfg(feature = "h2")]
        Arc::new(outboard_transport_h2::H2::default()),
        #[cfg(feature = "stdio")]
        Arc::new(outboard_transport_stdio::Stdio::default()),
        #[cfg(feature = "netrpc")]
        Arc::new(outboard_transport_netrpc::NetRpc::new()),
    ]
}

/// What a host speaks unless told otherwise: what go-plugin speaks too, or the only other thing
/// there is. Stdio is not offered beside it, since a plugin's stdin is then a pipe and no longer the
/// host's own; enabling a feature must not change that.
pub(crate) fn of_hosts() -> Vec<Arc<dyn Transport>> {
    let mut transports = of_plugins();
    transports.truncate(1);
    transports
}
