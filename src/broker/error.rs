//! Why a brokered interface could not be served or dialled.

use outboard_core::broker as machine;
use outboard_core::fault::Fault;
use outboard_core::rpc::{DuplicateService, Status};
use outboard_core::tls::TlsReason;

/// Why a brokered interface could not be served or dialled.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// By the rules of the broker: closed, timed out, refused.
    #[error(transparent)]
    Broker(#[from] machine::BrokerError),
    /// There is no socket to serve it on.
    #[error("no listener for broker id {id}: {fault}")]
    Listen {
        /// The id that it would have had.
        id: u32,
        /// What the system said.
        fault: Fault,
    },
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
    /// The other side answered, and the stream to it could not be opened.
    #[error("no stream to broker id {id}: {fault}")]
    Stream {
        /// The dialled id.
        id: u32,
        /// What is in the way.
        fault: Fault,
    },
    /// The other side was reached, and the two did not agree on how to secure the connection.
    #[error("no TLS connection to broker id {id}: {fault}")]
    Tls {
        /// The dialled id.
        id: u32,
        /// What did not fit, for programs.
        reason: TlsReason,
        /// The same in words, and what to do.
        fault: Fault,
    },
    /// The connection took no further channel.
    #[error("the connection cannot serve another interface: {0}")]
    Channel(Status),
    /// Two services of one name under one id.
    #[error(transparent)]
    Duplicate(#[from] DuplicateService),
    /// The connection speaks Go's net/rpc, the broker of which is another one.
    #[error(
        "the plugin speaks Go's net/rpc, whose broker is netrpc::MuxBroker: instances that were dispensed \
         have it, and what makes them in a plugin"
    )]
    NetRpc,
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
        let listen = BrokerError::Listen {
            id: 3,
            fault: fault(),
        };
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
