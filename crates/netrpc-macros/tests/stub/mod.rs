//! What the macro needs of `outboard`, over the transport alone.
#![allow(dead_code, unreachable_pub)] // Each user takes a part, and one is a library.

use std::fmt;
use std::sync::Arc;

use outboard_transport_netrpc::{Instance, Make};

/// As `outboard::netrpc`.
pub mod netrpc {
    pub use outboard_gob::{Received, Value};
    pub use outboard_transport_netrpc::wire::Nothing;
    pub use outboard_transport_netrpc::*;

    /// A client of what was dispensed.
    pub fn from_dispensed<C: Client>(dispensed: super::Dispensed) -> Result<C, super::Misfit> {
        match dispensed {
            super::Dispensed::Instance(instance) => Ok(C::from_instance(instance)),
            super::Dispensed::Channel => Err(super::Misfit),
        }
    }

    /// The same service for each that is dispensed.
    pub fn provided(service: impl Service) -> super::Provided {
        let service: super::Arc<dyn Service> = super::Arc::new(service);
        super::Provided(super::Arc::new(move |_| Ok(super::Arc::clone(&service))))
    }
}

/// What a plugin has dispensed.
pub enum Dispensed {
    /// Over net/rpc.
    Instance(Instance),
    /// Over gRPC.
    Channel,
}

/// It is of another protocol than the client.
#[derive(Debug)]
pub struct Misfit;

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client is of another protocol")
    }
}

impl std::error::Error for Misfit {}

/// A client of something.
pub trait Dispense: Sized {
    /// Of this.
    ///
    /// # Errors
    /// If it is of another protocol.
    fn from_dispensed(dispensed: Dispensed) -> Result<Self, Misfit>;
}

/// What a plugin provides under one name.
pub struct Provided(pub Make);

/// Something that a plugin can provide.
pub trait Provide {
    /// It, to be provided.
    fn into_provided(self) -> Provided;
}
