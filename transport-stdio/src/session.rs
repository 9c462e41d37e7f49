//! What the two directions of a connection share: the machine, the stream of bytes, and who waits
//! for what.
//!
//! Everything lies behind one lock that is never held while code of the user runs: nothing of theirs
//! is called, woken, cloned or dropped under it; see [`after`]. The stream of bytes is used under it,
//! with a waker of our own. Whoever changes the machine also writes, if that is likely to save a hop;
//! the driver reads, and so does a caller that waits alone.

mod after;
mod caller;
mod exchange;
mod io;
mod naming;
mod waiting;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::thread::ThreadId;
use std::time::Duration;

use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{CallHead, Keepalive, LostHook, Metadata, OutMessage, Status};
use outboard_core::rt::{BoxByteStream, SharedRuntime};

use self::after::Aside;
pub(crate) use self::after::{Note, drop_foreign, own};
pub(crate) use self::exchange::{Step, exchange};
pub(crate) use self::waiting::Wait;
use self::waiting::{Waiter, waiter};
use crate::wakers::{IoWaker, Shared};
use crate::wire::{
    CallStart, Event, Key, Mux, MuxConfig, Offer, OpenError, OutBuf, SendError, close,
};

/// What answers the calls of the peer: a session keeps it and knows no more of it than this.
pub(crate) trait Serves: Default + Send + 'static {
    /// The peer has made a call. Runs under the lock.
    fn offered(state: &mut State<Self>, key: Key, offer: Offer);

    /// Whether calls wait for their handlers to be started.
    fn has_work(&self) -> bool;

    /// Whether nothing waits for its handler, and no handler runs.
    fn is_idle(&self) -> bool;

    /// What was put aside of it before is joined by more.
    fn append(&mut self, more: Self);

    /// It is of no more use. Runs after the lock.
    fn dispose(self);
}

pub(crate) struct Session<S> {
    pub(crate) runtime: SharedRuntime,
    state: Mutex<State<S>>,
}

/// The number of the main connection among a session's connections.
pub(crate) const MAIN: u64 = 0;

pub(crate) struct State<S> {
    pub(crate) io: Option<BoxByteStream>,
    pub(crate) mux: Mux,
    out: OutBuf,
    /// Wakes the driver, once it has run.
    pub(crate) driver: Option<Arc<Shared>>,
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
    pub(crate) serving: S,
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
    /// Who waits for the peer's names.
    naming: Vec<Waker>,
    wakes: Vec<Waker>,
    aside: Option<Box<Aside<S>>>,
    /// Of no more use. Dropping a waker may drop its task, which may hold calls of this session.
    old_wakers: Vec<Waker>,
}

/// What a draining connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// The calls of this side.
    Ours,
    /// The calls of the peer.
    Theirs,
}

/// The calls made through one connection, the main one or one to a channel of the peer.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    live: usize,
    draining: bool,
    closed: Option<Status>,
    wakers: Vec<Waker>,
}

impl<S> std::fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<S> std::fmt::Debug for State<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl<S: Serves> Session<S> {
    pub(crate) fn new(runtime: SharedRuntime, io: BoxByteStream, config: MuxConfig) -> Self {
        let now = runtime.now();
        Self {
            runtime,
            state: Mutex::new(
                Rank::Session,
                State {
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
                    serving: S::default(),
                    connections: BTreeMap::from([(MAIN, Calls::default())]),
                    next_connection: MAIN + 1,
                    drain: None,
                    hook: None,
                    lost: None,
                    broken: None,
                    closed: None,
                    closed_by_drain: false,
                    closed_wakers: Vec::new(),
                    naming: Vec::new(),
                    wakes: Vec::new(),
                    aside: None,
                    old_wakers: Vec::new(),
                },
            ),
        }
    }
}

/// What calls fail with that come after a drain.
fn drained() -> Status {
    Status::connection_lost("this side has closed the connection")
}

impl<S: Serves> State<S> {
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

    pub(crate) fn remove_connection(&mut self, connection: u64) {
        if let Some(calls) = self.connections.remove(&connection) {
            self.old_wakers.extend(calls.wakers);
        }
    }

