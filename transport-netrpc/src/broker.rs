//! The broker of a connection: further streams, in either direction, told apart by ids that calls carry.

mod hand;
mod named;
mod work;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use outboard_core::fault::Fault;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_core::told::Teller;
use outboard_gob::Limits;
use outboard_yamux::{Incoming, Opener};

use self::hand::{Hand, Served, Slot, TakeStream};
use self::named::{hang_up, read, write};
use self::work::{acknowledge, keep_time, take};
use crate::client::RpcClient;
use crate::error::BrokerError;
use crate::explain::Explain;
use crate::load::{BOUNDS, Load, Places};
use crate::server::{Services, Until, serve_until};
use crate::service::Service;
use crate::wait::{first, within};
use crate::wire::{Arrival, Boxes, BrokerIds};

/// How long a dial waits for the other side to accept, and a stream of its for the id: the five seconds
/// that go-plugin gives either, and a moment for the way.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// How many streams may be there at once whose id has not come. (A choice.)
const MAX_SILENT: usize = 256;

/// How many streams of a session are served at once: instances and what was offered. (A choice.)
const MAX_SERVED: usize = 1024;

/// How many of them under one id. (A choice.)
const MAX_SERVED_OF_ONE: usize = 256;

/// go-plugin's `MuxBroker` over one session. Cheap to clone.
///
/// A stream whose opener says nothing holds up nobody: go-plugin's broker reads the ids one after another.
#[derive(Clone)]
pub struct MuxBroker(Arc<Inner>);

struct Inner {
    runtime: SharedRuntime,
    opener: Opener,
    limits: Limits,
    explain: Option<Explain>,
    load: Load,
    served: Places,
    state: Mutex<State>,
}

struct State {
    ids: BrokerIds,
    boxes: Boxes<BoxByteStream>,
    accepts: std::collections::BTreeMap<u32, Hand>,
    silent: usize,
    /// Wakes what keeps the time.
    timer: Option<Waker>,
    over: Option<Fault>,
}

impl MuxBroker {
    /// The broker of a session, of which nothing else takes streams. Its work goes on until the session
    /// ends.
    pub(crate) fn new(
        runtime: &SharedRuntime,
        opener: Opener,
        incoming: Incoming,
        limits: Limits,
        explain: Option<Explain>,
    ) -> Self {
        let state = State {
            ids: BrokerIds::default(),
            boxes: Boxes::default(),
            accepts: std::collections::BTreeMap::new(),
            silent: 0,
            timer: None,
            over: None,
        };
        let inner = Arc::new(Inner {
            runtime: Arc::clone(runtime),
            opener,
            limits,
            explain,
            load: Load::new(BOUNDS),
            served: Places::new(MAX_SERVED),
            state: Mutex::new(Rank::Broker, state),
        });
        runtime.spawn(Box::pin(take(Arc::downgrade(&inner), incoming)));
        runtime.spawn(Box::pin(keep_time(
            Arc::downgrade(&inner),
            Arc::clone(runtime),
        )));
        Self(inner)
    }

    /// A fresh id to accept on, and to tell the other side in a call.
    #[must_use]
    pub fn next_id(&self) -> u32 {
        let State { ids, boxes, .. } = &mut *self.0.state.lock();
        ids.next(|id| boxes.is_accepting(id))
    }

    /// The stream of whoever dials `id`, within five seconds of the call.
    ///
    /// # Errors
    /// See [`BrokerError`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the id up.
    pub fn accept(
        &self,
        id: u32,
    ) -> impl Future<Output = Result<BoxByteStream, BrokerError>> + Send + use<> {
        let slot = Slot::new();
        let now = self.0.runtime.now();
        let mut state = self.0.state.lock();
        let outcome = match &state.over {
            Some(fault) => Some(Err(BrokerError::Lost {
                id,
                fault: fault.clone(),
            })),
            None => match state.boxes.accept(now, id) {
                Err(_) => Some(Err(BrokerError::AlreadyAccepting { id })),
                Ok(Some(io)) => Some(Ok(io)),
                Ok(None) => {
                    state.accepts.insert(id, Hand::Once(Arc::clone(&slot)));
                    None
                }
            },
        };
        let waits = outcome.is_none();
        let timer = state.timer.take();
        drop(state);
        wake(timer);
        if let Some(outcome) = outcome {
            slot.put(outcome);
        }
        let giving_up = waits.then(|| GiveUp {
            broker: Arc::downgrade(&self.0),
            id,
            slot: Arc::clone(&slot),
        });
        async move {
            let io = poll_fn(|cx| slot.poll(cx)).await;
            drop(giving_up);
            let mut io = io?;
            let lost = |error: io::Error| BrokerError::Lost {
                id,
                fault: Fault::from(error),
            };
            write(&mut io, id).await.map_err(lost)?;
            Ok(io)
        }
    }

