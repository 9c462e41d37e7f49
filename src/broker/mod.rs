//! The broker: live interfaces passed between host and plugin, in both directions.

mod error;
mod gate;
mod served;
#[cfg(all(test, unix))]
pub(crate) mod tests;
mod ways;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use outboard_core::broker::Ids;
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{Channel, Router, Service, SubChannels};
use outboard_core::rt::BoxByteStream;

use crate::client::Client;
use crate::serve::context;
use crate::serve::tracked::Tracked;

use self::gate::Gate;
use self::ways::{AnyWay, Early, Report, Way as _};

pub use self::error::BrokerError;
pub use self::served::Served;
pub(crate) use self::ways::{BrokerParts, Control, ListenPolicy};

/// Passes live interfaces between the two sides of one connection.
///
/// The side that has an implementation [serves](Self::serve) it and sends the id in a message of
/// its own; the other side [dials](Self::dial) the id. Each served id can be dialled once (a rule of
/// go-plugin); what was dialled lasts until either side lets go of it. If its connection is lost
/// before that, it is made again: calls in flight fail with
/// [`is_connection_lost`](crate::Status::is_connection_lost), later ones wait for the new connection
/// within their deadlines, for 5 s at most.
///
/// Over the stdio transport brokered calls travel inside the plugin's pipes. Nothing is announced
/// there: a dial returns at once, an id may be dialled repeatedly, and if nobody serves it, the
/// first call says so.
///
/// The host finds it at [`RunningPlugin::broker`](crate::RunningPlugin::broker), a handler in a
/// plugin or host at [`Broker::current`]. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    parts: Arc<BrokerParts>,
    /// Present where the way is known only once the connection has begun.
    early: Option<Arc<Early>>,
    state: Mutex<State>,
}

/// The ways have locks of their own, of the same rank: none is called under this one.
struct State {
    ids: Ids,
    /// What has a handle.
    served: BTreeSet<u32>,
    /// Serves and dials.
    way: AnyWay,
    /// Go on with what they have begun.
    earlier: Vec<AnyWay>,
    closed: Option<String>,
}

impl Broker {
    /// The broker of the connection on which the [current call](crate::context::current) came.
    ///
    /// # Errors
    /// [`BrokerError::NoCall`] outside of a handler, and in one that no outboard server runs.
    pub fn current() -> Result<Self, BrokerError> {
        let call = context::current().ok_or(BrokerError::NoCall)?;
        let broker = call.extensions().get::<Self>().cloned();
        broker.ok_or(BrokerError::NoCall)
    }

    pub(crate) fn new(parts: BrokerParts) -> Self {
        let parts = Arc::new(parts);
        let (early, way) = match ways::before(&parts) {
            Some(way) => (None, way),
            None => {
                let early = Arc::new(Early::new());
                (Some(Arc::clone(&early)), AnyWay::Early(early))
            }
        };
        let state = State {
            ids: Ids::default(),
            served: BTreeSet::new(),
            way,
            earlier: Vec::new(),
            closed: None,
        };
        Self(Arc::new(Inner {
            parts,
            early,
            state: Mutex::new(Rank::Broker, state),
        }))
    }

    /// Serves `service` to the other side, under a fresh id, until the returned handle is dropped.
    ///
    /// Making a socket may take its time, most of all if a group is to be looked up: on a runtime
    /// with one thread everything else waits for that.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker is closed or no socket can be made.
    pub fn serve(&self, service: impl Service) -> Result<Served, BrokerError> {
        let mut router = Router::new();
        // A router without services takes any first one.
        router.add(Arc::new(service))?;
        self.serve_router(router)
    }

