//! The broker, for code that blocks.

use outboard_core::rpc::{Channel, Router, Service};

use super::wait::wait;
use crate::broker::{BrokerError, Served};
use crate::client::Client;

/// Passes live interfaces between the two sides of one connection, as
/// [`outboard::Broker`](crate::Broker).
///
/// The host finds it at [`RunningPlugin::broker`](super::RunningPlugin::broker), a handler, blocking or not, at
/// [`Broker::current`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker(crate::Broker);

impl Broker {
    /// The broker of the connection on which the [current call](crate::context::current) came.
    ///
    /// # Errors
    /// [`BrokerError::NoCall`] outside of a handler, and in one that no outboard server runs.
    pub fn current() -> Result<Self, BrokerError> {
        crate::Broker::current().map(Self)
    }

    /// Serves `service` to the other side, under a fresh id, until the returned handle is dropped. It may be
    /// one that blocks, or one that is async.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker is closed or no socket can be made.
    pub fn serve(&self, service: impl Service) -> Result<Served, BrokerError> {
        self.0.serve(service)
    }

    /// Serves several services under one id, until the returned handle is dropped.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_router(&self, router: Router) -> Result<Served, BrokerError> {
        self.0.serve_router(router)
    }

    /// A client of the interface that the other side serves under `id`. Waits at most 5 s for the other side
    /// to announce it; over stdio it does not wait.
    ///
    /// # Errors
    /// [`BrokerError`] says whether nobody serves the id, the broker is closed, or the connection failed.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn dial<C: Client>(&self, id: u32) -> Result<C, BrokerError> {
        wait(self.0.dial(id))
    }

    /// A channel to what the other side serves under `id`; see [`dial`](Self::dial).
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn dial_channel(&self, id: u32) -> Result<Channel, BrokerError> {
        wait(self.0.dial_channel(id))
    }
}

impl From<crate::Broker> for Broker {
    fn from(broker: crate::Broker) -> Self {
        Self(broker)
    }
}
