//! Why a brokered interface could not be served or dialled.

use outboard_core::broker as machine;
use outboard_core::fault::Fault;
use outboard_core::rpc::{DuplicateService, Status};

/// Why a brokered interface could not be served or dialled.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// By the rules of the broker: closed, timed out, refused, no socket.
    #[error(transparent)]
    Broker(#[from] machine::BrokerError),
    /// The other side announced an address and cannot be reached there.
    #[error("no connection to broker id {id} at {endpoint}: {fault}")]
    Connect {
        /// The dialled id.
        id: u32,
        /// The address announced.
        endpoint: String,
        /// What the system said.
        fault: Fault,
    },
    /// The connection took no further channel.
    #[error("the connection cannot serve another interface: {0}")]
    Channel(Status),
    /// Two services of one name under one id.
    #[error(transparent)]
    Duplicate(#[from] DuplicateService),
    /// There is no call whose connection could have a broker.
    #[error("there is no broker here: only the handler of a call has one")]
    NoCall,
}

outboard_core::debug_as_text!(BrokerError);

/// For handlers that fail because their dial did: `UNAVAILABLE` with the whole text.
impl From<BrokerError> for Status {
    fn from(error: BrokerError) -> Self {
        Self::unavailable(crate::text::chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_each_cause_once() {
        let fault = || Fault::other("no such file");
        let connect = BrokerError::Connect {
            id: 3,
            endpoint: "unix:/x".to_owned(),
            fault: fault(),
        };
        let listen = BrokerError::Broker(machine::BrokerError::Listen {
            id: 3,
            fault: fault(),
        });
        for error in [connect, listen] {
            let status = Status::from(error);
            assert_eq!(
                status.message().matches("no such file").count(),
                1,
                "{status}"
            );
        }
    }
}
