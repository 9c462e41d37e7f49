//! What all generated clients have in common.

use outboard_core::rpc::{Channel, ServiceDescriptor};

/// A generated client: a service's interface over a [`Channel`].
pub trait Client: Clone + Send + Sync + 'static {
    /// The service that it calls.
    const SERVICE: &'static ServiceDescriptor;

    /// A client that calls through `channel`. Nothing is sent, so it says nothing about whether
    /// the other side offers the service.
    fn from_channel(channel: Channel) -> Self;
}
