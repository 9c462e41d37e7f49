//! What the two directions of a connection share: the machine, the stream of bytes, and who waits
//! for what.
//!
//! Everything lies behind one lock that is never held while foreign code runs. Whoever changes
//! the machine also writes, if that is likely to save a hop; the driver reads, and so does a caller
//! that waits alone.

mod caller;
mod writing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use outboard_core::rpc::{CallHead, LostHook, Metadata, OutMessage, Router, Status};
use outboard_core::rt::{BoxByteStream, SharedRuntime};

use crate::server::{Gate, Job, Server};
use crate::wakers::IoWaker;
use crate::wire::{CallStart, Event, Key, Mux, MuxConfig, OpenError, OutBuf, SendError, close};

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) runtime: SharedRuntime,
    state: Mutex<State>,
}

/// The number of the main connection among a session's connections.
pub(crate) const MAIN: u64 = 0;

pub(crate) struct State {
    pub(crate) io: Option<BoxByteStream>,
    pub(crate) mux: Mux,
    out: OutBuf,
    /// Wakes the driver, once it has run.
    pub(crate) driver: Option<Waker>,
    /// Where the driver ran last.
    driver_thread: Option<ThreadId>,
    /// Left with `io`.
    pub(crate) io_waker: Arc<IoWaker>,
    /// How many unary calls of this side are under way.
    unary: usize,
    driver_woken: bool,
    /// How many streams the last bytes read were for: many of them mean that more writers are
    /// about to come, and one write by the driver serves them all.
    pub(crate) last_batch: usize,
    unflushed: bool,
    /// Bytes have come since the driver asked last.
    pub(crate) has_read: bool,
    ours: Vec<Waiter>,
    theirs: Vec<Waiter>,
    pub(crate) servers: BTreeMap<u32, Server>,
    pub(crate) connections: BTreeMap<u64, Calls>,
    next_connection: u64,
    pub(crate) drain: Option<Drain>,
    pub(crate) hook: Option<LostHook>,
    /// Why the connection was lost, until the hook has explained it.
    pub(crate) lost: Option<Status>,
    /// Why nothing can be written any more; what the peer sent before is still read.
    pub(crate) broken: Option<Status>,
    /// Set when the connection is closed for good.
    pub(crate) closed: Option<Status>,
    /// Closed by a drain, which tells nothing; an abort may still say why to later calls.
    closed_by_drain: bool,
    closed_wakers: Vec<Waker>,
    pub(crate) jobs: Vec<Job>,
    wakes: Vec<Waker>,
    trash: Option<Box<Trash>>,
    /// Of no more use. Dropping a waker may drop its task, which may hold calls of this session.
    old_wakers: Vec<Waker>,
}

/// What a closed session lets go of. It holds code of the user, which is not to run, not even to
/// be dropped, under the lock.
#[derive(Default)]
struct Trash {
    servers: BTreeMap<u32, Server>,
    jobs: Vec<Job>,
    hook: Option<LostHook>,
}

impl Trash {
    fn dispose(self) {
        for server in self.servers.values() {
            server.gate().stop(true);
        }
        drop((self.servers, self.jobs, self.hook));
    }
}

/// What a draining connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// The calls of this side.
    Ours,
    /// The calls of the peer.
    Theirs,
}

/// Who waits for something of a stream.
#[derive(Debug, Default)]
struct Waiter {
    key: Option<Key>,
    /// The connection or channel the stream belongs to.
    owner: u64,
    read: Option<Waker>,
    write: Option<Waker>,
    /// The task of the handler.
    task: Option<Waker>,
}

/// The calls made through one connection, the main one or one to a channel of the peer.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    live: usize,
    draining: bool,
    closed: Option<Status>,
    wakers: Vec<Waker>,
}

