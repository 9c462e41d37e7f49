//! How streams of bytes come about. What is under a transport is known here and nowhere else. Hosts,
//! plugins and brokered connections dial ([`Carrier`]) and accept ([`Acceptor`]) in the same place.
//!
//! Which layers there are above a socket, and in which order, is said by [`Layers`]. Pipes and memory have
//! none: nobody else can get at them.

mod accept;
mod attempt;
mod clear;
mod connections;
mod dial;
#[cfg(feature = "multiplex")]
mod handed;
mod layers;
mod opened;
mod security;
#[cfg(feature = "multiplex")]
mod session;
mod stream;

pub(crate) use self::accept::{Acceptor, Prepare};
pub(crate) use self::attempt::{Attempt, Outcome};
pub(crate) use self::connections::Connections;
pub(crate) use self::dial::Carrier;
#[cfg(feature = "multiplex")]
pub(crate) use self::handed::{Hand, handed};
pub(crate) use self::layers::Layers;
pub(crate) use self::opened::Opened;
pub(crate) use self::security::Security;
#[cfg(feature = "tls")]
pub(crate) use self::security::fault;
#[cfg(feature = "multiplex")]
pub(crate) use self::session::{Role, Session};
pub(crate) use self::stream::{Carried, Raw, Unreached};
