//! Serving ids: what serves one is there before the other side can learn of it.

use std::sync::Arc;

use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::rpc::{Router, ServerConfig};
use outboard_core::rt::BoxFuture;

use super::{Controlled, Kind};
use crate::broker::BrokerError;
use crate::broker::ways::server::Server;
use crate::carrier::Opened;

/// What serves an id, with its work.
pub(in crate::broker::ways) struct Offer<S> {
    pub(in crate::broker::ways) server: S,
    pub(in crate::broker::ways) work: BoxFuture<'static, ()>,
    /// Where the other side reaches it, if it is to be told that.
    pub(in crate::broker::ways) at: Option<Endpoint>,
}

impl<K: Kind> Controlled<K> {
    /// Has `id` be served by what `make` makes, and says so, if that is still wanted then. It is made
    /// without the lock, since that may take its time: the connection's own task needs the lock for each
    /// message of the control stream. Nor is the service dropped under it, if it is refused: it may own
    /// what is served here, too.
    pub(in crate::broker::ways) fn offer(
        &self,
        id: u32,
        make: impl FnOnce() -> Result<Offer<K::Server>, Fault>,
    ) -> Result<(), BrokerError> {
        if let Some(closed) = self.lock().machine.closed() {
            return Err(closed.clone().into());
        }
        let Offer { server, work, at } =
            make().map_err(|fault| BrokerError::Listen { id, fault })?;
        let now = self.0.parts.runtime.now();
        let mut state = self.lock();
        if let Err(error) = state.machine.accept(now, id, at.as_ref()) {
            drop(state);
            // Nobody was told of it, so nobody waits for it.
            drop((server, work));
            return Err(error.into());
        }
        state.servers.insert(id, server);
        self.settle(state);
        self.0.parts.runtime.spawn(work);
        Ok(())
    }

    /// A server of what comes to a listener, with its work.
    pub(in crate::broker::ways) fn server(
        &self,
        router: Arc<Router>,
        opened: Opened,
    ) -> Result<(Server, BoxFuture<'static, ()>), Fault> {
        let parts = &self.0.parts;
        let prepare = parts.carrier.prepare()?;
        let config = ServerConfig::new(parts.config.max_message_size);
        Ok(Server::new(
            Arc::clone(&parts.runtime),
            Arc::clone(&parts.transport),
            opened,
            prepare,
            router,
            config,
            parts.servers.enter(),
        ))
    }
}