    /// Starts a call through a connection.
    pub(crate) fn open(
        &mut self,
        connection: u64,
        channel: u32,
        head: &CallHead,
        timeout: Option<Duration>,
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
            return Err(drained());
        }
        let start = CallStart {
            path: head.path.clone(),
            channel,
            timeout,
            metadata: &head.metadata,
            urgent: head.urgent,
        };
        let key = self
            .mux
            .open(start, message, end)
            .map_err(|error| match error {
                OpenError::Message(error) => status_of(error),
                OpenError::GoingAway | OpenError::Closed => {
                    Status::connection_lost(error.to_string())
                }
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
            let Waiter { read, write, .. } = std::mem::take(waiter);
            self.wakes.extend(write);
            self.old_wakers.extend(read);
        }
        if let Some(calls) = self.connections.get_mut(&connection) {
            calls.live = calls.live.saturating_sub(1);
            if calls.draining && calls.live == 0 && connection != MAIN {
                calls.closed = Some(drained());
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
        self.wakes.append(&mut calls.wakers);
        if connection == MAIN {
            self.drain.get_or_insert(Drain::Ours);
            self.wake_driver();
        } else if calls.live == 0 {
            calls.closed.get_or_insert_with(drained);
            self.wakes.append(&mut calls.wakers);
        }
    }

    /// Fails the calls made through a connection to a channel, and all later ones, with a status
    /// that is our [`own`].
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

    /// Turns what the machine reports into wake-ups and jobs.
    pub(crate) fn drain_events(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened(key, offer) => S::offered(self, key, offer),
                Event::Readable(key) => self.wake(key, Wait::Read),
                Event::Writable(key) => self.wake(key, Wait::Write),
                Event::Cancelled(key) => {
                    self.wake(key, Wait::Read);
                    self.wake(key, Wait::Write);
                    self.wake(key, Wait::Task);
                }
                Event::GoAway(text) => self.note(Note::GoingAway(text)),
                Event::Closed(code, text) => {
                    let what = if code == close::ORDERLY {
                        "the other side closed the connection"
                    } else {
                        "the other side gave the connection up"
                    };
                    self.lose(Status::connection_lost(format!("{what}: {text}")));
                }
                Event::Unresponsive => self.lose(unresponsive(self.mux.keepalive())),
            }
        }
        self.wake_for_names();
    }

    /// The connection is lost; the driver asks the hook and then closes.
    pub(crate) fn lose(&mut self, status: Status) {
        if self.lost.is_none() && self.closed.is_none() {
            self.lost = Some(status);
            self.wake_for_retirement();
            self.wake_driver();
        }
    }

    /// Has those look again who wait for the connection to take no more calls.
    pub(crate) fn wake_for_retirement(&mut self) {
        self.wakes.append(&mut self.closed_wakers);
    }

    /// Closes for good after a drain.
    pub(crate) fn close_drained(&mut self) {
        if self.closed.is_none() {
            self.close(drained());
            self.closed_by_drain = true;
        }
    }

    /// Closes for good: whoever waits for anything is told. The status must be our [`own`].
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
        let serving = std::mem::take(&mut self.serving);
        let (hook, io) = (self.hook.take(), self.io.take());
        let aside = self.aside();
        aside.serving.append(serving);
        aside.hook = hook;
        aside.io = io;
        for waiter in self.ours.iter_mut().chain(&mut self.theirs) {
            self.wakes.extend(waiter.read.take());
            self.wakes.extend(waiter.write.take());
            self.wakes.extend(waiter.task.take());
        }
        for calls in self.connections.values_mut() {
            self.wakes.append(&mut calls.wakers);
        }
        self.wakes.append(&mut self.closed_wakers);
        self.wakes.append(&mut self.naming);
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

fn unresponsive(keepalive: Option<Keepalive>) -> Status {
    let Keepalive {
        interval, timeout, ..
    } = keepalive.unwrap_or(Keepalive::new(Duration::ZERO, Duration::ZERO));
    Status::connection_lost(format!(
        "nothing has come from the other side for {interval:?}, and nothing within {timeout:?} of a \
         keepalive ping: it is stopped or stuck"
    ))
}

pub(crate) fn status_of(error: SendError) -> Status {
    match error {
        SendError::TooLarge(error) => error.into(),
        SendError::Gone => Status::cancelled(error.to_string()),
    }
}
