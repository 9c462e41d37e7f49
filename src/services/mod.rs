//! The services that every plugin offers beside its own.

pub mod health;
mod internal;
pub mod reflection;

use std::sync::Arc;

use outboard_core::rpc::{DuplicateService, Router};

use self::internal::{BrokerControl, Controller, Stdio};
use self::reflection::Reflection;

pub(crate) use self::internal::{Asked, Internal};

/// Adds everything that go-plugin's plugins serve beside their own: health, controller, stdio,
/// broker, and reflection of it all.
pub(crate) fn add_all(router: &mut Router, internal: Internal) -> Result<(), DuplicateService> {
    router.extensions_mut().insert(internal.broker.clone());
    router.add(Arc::new(internal.health))?;
    router.add(Arc::new(Controller::new(internal.asked)))?;
    router.add(Arc::new(Stdio::new(internal.output)))?;
    router.add(Arc::new(BrokerControl::new(internal.broker)))?;
    Reflection::add_to(router)
}
