//! Why a stream ended, in better words than its own: that of a process that has died says only that it is
//! closed.

use std::sync::Arc;

use outboard_core::fault::Fault;
use outboard_core::rpc::{LostHook, Status};
use outboard_core::told::Told;
use outboard_yamux::Opener;

/// Explains the ends of one connection's streams. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Explain(Arc<Inner>);

struct Inner {
    opener: Opener,
    /// How the connection ended.
    over: Told<Status>,
    /// Asked of a stream that ended while the connection lives.
    cut_off: Option<LostHook>,
}

impl Explain {
    pub(crate) fn new(opener: Opener, over: Told<Status>, cut_off: Option<LostHook>) -> Self {
        Self(Arc::new(Inner {
            opener,
            over,
            cut_off,
        }))
    }

    /// Why the stream ended that says `fault` of itself.
    pub(crate) async fn end(&self, fault: Fault) -> Fault {
        let inner = &self.0;
        let explained = if inner.opener.is_closed() {
            inner.over.clone().await
        } else {
            match &inner.cut_off {
                Some(hook) => Some(hook(Status::connection_lost(fault.message.clone())).await),
                None => None,
            }
        };
        match explained {
            Some(status) => Fault::new(fault.kind, status.message()),
            None => fault,
        }
    }
}
