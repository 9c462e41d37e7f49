//! Dialling ids: waiting for the announcement, then connecting.

use std::io;

use outboard_core::rpc::Channel;
use outboard_core::tls::TlsFault;

use super::Sockets;
use crate::broker::BrokerError;
use crate::broker::ways::controlled::Again;
use crate::carrier::Unreached;

impl Sockets {
    /// A channel to what the other side serves under `id`.
    pub(super) async fn connect(&self, id: u32) -> Result<Channel, BrokerError> {
        let endpoint = self.answered(id).await?;
        let carrier = self.parts().carrier.clone();
        let carried = match carrier.dial_live(&endpoint).await {
            Ok(carried) => carried,
            Err(Unreached::Tls(TlsFault { reason, fault, .. })) => {
                return Err(BrokerError::Tls { id, reason, fault });
            }
            Err(unreached) => {
                return Err(BrokerError::Connect {
                    id,
                    endpoint: endpoint.to_string(),
                    fault: unreached.into(),
                });
            }
        };
        // An announced address may be connected to any number of times.
        let again = Again {
            by: format!("at {endpoint}"),
            on_demand: false,
            dial: Box::new(move || {
                let dialling = carrier.dial_live(&endpoint);
                Box::pin(async move { dialling.await.map_err(gone) })
            }),
        };
        Ok(Channel::new(self.keep_dialled(id, carried, again)))
    }
}

/// The name of a socket goes when its id is no longer served, and no other one will have it. (Ports are
/// never found missing.)
fn gone(unreached: Unreached) -> Unreached {
    match unreached {
        Unreached::Connect(fault) if fault.kind == io::ErrorKind::NotFound => {
            Unreached::Gone(fault)
        }
        unreached => unreached,
    }
}
