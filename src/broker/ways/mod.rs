//! The ways on which brokered calls travel. A further one is a file here, a line in [`AnyWay`], and one in
//! [`over`] or [`before`].

#[cfg(feature = "netrpc")]
mod absent;
mod controlled;
mod early;
mod inside;
pub(super) mod server;
pub(super) mod sockets;
#[cfg(feature = "multiplex")]
pub(super) mod streams;

use std::sync::Arc;

use outboard_core::broker as machine;
use outboard_core::handshake::Protocol;
use outboard_core::rpc::{
    Channel, ConnectionConfig, Router, Status, Streaming, SubChannels, Transport,
};
use outboard_core::rt::{BoxFuture, SharedRuntime};
use outboard_core::wire::plugin::ConnInfo;

use super::BrokerError;
use crate::carrier::Carrier;
use crate::serve::shutdown::Shutdown;
use crate::serve::tracked::InFlight;

#[cfg(feature = "netrpc")]
use self::absent::Absent;
use self::inside::Inside;
use self::sockets::Sockets;
#[cfg(feature = "multiplex")]
use self::streams::Streams;

pub(super) use self::early::Early;
pub(crate) use self::sockets::ListenPolicy;

/// What a broker is made of. Each way takes of it what it needs.
pub(crate) struct BrokerParts {
    pub(crate) runtime: SharedRuntime,
    /// How dialled addresses are reached.
    pub(crate) carrier: Carrier,
    pub(crate) transport: Arc<dyn Transport>,
    /// For dialled connections; what their streams say of themselves is filled in.
    pub(crate) config: ConnectionConfig,
    pub(crate) listen: ListenPolicy,
    /// Counts the calls of what is served, for those who wait for their end.
    pub(crate) calls: Option<Arc<InFlight>>,
    /// Tells what is served that this side begins to end, where it is a plugin.
    pub(crate) ending: Option<Shutdown>,
    /// Counts the listeners, each until the last connection it took has ended.
    pub(crate) servers: Arc<InFlight>,
}

/// A way on which brokered calls travel.
///
/// It is called under no lock, by several threads at once, and in any order: what it is asked for once
/// it is closed fails, and stopping what is not served has no effect.
pub(super) trait Way {
    /// Serves `router` under `id`, which nothing else here has, until that is stopped.
    fn serve(&self, id: u32, router: Arc<Router>) -> Result<(), BrokerError>;

    /// Serves `id` no more: calls in flight are finished.
    fn stop(&self, id: u32);

    /// A channel to what the other side serves under `id`. Dropping the future gives up the dial.
    fn dial(&self, id: u32) -> BoxFuture<'static, Result<Channel, BrokerError>>;

    /// Ends everything, and lets go of the connection. What was under way and what comes later fails
    /// with this, unless it was closed before.
    fn close(&self, why: &str);

    /// The other side is dead and cleans up nothing any more.
    fn clear_up(&self) {}

    /// Its control stream, where it has one.
    fn control(&self) -> Option<Arc<dyn Control>> {
        None
    }

    /// Adds what there is to tell.
    fn report(&self, report: &mut Report);
}

/// One of the ways. An enum and no object, so that what a program never asks of any way is not in it: a
/// plugin that neither serves nor dials holds nothing of the sockets.
#[derive(Clone)]
pub(super) enum AnyWay {
    Early(Arc<Early>),
    Inside(Arc<Inside>),
    Sockets(Sockets),
    #[cfg(feature = "multiplex")]
    Streams(Streams),
    #[cfg(feature = "netrpc")]
    Absent(Absent),
}

macro_rules! each {
    ($any:expr, $way:ident => $call:expr) => {
        match $any {
            AnyWay::Early($way) => $call,
            AnyWay::Inside($way) => $call,
            AnyWay::Sockets($way) => $call,
            #[cfg(feature = "multiplex")]
            AnyWay::Streams($way) => $call,
            #[cfg(feature = "netrpc")]
            AnyWay::Absent($way) => $call,
        }
    };
}

impl Way for AnyWay {
    fn serve(&self, id: u32, router: Arc<Router>) -> Result<(), BrokerError> {
        each!(self, way => way.serve(id, router))
    }

    fn stop(&self, id: u32) {
        each!(self, way => way.stop(id));
    }

    fn dial(&self, id: u32) -> BoxFuture<'static, Result<Channel, BrokerError>> {
        each!(self, way => way.dial(id))
    }

    fn close(&self, why: &str) {
        each!(self, way => way.close(why));
    }

    fn clear_up(&self) {
        each!(self, way => way.clear_up());
    }

    fn control(&self) -> Option<Arc<dyn Control>> {
        each!(self, way => way.control())
    }

    fn report(&self, report: &mut Report) {
        each!(self, way => way.report(report));
    }
}

/// The control stream of a way on which it is told what is served. It may be lost with a connection
/// and come back with the next.
pub(crate) trait Control: Send + Sync + 'static {
    /// This side's half of the stream that it opens: for the first time, or again after that was lost
    /// with its connection. What is served is announced again then, and the earlier stream takes
    /// nothing any more.
    fn outgoing(&self) -> Streaming<ConnInfo>;

    /// This side's half of the stream that the other side opens.
    ///
    /// # Errors
    /// A status if there was one before: a broker belongs to one connection and has one control
    /// stream there. Whoever lost that connects again.
    fn outgoing_once(&self) -> Result<Streaming<ConnInfo>, Status>;

    /// Takes a message of the other side's.
    fn received(&self, message: ConnInfo);

    /// Takes the receiving half of the stream.
    fn attach(&self, incoming: Streaming<ConnInfo>);

    /// Takes what comes on the receiving half of the stream, until that ends.
    fn listen_to(&self, incoming: Streaming<ConnInfo>) -> BoxFuture<'static, Result<(), Status>>;

    /// The stream has ended for good.
    fn ended(&self, ended: &Result<(), Status>);
}

/// What a broker tells of itself.
#[derive(Default)]
pub(super) struct Report {
    pub(super) serving: Vec<u32>,
    pub(super) dialling: Vec<u32>,
    pub(super) closed: Option<machine::BrokerError>,
}

/// The way over a connection that has begun.
pub(super) fn over(parts: &Arc<BrokerParts>, channels: Option<Arc<dyn SubChannels>>) -> AnyWay {
    match channels {
        Some(channels) => {
            let inside = Inside::new(channels, parts.config.clone());
            AnyWay::Inside(Arc::new(inside))
        }
        None => agreed_on(parts),
    }
}

/// The way that is there before any connection has begun, if it does not take that to know it.
pub(super) fn before(parts: &Arc<BrokerParts>) -> Option<AnyWay> {
    match parts.transport.protocol() {
        // In go-plugin's own protocol it does not.
        Protocol::Grpc => Some(agreed_on(parts)),
        #[cfg(feature = "netrpc")]
        Protocol::NetRpc => Some(AnyWay::Absent(Absent)),
        _ => None,
    }
}

/// go-plugin's: streams of the one connection if all share one, else sockets.
fn agreed_on(parts: &Arc<BrokerParts>) -> AnyWay {
    #[cfg(feature = "multiplex")]
    if parts.carrier.session().is_some() {
        return AnyWay::Streams(Streams::new(parts));
    }
    AnyWay::Sockets(Sockets::new(parts))
}

/// Why a way that is closed does nothing any more.
fn closed(reason: &str) -> machine::BrokerError {
    machine::BrokerError::Closed {
        reason: reason.to_owned(),
    }
}