/// Which of a stream's wakers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Read,
    Write,
    Task,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(runtime: SharedRuntime, io: BoxByteStream, config: MuxConfig) -> Self {
        let now = runtime.now();
        Self {
            runtime,
            state: Mutex::new(State {
                io: Some(io),
                mux: Mux::new(config, now),
                out: OutBuf::default(),
                driver: None,
                driver_thread: None,
                io_waker: Arc::default(),
                unary: 0,
                driver_woken: false,
                last_batch: 0,
                unflushed: false,
                has_read: false,
                ours: Vec::new(),
                theirs: Vec::new(),
                servers: BTreeMap::new(),
                connections: BTreeMap::from([(MAIN, Calls::default())]),
                next_connection: MAIN + 1,
                drain: None,
                hook: None,
                lost: None,
                broken: None,
                closed: None,
                closed_by_drain: false,
                closed_wakers: Vec::new(),
                jobs: Vec::new(),
                wakes: Vec::new(),
                trash: None,
                old_wakers: Vec::new(),
            }),
        }
    }

    /// Runs `work` on the state and wakes afterwards, without the lock, whoever is to be woken.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let value = work(&mut state);
        if state.wakes.is_empty() && state.trash.is_none() && state.old_wakers.is_empty() {
            return value;
        }
        let mut wakes = std::mem::take(&mut state.wakes);
        let trash = state.trash.take();
        let old_wakers = std::mem::take(&mut state.old_wakers);
        drop(state);
        drop(old_wakers);
        if let Some(trash) = trash {
            trash.dispose();
        }
        wakes.drain(..).for_each(Waker::wake);
        // The list's memory serves again.
        let mut state = self.lock();
        if state.wakes.is_empty() {
            state.wakes = wakes;
        }
        drop(state);
        value
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Foreign code does not run under the lock, so a poisoned lock can only come from a bug
        // in here; the state is then closed like any other.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a server for a channel of this side.
    pub(crate) fn serve(&self, channel: u32, router: Arc<Router>) -> Result<Arc<Gate>, Status> {
        self.with(|state| {
            if let Some(status) = state.gone() {
                return Err(status);
            }
            if state.servers.contains_key(&channel) {
                return Err(Status::already_exists(format!(
                    "channel {channel} is being served already; take another id"
                )));
            }
            let gate = Arc::new(Gate::default());
            state
                .servers
                .insert(channel, Server::new(router, Arc::clone(&gate)));
            Ok(gate)
        })
    }
}

impl State {
    /// Whether the connection is lost and the hook is yet to explain it.
    pub(crate) fn is_being_explained(&self) -> bool {
        self.lost.is_some() && self.closed.is_none()
    }

    /// The status of calls that come too late.
    pub(crate) fn gone(&self) -> Option<Status> {
        self.closed.clone()
    }

    pub(crate) fn add_connection(&mut self) -> u64 {
        let number = self.next_connection;
        self.next_connection += 1;
        self.connections.insert(number, Calls::default());
        number
    }

    /// Starts a call through a connection.
    pub(crate) fn open(
        &mut self,
        connection: u64,
        channel: u32,
        head: &CallHead,
        timeout: Option<std::time::Duration>,
        message: Option<OutMessage>,
        end: bool,
    ) -> Result<Key, Status> {
        if let Some(status) = self.gone() {
            return Err(status);
        }
        let calls = self.connections.entry(connection).or_default();
        if let Some(status) = &calls.closed {
            return Err(status.clone());
        }
        if calls.draining {
            return Err(Status::unavailable(
                "the connection is draining and takes no more calls",
            ));
        }
        let start = CallStart {
            path: head.path.clone(),
            channel,
            timeout,
            metadata: &head.metadata,
        };
        let key = self
            .mux
            .open(start, message, end)
            .map_err(|error| match error {
                OpenError::Message(error) => status_of(error),
                OpenError::GoingAway | OpenError::Closed => Status::unavailable(error.to_string()),
                OpenError::PathTooLong(_) | OpenError::Metadata(_) => {
                    Status::resource_exhausted(error.to_string())
                }
            })?;
        calls.live += 1;
        let waiter = waiter(&mut self.ours, key);
        waiter.key = Some(key);
        waiter.owner = connection;
        Ok(key)
    }

    /// The call is of no interest any more.
    pub(crate) fn release(&mut self, connection: u64, key: Key) {
        self.mux.release(key);
        let waiter = waiter(&mut self.ours, key);
        if waiter.key == Some(key) {
            self.wakes.extend(waiter.write.take());
            self.old_wakers.extend(waiter.read.take());
            *waiter = Waiter::default();
        }
        if let Some(calls) = self.connections.get_mut(&connection) {
            calls.live = calls.live.saturating_sub(1);
            if calls.draining && calls.live == 0 && connection != MAIN {
                calls.closed = Some(Status::unavailable("the connection was drained"));
                self.wakes.append(&mut calls.wakers);
            }
        }
        if self.drain.is_some() {
            self.wake_driver();
        }
    }

