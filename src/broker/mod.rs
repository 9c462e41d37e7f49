//! The broker: live interfaces passed between host and plugin, in both directions.

mod control;
mod error;
mod served;
mod server;
#[cfg(all(test, unix))]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use outboard_core::broker::{
    self as machine, BrokerAction, BrokerConfig, BrokerEvent, BrokerInput, BrokerMode,
};
use outboard_core::endpoint::Endpoint;
use outboard_core::env::{PluginEnv, Ports};
use outboard_core::fault::Fault;
use outboard_core::plugin::SocketKind;
use outboard_core::queue::KeyedQueue;
use outboard_core::rpc::{
    Channel, ConnectionConfig, Router, ServerConfig, Service, Serving, SubChannels, Transport,
};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use crate::client::Client;
use crate::plugin::tracked::{InFlight, Tracked};
use crate::sys::files::remove_stale_socket;
use crate::sys::socket::{self, Bound, ListenError};
use crate::time::{self, Alarm};

pub use self::error::BrokerError;
pub use self::served::Served;

use self::server::Server;

/// Passes live interfaces between the two sides of one connection.
///
/// The side that has an implementation [serves](Self::serve) it and sends the id in a message of
/// its own; the other side [dials](Self::dial) the id. Each served id can be dialled once (a rule of
/// go-plugin); the connection made by that lasts until either side lets go of it.
///
/// Over the stdio transport brokered calls travel inside the plugin's pipes. Nothing is announced
/// there: a dial returns at once, an id may be dialled repeatedly, and if nobody serves it, the
/// first call says so.
///
/// The host finds it at [`RunningPlugin::broker`](crate::RunningPlugin::broker), a handler in a
/// plugin or host at [`context::broker`](crate::context::broker). Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    parts: BrokerParts,
    state: Mutex<State>,
}

/// What is needed to make a [`Broker`].
pub(crate) struct BrokerParts {
    pub(crate) runtime: SharedRuntime,
    pub(crate) transport: Arc<dyn Transport>,
    /// For dialled connections; the authority is that of their address.
    pub(crate) config: ConnectionConfig,
    pub(crate) listen: ListenPolicy,
    /// Counts the calls of what is served, for those who wait for their end.
    pub(crate) calls: Option<Arc<InFlight>>,
    /// Counts the listeners, each until the last connection it took has ended.
    pub(crate) servers: Arc<InFlight>,
}

/// How the sockets of served ids are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenPolicy {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) group: Option<String>,
    /// TCP on these ports instead of unix sockets.
    pub(crate) ports: Option<Ports>,
}

impl ListenPolicy {
    /// The same rules as for the plugin's main listener.
    pub(crate) fn of_plugin(env: &PluginEnv, kind: SocketKind) -> Self {
        Self {
            dir: env.socket_dir().map(std::path::Path::to_path_buf),
            group: env.socket_group().map(ToString::to_string),
            ports: match kind {
                SocketKind::Unix => None,
                // A bad range was refused when the main listener was made.
                SocketKind::Tcp => Some(env.ports().unwrap_or(Ports::Any)),
            },
        }
    }

    fn listen(&self) -> Result<Bound, ListenError> {
        match self.ports {
            Some(ports) => socket::listen_tcp(ports),
            None if cfg!(windows) => socket::listen_tcp(Ports::Any),
            None => {
                let dir = self.dir.clone().unwrap_or_else(std::env::temp_dir);
                socket::listen_unix(&dir, self.group.as_deref())
            }
        }
    }
}

struct State {
    machine: machine::Broker,
    /// Counts the machines. What belongs to an earlier one leaves this one alone.
    generation: u64,
    /// The machine's control stream has been opened.
    has_control: bool,
    /// The connection's own channels, on transports that need no sockets for the broker.
    sub_channels: Option<Arc<dyn SubChannels>>,
    dials: BTreeMap<u32, Dial>,
    last_ticket: u64,
    /// Routers of ids whose listener is being made.
    accepting: BTreeMap<u32, Arc<Router>>,
    servers: BTreeMap<u32, Server>,
    /// What is served inside the connection, by generation and id.
    channels: BTreeMap<(u64, u32), Arc<dyn Serving>>,
    /// Why an id is not served, by generation and id, until its `serve` call has looked.
    refused: BTreeMap<(u64, u32), machine::BrokerError>,
    /// The control stream's sending half sleeps until there is something to send.
    transmit: Option<Waker>,
    timer_runs: bool,
    closed_by_us: bool,
    /// Socket files that the peer announced and may leave behind if it is killed, the latest last.
    peer_files: KeyedQueue<PathBuf>,
}

