//! What a plugin provides in a version, as it is served.

use std::collections::BTreeSet;
use std::sync::Arc;

use outboard_core::handshake::Protocol;
use outboard_core::rpc::Router;

use super::provide::Kind;
use super::{PluginSet, ServeError};
use crate::serve::tracked::{InFlight, Tracked};

/// The router of a version, and the protocols among these that it is served over.
pub(super) fn router(
    version: i64,
    set: PluginSet,
    spoken: &[Protocol],
    calls: &Arc<InFlight>,
) -> Result<(Router, Vec<Protocol>), ServeError> {
    let mut router = Router::new();
    let mut names = BTreeSet::new();
    let mut has_services = false;
    #[cfg(feature = "netrpc")]
    let mut instances: Option<super::netrpc::Instances> = None;
    for (name, provided) in set {
        if !names.insert(name.clone()) {
            return Err(ServeError::DuplicateName { name, version });
        }
        match provided.0 {
            Kind::Service(service) => {
                has_services = true;
                let service = Tracked::new(service, Arc::clone(calls));
                router.provide(name, Arc::new(service))?;
            }
            #[cfg(feature = "netrpc")]
            Kind::NetRpc(make) => instances.get_or_insert_default().add(name, make, calls),
        }
    }
    #[cfg(feature = "netrpc")]
    if let Some(instances) = instances {
        if has_services {
            return Err(ServeError::MixedProtocols { version });
        }
        router.extensions_mut().insert(instances);
        let spoken = of(spoken, |protocol| protocol == Protocol::NetRpc);
        return match spoken.as_slice() {
            [] => Err(ServeError::NoTransportFor {
                version,
                needed: "Go's net/rpc",
            }),
            _ => Ok((router, spoken)),
        };
    }
    crate::services::check_names(&router)?;
    let spoken = of(spoken, |protocol| protocol != Protocol::NetRpc);
    if spoken.is_empty() && has_services {
        return Err(ServeError::NoTransportFor {
            version,
            needed: "gRPC",
        });
    }
    Ok((router, spoken))
}

fn of(spoken: &[Protocol], is_one: impl Fn(Protocol) -> bool) -> Vec<Protocol> {
    let spoken = spoken.iter().copied();
    spoken.filter(|protocol| is_one(*protocol)).collect()
}