    /// No further calls through this connection.
    pub(crate) fn drain_calls(&mut self, connection: u64) {
        let Some(calls) = self.connections.get_mut(&connection) else {
            return;
        };
        calls.draining = true;
        if connection == MAIN {
            self.drain.get_or_insert(Drain::Ours);
            self.wake_driver();
        } else if calls.live == 0 {
            let status = Status::unavailable("the connection was drained");
            calls.closed.get_or_insert(status);
            self.wakes.append(&mut calls.wakers);
        }
    }

    /// Fails the calls made through a connection to a channel, and all later ones.
    pub(crate) fn abort_calls(&mut self, connection: u64, status: &Status) {
        let Some(calls) = self.connections.get_mut(&connection) else {
            return;
        };
        if calls.closed.is_some() {
            return;
        }
        calls.closed = Some(status.clone());
        self.wakes.append(&mut calls.wakers);
        for waiter in &mut self.ours {
            if let Some(key) = waiter.key.filter(|_| waiter.owner == connection) {
                self.mux.cancel(key, status.clone());
            }
        }
        self.drain_events();
        self.wake_driver();
    }

    /// The status of a closed connection, or a wake-up when it closes.
    pub(crate) fn poll_calls_closed(&mut self, connection: u64, cx: &Context<'_>) -> Poll<Status> {
        if let Some(status) = &self.closed {
            return Poll::Ready(status.clone());
        }
        if let Some(calls) = self.connections.get_mut(&connection) {
            match &calls.closed {
                Some(status) => return Poll::Ready(status.clone()),
                None => remember(&mut calls.wakers, cx.waker()),
            }
        }
        remember(&mut self.closed_wakers, cx.waker());
        Poll::Pending
    }

