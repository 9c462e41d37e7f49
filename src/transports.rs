//! The transports that this build has.

use std::sync::Arc;

use outboard_core::rpc::Transport;

/// All transports compiled in, the one that go-plugin speaks too first.
pub(crate) fn compiled_in() -> Vec<Arc<dyn Transport>> {
    vec![
        #[cfg(feature = "h2")]
        Arc::new(outboard_transport_h2::H2::default()),
    ]
}