    /// Hands every stream of whoever dials `id` to `take`, until the handle is dropped. `take` must not
    /// wait.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub fn serve(
        &self,
        id: u32,
        take: impl Fn(BoxByteStream) + Send + Sync + 'static,
    ) -> Result<Accepting, BrokerError> {
        self.serve_places(id, Arc::new(move |io, _places| take(io)), None)
    }

    /// The same, where each stream needs a place of these.
    fn serve_places(
        &self,
        id: u32,
        take: TakeStream,
        places: Option<[Places; 2]>,
    ) -> Result<Accepting, BrokerError> {
        let served = Served { take, places };
        let mut state = self.0.state.lock();
        if let Some(fault) = &state.over {
            let fault = fault.clone();
            return Err(BrokerError::Lost { id, fault });
        }
        let kept = state
            .boxes
            .serve(id)
            .map_err(|_| BrokerError::AlreadyAccepting { id })?;
        state.accepts.insert(id, Hand::Served(served.clone()));
        drop(state);
        if let Some(io) = kept {
            acknowledge(&self.0, id, io, served);
        }
        Ok(Accepting {
            broker: Arc::downgrade(&self.0),
            id,
            stop: None,
        })
    }

    /// A stream to whoever accepts on `id` at the other side.
    ///
    /// # Errors
    /// See [`BrokerError`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the stream.
    pub fn dial(
        &self,
        id: u32,
    ) -> impl Future<Output = Result<BoxByteStream, BrokerError>> + Send + use<> {
        let opening = self.0.opener.open();
        let runtime = Arc::clone(&self.0.runtime);
        async move {
            let limit = ANSWER_WITHIN;
            let dialling = async {
                let lost = |fault: Fault| BrokerError::Lost { id, fault };
                let io = opening.await.map_err(|error| lost(Fault::other(error)))?;
                let mut io: BoxByteStream = Box::new(io);
                let written = write(&mut io, id).await;
                written.map_err(|error| lost(Fault::from(error)))?;
                match read(&mut io).await {
                    Ok(Some(found)) if found == id => Ok(io),
                    Ok(Some(found)) => Err(BrokerError::WrongId { id, found }),
                    Ok(None) => Err(BrokerError::Closed { id }),
                    Err(error) => Err(lost(Fault::from(error))),
                }
            };
            within(&runtime, limit, dialling)
                .await
                .unwrap_or(Err(BrokerError::NotAccepted { id, after: limit }))
        }
    }

    /// A client of what the other side serves under `id`.
    ///
    /// # Errors
    /// See [`BrokerError`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the stream.
    pub fn client(
        &self,
        id: u32,
    ) -> impl Future<Output = Result<RpcClient, BrokerError>> + Send + use<> {
        let (dialling, inner) = (self.dial(id), Arc::downgrade(&self.0));
        async move {
            let io = dialling.await?;
            let gone = || BrokerError::Lost {
                id,
                fault: Fault::other("the connection is gone"),
            };
            let inner = inner.upgrade().ok_or_else(gone)?;
            let explain = inner.explain.clone();
            let (runtime, limits) = (&inner.runtime, inner.limits);
            Ok(RpcClient::explained(runtime, io, limits, explain))
        }
    }

    /// Serves `service` under a fresh id, for everybody who dials that, until the handle is dropped: to be
    /// passed to the other side in a call. Its methods are called as `Plugin.…`, as go-plugin's are.
    ///
    /// It is served on 256 streams at once, and a session serves 1,024 in all: a dial that is one too many is
    /// closed as if nobody accepted.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn offer(&self, service: Arc<dyn Service>) -> Result<Accepting, BrokerError> {
        let services: Services = Arc::new([("Plugin".to_owned(), service)].into());
        let (runtime, limits) = (Arc::clone(&self.0.runtime), self.0.limits);
        let opener = self.0.opener.clone();
        let load = self.0.load.clone();
        let places = [self.0.served.clone(), Places::new(MAX_SERVED_OF_ONE)];
        let stop = Teller::new();
        let told = stop.told();
        let take: TakeStream = Arc::new(move |io, places| {
            let (of, services) = (Arc::clone(&runtime), Arc::clone(&services));
            let (closed, told, load) = (opener.closed(), told.clone(), load.clone());
            runtime.spawn(Box::pin(async move {
                let _places = places;
                let until = Until {
                    closed: async { Fault::other(closed.await) },
                    drained: std::future::pending(),
                };
                let serving = serve_until(of, io, services, limits, &load, until);
                // Whoever drops the handle ends what is served, with the calls that run.
                first(told, Box::pin(serving)).await;
            }));
        });
        let mut accepting = self.serve_places(self.next_id(), take, Some(places))?;
        accepting.stop = Some(stop);
        Ok(accepting)
    }

    /// What the calls of the session hold together.
    pub(crate) fn load(&self) -> &Load {
        &self.0.load
    }

    /// Where each stream that is served has a place.
    pub(crate) fn places(&self) -> &Places {
        &self.0.served
    }

    /// The runtime that the connection is on.
    #[must_use]
    pub fn runtime(&self) -> &SharedRuntime {
        &self.0.runtime
    }

    /// How the connection ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Fault> {
        self.0.state.lock().over.clone()
    }
}

