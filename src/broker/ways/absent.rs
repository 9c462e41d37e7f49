//! No way: Go's net/rpc has a broker of its own, whose streams are raw and whose ids travel in calls alone.

use std::sync::Arc;

use outboard_core::rpc::{Channel, Router};
use outboard_core::rt::BoxFuture;

use super::{Report, Way};
use crate::broker::BrokerError;

/// Says where the broker is instead.
#[derive(Clone)]
pub(in crate::broker) struct Absent;

impl Way for Absent {
    fn serve(&self, _id: u32, _router: Arc<Router>) -> Result<(), BrokerError> {
        Err(BrokerError::NetRpc)
    }

    fn stop(&self, _id: u32) {}

    fn dial(&self, _id: u32) -> BoxFuture<'static, Result<Channel, BrokerError>> {
        Box::pin(std::future::ready(Err(BrokerError::NetRpc)))
    }

    fn close(&self, _why: &str) {}

    fn report(&self, _report: &mut Report) {}
}