    /// Serves several services under one id, until the returned handle is dropped.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_router(&self, mut router: Router) -> Result<Served, BrokerError> {
        router.extensions_mut().insert(self.clone());
        if let Some(ending) = &self.0.parts.ending {
            router.extensions_mut().insert(ending.clone());
        }
        if let Some(calls) = &self.0.parts.calls {
            router.wrap_services(|service| Arc::new(Tracked::new(service, Arc::clone(calls))));
        }
        let (id, way) = {
            let mut state = self.lock();
            (state.fresh_id(), state.way.clone())
        };
        let served = Served::new(self.clone(), id);
        way.serve(id, Arc::new(router))?;
        Ok(served)
    }

    /// A client of the interface that the other side serves under `id`. Waits at most 5 s for the
    /// other side to announce it; over stdio it does not wait.
    ///
    /// Dropping the future gives up the dial. The id can be dialled again then, unless the other
    /// side's announcement had been taken already: each serves one dial.
    ///
    /// # Errors
    /// [`BrokerError`] says whether nobody serves the id, the broker is closed, or the connection
    /// failed.
    pub async fn dial<C: Client>(&self, id: u32) -> Result<C, BrokerError> {
        Ok(C::from_channel(self.dial_channel(id).await?))
    }

    /// A channel to what the other side serves under `id`; see [`dial`](Self::dial).
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    pub async fn dial_channel(&self, id: u32) -> Result<Channel, BrokerError> {
        let way = self.way();
        way.dial(id).await
    }

    /// Begins the connection over `io` with `begin`, and serves and dials inside it from then on where
    /// it can. Nothing is read of `io` until that is known: on a runtime with several threads the
    /// first call could be answered before `begin` returns, and what it serves be dialled before it
    /// is served.
    pub(crate) fn begin<C>(
        &self,
        io: BoxByteStream,
        begin: impl FnOnce(BoxByteStream) -> C,
        sub_channels: impl FnOnce(&C) -> Option<Arc<dyn SubChannels>>,
    ) -> C {
        let parts = &self.0.parts;
        let Some(early) = &self.0.early else {
            let connection = begin(io);
            let channels = sub_channels(&connection);
            if channels.is_some() {
                self.go_over_to(ways::over(parts, channels));
            }
            return connection;
        };
        let (gate, io) = Gate::before(io);
        let connection = begin(io);
        let way = ways::over(parts, sub_channels(&connection));
        early.known(&way);
        self.go_over_to(way);
        drop(gate);
        connection
    }

    fn go_over_to(&self, way: AnyWay) {
        let closed = {
            let mut state = self.lock();
            let earlier = std::mem::replace(&mut state.way, way.clone());
            state.earlier.push(earlier);
            state.closed.clone()
        };
        // While it began: nothing may hold the connection any more.
        if let Some(why) = closed {
            way.close(&why);
        }
    }

    /// The control stream, if what is served is announced.
    pub(crate) fn control(&self) -> Option<Arc<dyn Control>> {
        self.way().control()
    }

    /// Ends everything: served ids, dials under way, the control stream.
    pub(crate) fn close(&self) {
        self.over("it was closed by this side");
    }

    /// The same where it is over by itself, for this reason, which is told unless it was closed before.
    pub(crate) fn over(&self, reason: &str) {
        let mut state = self.lock();
        let why = state.closed.get_or_insert_with(|| reason.to_owned());
        let why = why.clone();
        drop(state);
        for way in self.ways() {
            way.close(&why);
        }
    }

    /// Removes what the peer, now dead, has left behind.
    pub(crate) fn clear_up(&self) {
        for way in self.ways() {
            way.clear_up();
        }
    }

    fn stop_serving(&self, id: u32) {
        for way in self.ways() {
            way.stop(id);
        }
        self.lock().served.remove(&id);
    }

    fn way(&self) -> AnyWay {
        self.lock().way.clone()
    }

    /// All of them, the first one first.
    fn ways(&self) -> Vec<AnyWay> {
        let state = self.lock();
        let ways = state.earlier.iter().chain([&state.way]);
        ways.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl State {
    /// One under which nothing here is served.
    fn fresh_id(&mut self) -> u32 {
        let id = self.ids.fresh(|id| self.served.contains(&id));
        self.served.insert(id);
        id
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut report = Report::default();
        for way in self.ways() {
            way.report(&mut report);
        }
        f.debug_struct("Broker")
            .field("serving", &report.serving)
            .field("dialling", &report.dialling)
            .field("closed", &report.closed)
            .finish_non_exhaustive()
    }
}