    /// Ready when the session is closed.
    pub(crate) fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.closed.is_some() {
            return Poll::Ready(());
        }
        remember(&mut self.closed_wakers, cx.waker());
        Poll::Pending
    }

    /// Remembers whom to wake.
    pub(crate) fn wait(&mut self, key: Key, what: Wait, waker: &Waker) {
        let waiter = if key.is_ours() {
            waiter(&mut self.ours, key)
        } else {
            let waiter = waiter(&mut self.theirs, key);
            if waiter.key != Some(key) {
                let new = Waiter {
                    key: Some(key),
                    ..Waiter::default()
                };
                let old = std::mem::replace(waiter, new);
                self.old_wakers
                    .extend([old.read, old.write, old.task].into_iter().flatten());
            }
            waiter
        };
        if waiter.key != Some(key) {
            return;
        }
        let place = match what {
            Wait::Read => &mut waiter.read,
            Wait::Write => &mut waiter.write,
            Wait::Task => &mut waiter.task,
        };
        match place {
            Some(old) if old.will_wake(waker) => {}
            Some(_) | None => self.old_wakers.extend(place.replace(waker.clone())),
        }
    }

    /// Wakes the handlers of one of this side's channels.
    pub(crate) fn wake_handlers(&mut self) {
        for waiter in &mut self.theirs {
            self.wakes.extend(waiter.task.take());
        }
    }

    /// Turns what the machine reports into wake-ups and jobs.
    pub(crate) fn drain_events(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened(key, offer) => self.offered(key, offer),
                Event::Readable(key) => self.wake(key, Wait::Read),
                Event::Writable(key) => self.wake(key, Wait::Write),
                Event::Cancelled(key) => {
                    self.wake(key, Wait::Read);
                    self.wake(key, Wait::Write);
                    self.wake(key, Wait::Task);
                }
                Event::GoAway(text) => tracing::debug!(text, "the other side is going away"),
                Event::Closed(code, text) => {
                    let what = if code == close::ORDERLY {
                        "the other side closed the connection"
                    } else {
                        "the other side gave the connection up"
                    };
                    self.lose(Status::connection_lost(format!("{what}: {text}")));
                }
                Event::Unresponsive => self.lose(Status::connection_lost(
                    "the other side does not answer: it is stopped or stuck",
                )),
            }
        }
    }

    fn wake(&mut self, key: Key, what: Wait) {
        let table = if key.is_ours() {
            &mut self.ours
        } else {
            &mut self.theirs
        };
        let Some(waiter) = table
            .get_mut(key.index())
            .filter(|waiter| waiter.key == Some(key))
        else {
            return;
        };
        let waker = match what {
            Wait::Read => waiter.read.take(),
            Wait::Write => waiter.write.take(),
            Wait::Task => waiter.task.take(),
        };
        self.wakes.extend(waker);
    }

    pub(crate) fn wake_driver(&mut self) {
        if !std::mem::replace(&mut self.driver_woken, true) {
            self.wakes.extend(self.driver.clone());
        }
    }

    /// The driver runs.
    pub(crate) fn driver_runs(&mut self, waker: &Waker) {
        self.driver_woken = false;
        self.driver_thread = Some(thread::current().id());
        match &self.driver {
            Some(old) if old.will_wake(waker) => {}
            Some(_) | None => {
                self.old_wakers.extend(self.driver.replace(waker.clone()));
                self.old_wakers.extend(self.io_waker.set_driver(waker));
            }
        }
    }

    /// The connection is lost; the driver asks the hook and then closes.
    pub(crate) fn lose(&mut self, status: Status) {
        if self.lost.is_none() && self.closed.is_none() {
            self.lost = Some(status);
            self.wake_driver();
        }
    }

    /// Closes for good after a drain.
    pub(crate) fn close_drained(&mut self) {
        if self.closed.is_none() {
            let status = Status::connection_lost("the connection was drained and closed");
            self.close(status);
            self.closed_by_drain = true;
        }
    }

    /// Closes for good: whoever waits for anything is told.
    pub(crate) fn close(&mut self, status: Status) {
        if let Some(before) = &mut self.closed {
            if std::mem::take(&mut self.closed_by_drain) {
                *before = status;
            }
            return;
        }
        if self.lost.is_none() && !self.mux.is_close_sent() {
            // Tells the peer why, if it can be written without waiting.
            self.mux.close(close::ABORTED, status.message());
            if self.driver.is_some() {
                self.flush_now();
            }
        }
        self.closed = Some(status);
        self.io = None;
        self.trash = Some(Box::new(Trash {
            servers: std::mem::take(&mut self.servers),
            jobs: std::mem::take(&mut self.jobs),
            hook: self.hook.take(),
        }));
        for waiter in self.ours.iter_mut().chain(&mut self.theirs) {
            self.wakes.extend(waiter.read.take());
            self.wakes.extend(waiter.write.take());
            self.wakes.extend(waiter.task.take());
        }
        for calls in self.connections.values_mut() {
            self.wakes.append(&mut calls.wakers);
        }
        self.wakes.append(&mut self.closed_wakers);
        self.driver_woken = false;
        self.wake_driver();
    }

    /// Headers, message or error of a call that the transport answers by itself.
    pub(crate) fn reply(
        &mut self,
        key: Key,
        headers: &Metadata,
        message: OutMessage,
        trailers: &Metadata,
    ) {
        let result = self
            .mux
            .send(key, message)
            .map_err(status_of)
            .and_then(|()| {
                if headers.is_empty() {
                    return Ok(());
                }
                self.mux
                    .headers(key, headers)
                    .map_err(|error| Status::resource_exhausted(error.to_string()))
            })
            .and_then(|()| {
                self.mux
                    .finish(key, trailers)
                    .map_err(|error| Status::resource_exhausted(error.to_string()))
            });
        if let Err(status) = result {
            self.mux.abort(key, &status);
        }
    }
}

/// Adds a waker that is not there yet.
pub(crate) fn remember(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

pub(crate) fn status_of(error: SendError) -> Status {
    match error {
        SendError::TooLarge { .. } => Status::resource_exhausted(error.to_string()),
        SendError::Gone => Status::cancelled(error.to_string()),
    }
}

fn waiter(table: &mut Vec<Waiter>, key: Key) -> &mut Waiter {
    let index = key.index();
    if table.len() <= index {
        table.resize_with(index + 1, Waiter::default);
    }
    &mut table[index]
}
