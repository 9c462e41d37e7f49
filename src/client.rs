//! What all clients of interfaces have in common, and what they are made of.

use outboard_core::rpc::{Channel, ServiceDescriptor};

/// A generated client: a service's interface over a [`Channel`].
pub trait Client: Clone + Send + Sync + 'static {
    /// The service that it calls.
    const SERVICE: &'static ServiceDescriptor;

    /// A client that calls through `channel`. Nothing is sent, so it says nothing about whether
    /// the other side offers the service.
    fn from_channel(channel: Channel) -> Self;
}

/// What a plugin provides under a name, as it was dispensed: what that is depends on the protocol that was
/// negotiated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Dispensed {
    /// A channel of messages: over gRPC and stdio.
    Channel(Channel),
    /// An instance: over Go's net/rpc.
    #[cfg(feature = "netrpc")]
    Instance(outboard_transport_netrpc::Instance),
}

impl Dispensed {
    /// The channel.
    ///
    /// # Errors
    /// If it is none.
    pub fn into_channel(self) -> Result<Channel, Misfit> {
        match self {
            Self::Channel(channel) => Ok(channel),
            #[cfg(feature = "netrpc")]
            Self::Instance(_) => Err(Misfit::new("Go's net/rpc", "gRPC")),
        }
    }
}

/// What can be made of what was dispensed: every [`Client`] of a service, every client of an interface over
/// net/rpc, and [`Dispensed`] itself, for hosts that look at what they got.
pub trait Dispense: Sized {
    /// Makes it. Nothing is sent.
    ///
    /// # Errors
    /// If the plugin speaks another protocol than this.
    fn from_dispensed(dispensed: Dispensed) -> Result<Self, Misfit>;
}

impl<C: Client> Dispense for C {
    fn from_dispensed(dispensed: Dispensed) -> Result<Self, Misfit> {
        dispensed.into_channel().map(Self::from_channel)
    }
}

impl Dispense for Dispensed {
    fn from_dispensed(dispensed: Dispensed) -> Result<Self, Misfit> {
        Ok(dispensed)
    }
}

/// A client is of another protocol than what it was to be made of.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plugin speaks {found}, and this is a client of {expected}: dispense the client that belongs to \
     the protocol that was negotiated (RunningPlugin::protocol)"
)]
#[non_exhaustive]
pub struct Misfit {
    /// What the plugin speaks.
    pub found: &'static str,
    /// What the client speaks.
    pub expected: &'static str,
}

impl Misfit {
    /// What the plugin speaks, and what the client speaks.
    #[must_use]
    pub const fn new(found: &'static str, expected: &'static str) -> Self {
        Self { found, expected }
    }
}

outboard_core::debug_as_text!(Misfit);
