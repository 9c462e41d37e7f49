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
        let bind = || parts.listen.listen();
        let opened = Opened::new(&parts.runtime, bind, &parts.listen.allowed);
        let opened = opened.map_err(Fault::other)?;
        let announced = parts.carrier.announced(opened.endpoint())?;
        let (server, work) = self.server(router, opened)?;
        Ok(Offer {
            server,
            work,
            at: Some(announced),
        })
    }
}
