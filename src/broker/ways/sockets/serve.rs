//! The listener of an id, which is announced.

use std::sync::Arc;

use outboard_core::fault::Fault;
use outboard_core::rpc::Router;

use super::Sockets;
use crate::broker::ways::controlled::Offer;
use crate::broker::ways::server::Server;
use crate::sys::socket::ListenError;

impl Sockets {
    /// A server with its work, and where the other side reaches it.
    pub(super) fn listen(&self, router: Arc<Router>) -> Result<Offer<Server>, Fault> {
        let parts = self.parts();
        let bound = parts.listen.listen().map_err(Fault::other)?;
        let announced = parts.carrier.announced(&bound.endpoint)?;
        let listener = parts.runtime.listener(bound.socket, bound.endpoint);
        let listener = listener.map_err(ListenError::Register);
        let listener = listener.map_err(Fault::other)?;
        let (server, work) = self.server(router, (listener, bound.file))?;
        Ok(Offer {
            server,
            work,
            at: Some(announced),
        })
    }
}
