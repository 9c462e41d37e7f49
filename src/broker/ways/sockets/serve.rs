//! The listener of an id, which is announced.

use std::sync::Arc;

use outboard_core::fault::Fault;
use outboard_core::rpc::Router;

use super::Sockets;
use crate::broker::ways::controlled::Offer;
use crate::broker::ways::server::Server;
use crate::carrier::Opened;

impl Sockets {
    /// A server with its work, and where the other side reaches it.
    pub(super) fn listen(&self, router: Arc<Router>) -> Result<Offer<Server>, Fault> {
        let parts = self.parts();
        let bound = parts.listen.listen().map_err(Fault::other)?;
        let announced = parts.carrier.announced(&bound.endpoint)?;
        let opened = Opened::new(&parts.runtime, bound, &parts.listen.allowed);
        let (server, work) = self.server(router, opened.map_err(Fault::other)?)?;
        Ok(Offer {
            server,
            work,
            at: Some(announced),
        })
    }
}