/// A dial that waits for the other side's announcement.
struct Dial {
    /// Tells it from an earlier dial of the same id, whose answer nobody has looked at yet.
    ticket: u64,
    answer: DialAnswer,
}

/// The most socket files of a peer that are remembered for removal after its death: more than it has
/// at once, bounded since the peer decides. The oldest are the likeliest to be gone already.
const MAX_PEER_FILES: usize = 1024;

/// How long connecting to an announced address may take; as in Go's gRPC.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

fn new_machine() -> machine::Broker {
    machine::Broker::new(BrokerConfig::new(BrokerMode::Listeners))
}

impl Broker {
    pub(crate) fn new(parts: BrokerParts) -> Self {
        let state = State {
            machine: new_machine(),
            generation: 0,
            has_control: false,
            sub_channels: None,
            dials: BTreeMap::new(),
            last_ticket: 0,
            accepting: BTreeMap::new(),
            servers: BTreeMap::new(),
            channels: BTreeMap::new(),
            refused: BTreeMap::new(),
            transmit: None,
            timer_runs: false,
            closed_by_us: false,
            peer_files: KeyedQueue::new(),
        };
        Self(Arc::new(Inner {
            parts,
            state: Mutex::new(state),
        }))
    }

    /// Serves `service` to the other side, under a fresh id, until the returned handle is dropped.
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
        if let Some(calls) = &self.0.parts.calls {
            router.wrap_services(|service| Arc::new(Tracked::new(service, Arc::clone(calls))));
        }
        let now = self.0.parts.runtime.now();
        let mut state = self.lock();
        let generation = state.generation;
        let id = state.machine.next_id();
        if let Some(channels) = state.sub_channels.clone() {
            if let Some(closed) = state.machine.closed() {
                return Err(closed.clone().into());
            }
            let serving = channels
                .accept(id, Arc::new(router))
                .map_err(BrokerError::Channel)?;
            state.channels.insert((generation, id), serving);
            return Ok(Served::new(self.clone(), generation, id));
        }
        state.machine.accept(now, id)?;
        state.accepting.insert(id, Arc::new(router));
        self.settle(state);
        let refused = self.lock().refused.remove(&(generation, id));
        match refused {
            Some(error) => Err(error.into()),
            None => Ok(Served::new(self.clone(), generation, id)),
        }
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
        let inside = {
            let state = self.lock();
            match (&state.sub_channels, state.machine.closed()) {
                (Some(_), Some(closed)) => return Err(closed.clone().into()),
                (channels, _) => channels.clone(),
            }
        };
        if let Some(channels) = inside {
            return Ok(Channel::new(channels.dial(id, self.0.parts.config.clone())));
        }
        let (ticket, dialled) = {
            let now = self.0.parts.runtime.now();
            let mut state = self.lock();
            state.machine.dial(now, id)?;
            let (answer, dialled) = oneshot::channel();
            state.last_ticket += 1;
            let ticket = state.last_ticket;
            state.dials.insert(id, Dial { ticket, answer });
            self.settle(state);
            (ticket, dialled)
        };
        let give_up = GiveUp {
            broker: self,
            id,
            ticket,
        };
        let answered = dialled.await;
        std::mem::forget(give_up);
        let closed = || machine::BrokerError::Closed {
            reason: "its side is gone".to_owned(),
        };
        let endpoint = answered.unwrap_or_else(|_| Err(closed()))?;
        let parts = &self.0.parts;
        // The system itself gives up an address that does not answer after minutes.
        let limit = time::sleep(&parts.runtime, CONNECT_WITHIN);
        let connected = match select(parts.runtime.connect(&endpoint), limit).await {
            Either::Left((connected, _)) => connected,
            Either::Right(((), _)) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it did not answer within {CONNECT_WITHIN:?}"),
            )),
        };
        let io = connected.map_err(|error| BrokerError::Connect {
            id,
            endpoint: endpoint.to_string(),
            fault: error.into(),
        })?;
        let config = ConnectionConfig {
            authority: endpoint.authority(),
            ..parts.config.clone()
        };
        Ok(Channel::new(parts.transport.connect(
            &parts.runtime,
            io,
            config,
        )))
    }

    /// Begins the connection with `begin`, and serves and dials inside it from then on where it
    /// can. Until it has begun nobody else gets to the broker: on a runtime with several threads
    /// the first call may be answered before `begin` returns.
    pub(crate) fn begin<C>(
        &self,
        begin: impl FnOnce() -> C,
        sub_channels: impl FnOnce(&C) -> Option<Arc<dyn SubChannels>>,
    ) -> C {
        let mut state = self.lock();
        let connection = begin();
        state.sub_channels = sub_channels(&connection);
        connection
    }

    /// Ends everything: served ids, dials under way, the control stream.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed_by_us = true;
        state.machine.close();
        let channels = std::mem::take(&mut state.channels);
        // They hold the connection, and what it serves holds the broker.
        let connection = state.sub_channels.take();
        self.settle(state);
        drop(connection);
        for serving in channels.into_values() {
            serving.drain();
        }
    }

    /// Removes the socket files that the peer, now dead, has announced and left behind.
    pub(crate) fn remove_stale_files(&self) {
        let files = std::mem::take(&mut self.lock().peer_files);
        for file in files.keys() {
            remove_stale_socket(file);
        }
    }

    /// No effect if the control stream that `id` was served on has ended: then so has the id, and a
    /// later stream may have one of the same number.
    fn stop_serving(&self, generation: u64, id: u32) {
        let serving = self.lock().channels.remove(&(generation, id));
        match serving {
            Some(serving) => serving.drain(),
            None => self.update(generation, |machine, now| machine.close_id(now, id)),
        }
    }

    /// Changes the machine, if it is still the one of this generation.
    fn update(&self, generation: u64, change: impl FnOnce(&mut machine::Broker, Instant)) {
        let now = self.0.parts.runtime.now();
        let mut state = self.lock();
        if state.generation == generation {
            change(&mut state.machine, now);
            self.settle(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what the machine asks for. To be called after every change of it.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        let mut after = AfterUnlock::default();
        self.carry_out(&mut state, &mut after);
        after.transmit = state.transmit.take();
        if !state.timer_runs && state.machine.poll_timeout().is_some() {
            state.timer_runs = true;
            after.tasks.push(Box::pin(keep_time(
                Arc::downgrade(&self.0),
                Arc::clone(&self.0.parts.runtime),
            )));
        }
        drop(state);
        after.run(&self.0.parts.runtime);
    }

    fn carry_out(&self, state: &mut State, after: &mut AfterUnlock) {
        let now = self.0.parts.runtime.now();
        loop {
            if let Some(action) = state.machine.poll_action() {
                match action {
                    BrokerAction::Listen { id } => {
                        let answer = self.listen(state, id, after);
                        state.machine.handle(now, answer);
                    }
                    BrokerAction::Connect { id, endpoint } => {
                        if let Some(dial) = state.dials.remove(&id) {
                            after.answers.push((dial.answer, Ok(endpoint)));
                        }
                    }
                    BrokerAction::StopListening { id } => {
                        after.servers.extend(state.servers.remove(&id));
                    }
                    // Asked for only when multiplexed, and this broker is not.
                    BrokerAction::OpenStream { .. } | BrokerAction::DiscardStream { .. } => {}
                }
            } else if let Some(event) = state.machine.poll_event() {
                match event {
                    BrokerEvent::DialFailed { id, error } => {
                        if let Some(dial) = state.dials.remove(&id) {
                            after.answers.push((dial.answer, Err(error)));
                        }
                    }
                    BrokerEvent::AcceptFailed { id, error } => {
                        if let Some(router) = state.accepting.remove(&id) {
                            state.refused.insert((state.generation, id), error);
                            after.routers.push(router);
                        }
                        after.servers.extend(state.servers.remove(&id));
                    }
                }
            } else {
                break;
            }
        }
    }

    fn listen(&self, state: &mut State, id: u32, after: &mut AfterUnlock) -> BrokerInput {
        let Some(router) = state.accepting.remove(&id) else {
            let fault = Fault::other("the id is no longer wanted");
            return BrokerInput::ListenFailed { id, fault };
        };
        let parts = &self.0.parts;
        let server = parts.listen.listen().and_then(|bound| {
            let endpoint = bound.endpoint.clone();
            let listener = parts.runtime.listener(bound.socket, endpoint.clone());
            let listener = listener.map_err(ListenError::Register)?;
            let config = ServerConfig {
                max_message_size: parts.config.max_message_size,
            };
            let (server, task) = Server::new(
                Arc::clone(&parts.runtime),
                Arc::clone(&parts.transport),
                (listener, bound.file),
                Arc::clone(&router),
                config,
                parts.servers.enter(),
            );
            Ok((server, task, endpoint))
        });
        match server {
            Ok((server, task, endpoint)) => {
                state.servers.insert(id, server);
                after.tasks.push(task);
                BrokerInput::Listening { id, endpoint }
            }
            Err(error) => {
                // Still marked as being accepted, so that the caller of `serve` learns of it.
                state.accepting.insert(id, router);
                BrokerInput::ListenFailed {
                    id,
                    fault: Fault::other(error),
                }
            }
        }
    }
}

/// What waits until the state is unlocked, since it may run code of others: wakers, the runtime, and
/// the drop of a user's service, which may own what this very broker serves.
#[derive(Default)]
struct AfterUnlock {
    answers: Vec<(DialAnswer, Result<Endpoint, machine::BrokerError>)>,
    tasks: Vec<BoxFuture<'static, ()>>,
    servers: Vec<Server>,
    routers: Vec<Arc<Router>>,
    transmit: Option<Waker>,
}

type DialAnswer = oneshot::Sender<Result<Endpoint, machine::BrokerError>>;

impl AfterUnlock {
    fn run(self, runtime: &SharedRuntime) {
        for (dial, answer) in self.answers {
            // A dial that was dropped meanwhile wants no answer.
            let _given_up = dial.send(answer);
        }
        for task in self.tasks {
            runtime.spawn(task);
        }
        if let Some(waker) = self.transmit {
            waker.wake();
        }
    }
}

/// Runs the machine's timers as long as there are any. All of them run for the same time, so the
/// next one is never earlier than the one being waited for.
async fn keep_time(broker: Weak<Inner>, runtime: SharedRuntime) {
    let mut alarm = Alarm::default();
    loop {
        let at = {
            let Some(broker) = broker.upgrade().map(Broker) else {
                return;
            };
            let mut state = broker.lock();
            let Some((at, _)) = state.machine.poll_timeout() else {
                state.timer_runs = false;
                return;
            };
            at
        };
        let now = poll_fn(|cx| alarm.poll(&runtime, Some(at), cx)).await;
        let Some(broker) = broker.upgrade().map(Broker) else {
            return;
        };
        let mut state = broker.lock();
        // A machine that has come meanwhile has only later timers.
        state.machine.handle_timeout(now);
        broker.settle(state);
    }
}

/// Gives up a dial when its future is dropped.
struct GiveUp<'a> {
    broker: &'a Broker,
    id: u32,
    ticket: u64,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        let mut state = self.broker.lock();
        let is_ours = |dial: &Dial| dial.ticket == self.ticket;
        if !state.dials.get(&self.id).is_some_and(is_ours) {
            return;
        }
        let dial = state.dials.remove(&self.id);
        let now = self.broker.0.parts.runtime.now();
        state.machine.cancel_dial(now, self.id);
        self.broker.settle(state);
        drop(dial);
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Broker")
            .field("serving", &state.servers.keys().collect::<Vec<_>>())
            .field("dialling", &state.dials.keys().collect::<Vec<_>>())
            .field("closed", &state.machine.closed())
            .finish_non_exhaustive()
    }
}
