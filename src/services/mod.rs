//! The services that every plugin offers beside its own.

pub(crate) mod health;
mod internal;
#[cfg(feature = "log")]
mod level;
pub(crate) mod output;
pub(crate) mod reflection;

use std::sync::Arc;

use outboard_core::rpc::{DuplicateService, Router};
use outboard_core::wire::health::HEALTH;
use outboard_core::wire::log_level::LOG_LEVEL;
use outboard_core::wire::plugin::{BROKER, CONTROLLER, STDIO};
use outboard_core::wire::reflection::{V1, V1ALPHA};

use self::internal::{BrokerControl, Controller, Stdio};
use self::reflection::Reflection;

pub(crate) use self::internal::{Asked, Internal};

/// Adds everything that go-plugin's plugins serve beside their own, health, controller, stdio, broker, and reflection of
/// it all; and the level of the log.
pub(crate) fn add_all(router: &mut Router, internal: Internal) -> Result<(), DuplicateService> {
    router.extensions_mut().insert(internal.broker.clone());
    router.add(Arc::new(internal.health))?;
    router.add(Arc::new(Controller::new(internal.asked)))?;
    router.add(Arc::new(Stdio::new(internal.output)))?;
    router.add(Arc::new(BrokerControl::new(internal.broker)))?;
    #[cfg(feature = "log")]
    router.add(Arc::new(level::LogLevel::new(internal.log_level)))?;
    Reflection::add_to(router)
}

/// Refuses a user's services that bear the name of one of these, before anybody connects.
pub(crate) fn check_names(router: &Router) -> Result<(), DuplicateService> {
    let own = [
        &HEALTH,
        &CONTROLLER,
        &STDIO,
        &BROKER,
        &LOG_LEVEL,
        &V1,
        &V1ALPHA,
    ]
    .map(|own| own.name);
    match router
        .services()
        .find(|service| own.contains(&service.name))
    {
        Some(taken) => Err(DuplicateService::new(taken.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_go_plugins_own_services_are_refused() {
        let mut router = Router::new();
        assert_eq!(check_names(&router), Ok(()));
        let [reflection, _] = Reflection::of(Vec::new());
        router.add(Arc::new(reflection)).expect("the only one");
        assert_eq!(check_names(&router), Err(DuplicateService::new(V1.name)));
    }
}