impl fmt::Debug for MuxBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        let ids: Vec<u32> = state.accepts.keys().copied().collect();
        let over = state.over.clone();
        drop(state);
        f.debug_struct("MuxBroker")
            .field("accepting", &ids)
            .field("over", &over)
            .finish()
    }
}

/// An id that is served. Dropping it ends that: streams that were handed over go on, and those of a service
/// that was [offered](MuxBroker::offer) end.
#[derive(Debug)]
pub struct Accepting {
    broker: Weak<Inner>,
    id: u32,
    /// Its drop tells what was offered.
    stop: Option<Teller<()>>,
}

impl Accepting {
    /// The id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        stop(&self.broker, self.id, |hand| {
            matches!(hand, Hand::Served(_))
        });
    }
}

/// Gives up an id that one stream is waited for on.
struct GiveUp {
    broker: Weak<Inner>,
    id: u32,
    slot: Arc<Slot>,
}

impl Drop for GiveUp {
    fn drop(&mut self) {
        // It may be another's by now.
        let is_own =
            |hand: &Hand| matches!(hand, Hand::Once(slot) if Arc::ptr_eq(slot, &self.slot));
        stop(&self.broker, self.id, is_own);
    }
}

fn stop(broker: &Weak<Inner>, id: u32, is_own: impl FnOnce(&Hand) -> bool) {
    let Some(inner) = broker.upgrade() else {
        return;
    };
    let mut state = inner.state.lock();
    if !state.accepts.get(&id).is_some_and(is_own) {
        return;
    }
    state.boxes.stop(id);
    let hand = state.accepts.remove(&id);
    drop(state);
    drop(hand);
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end(&Fault::other("this side has let go of the connection"));
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MuxBroker")
    }
}

impl Inner {
    /// A stream has said which id it is for.
    fn arrived(self: &Arc<Self>, id: u32, io: BoxByteStream) {
        let now = self.runtime.now();
        let mut state = self.state.lock();
        if state.over.is_some() {
            drop(state);
            return hang_up(&self.runtime, io);
        }
        let io = match state.boxes.arrived(now, id, io) {
            Arrival::Take(io) => io,
            Arrival::Kept => {
                let timer = state.timer.take();
                drop(state);
                wake(timer);
                return;
            }
            Arrival::Refuse(io) => {
                drop(state);
                return hang_up(&self.runtime, io);
            }
        };
        match state.accepts.get(&id) {
            Some(Hand::Served(served)) => {
                let served = served.clone();
                drop(state);
                acknowledge(self, id, io, served);
            }
            Some(Hand::Once(_)) => {
                let hand = state.accepts.remove(&id);
                drop(state);
                if let Some(Hand::Once(slot)) = hand {
                    slot.put(Ok(io));
                }
            }
            None => {
                drop(state);
                hang_up(&self.runtime, io);
            }
        }
    }

    fn end(&self, fault: &Fault) {
        let mut state = self.state.lock();
        state.over.get_or_insert_with(|| fault.clone());
        let kept = state.boxes.close();
        let accepts = std::mem::take(&mut state.accepts);
        let timer = state.timer.take();
        drop(state);
        drop(kept);
        for (id, hand) in accepts {
            if let Hand::Once(slot) = hand {
                slot.put(Err(BrokerError::Lost {
                    id,
                    fault: fault.clone(),
                }));
            }
        }
        wake(timer);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
