//! What a plugin provides under a name.

use std::sync::Arc;

use outboard_core::rpc::Service;

/// Something that a plugin can [provide](crate::Plugin::provide): every [`Service`], and the servers of
/// interfaces over net/rpc.
pub trait Provide {
    /// How it is provided.
    fn into_provided(self) -> Provided;
}

impl<S: Service> Provide for S {
    fn into_provided(self) -> Provided {
        Provided(Kind::Service(Arc::new(self)))
    }
}

/// What is provided under a name, of whichever protocol.
pub struct Provided(pub(super) Kind);

pub(super) enum Kind {
    /// Over gRPC and stdio.
    Service(Arc<dyn Service>),
    /// Over net/rpc.
    #[cfg(feature = "netrpc")]
    NetRpc(outboard_transport_netrpc::Make),
}

impl Provided {
    #[cfg(feature = "netrpc")]
    pub(crate) fn net_rpc(make: outboard_transport_netrpc::Make) -> Self {
        Self(Kind::NetRpc(make))
    }
}

impl Provide for Provided {
    fn into_provided(self) -> Provided {
        self
    }
}

impl std::fmt::Debug for Provided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            Kind::Service(service) => service.descriptor().name,
            #[cfg(feature = "netrpc")]
            Kind::NetRpc(_) => "net/rpc",
        };
        f.debug_tuple("Provided").field(&kind).finish()
    }
}
