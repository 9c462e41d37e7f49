//! What a plugin has dispensed, as clients of it hold it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use outboard_gob::{Decode, Encode};

use crate::broker::MuxBroker;
use crate::client::RpcClient;
use crate::error::{BrokerError, CallError};

/// An instance at the other side: what a plugin has dispensed, or what was served under an id of the
/// broker. Cheap to clone; it ends with the last clone and the calls in flight.
///
/// Methods are called by their names, `Plugin.Greet` for Go's `Greet`. Clients of an interface call through
/// this; see [`Client`].
#[derive(Clone)]
pub struct Instance {
    client: RpcClient,
    broker: MuxBroker,
    timeout: Option<Duration>,
    kept: Option<Arc<dyn Any + Send + Sync>>,
}

impl Instance {
    /// An instance behind this client, on the connection of this broker.
    #[must_use]
    pub fn new(client: RpcClient, broker: MuxBroker) -> Self {
        Self {
            client,
            broker,
            timeout: None,
            kept: None,
        }
    }

    /// The instance that the other side serves under `id` of the broker, such as one that it has passed in
    /// a call.
    ///
    /// # Errors
    /// See [`BrokerError`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the stream.
    pub async fn dial(broker: &MuxBroker, id: u32) -> Result<Self, BrokerError> {
        let client = broker.client(id).await?;
        Ok(Self::new(client, broker.clone()))
    }

    /// Calls a method. It takes as long as it takes, or as [`with_timeout`](Self::with_timeout) says.
    ///
    /// net/rpc has neither deadlines nor cancellation: a call that is given up, by its timeout or by dropping
    /// the future, goes on at the other side, and its answer is skipped.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<A, R>(&self, method: &str, argument: &A) -> Result<R, CallError>
    where
        A: Encode + Sync + ?Sized,
        R: Decode + Send,
    {
        match self.timeout {
            Some(limit) => self.client.call_within(method, argument, limit).await,
            None => self.client.call(method, argument).await,
        }
    }

    /// The same instance, the calls of which are waited for no longer than this.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same instance, which keeps this for as long as it or a clone of it lives: for drivers that want to know
    /// when nobody uses it any more.
    #[must_use]
    pub fn keeping(mut self, kept: Arc<dyn Any + Send + Sync>) -> Self {
        self.kept = Some(kept);
        self
    }

    /// The broker of its connection: what is offered there can be passed in calls, and what calls pass is
    /// dialled there.
    #[must_use]
    pub fn broker(&self) -> &MuxBroker {
        &self.broker
    }

    /// The stream that its calls are made on.
    #[must_use]
    pub fn client(&self) -> &RpcClient {
        &self.client
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("client", &self.client)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A client of an interface over net/rpc.
pub trait Client: Clone + Send + Sync + 'static {
    /// A client that calls this instance. Nothing is sent, so it says nothing about whether the other side
    /// has such methods.
    fn from_instance(instance: Instance) -> Self;

    /// What it calls.
    fn instance(&self) -> &Instance;

    /// The same client, the calls of which are waited for no longer than this; see [`Instance::call`].
    #[must_use]
    fn with_timeout(&self, timeout: Duration) -> Self {
        Self::from_instance(self.instance().clone().with_timeout(timeout))
    }
}

impl Client for Instance {
    fn from_instance(instance: Instance) -> Self {
        instance
    }

    fn instance(&self) -> &Instance {
        self
    }
}
