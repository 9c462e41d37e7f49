//! A reactor for the thread inside `Smol::block_on`: epoll, edge-triggered, and timers (Linux).
//!
//! async-io's reactor asks the system ten times where this one asks three times: every turn sets a
//! timer, looks into its notifier and arms both again, and every event has to be armed again before
//! the next. Whatever is not made by this adapter still uses async-io, which then works on its own
//! thread.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use outboard_core::lock::atomic::{AtomicBool, AtomicU8, Ordering};
use outboard_core::lock::{Mutex, Rank};
use rustix::event::epoll::EventFlags;

use crate::direction::Direction;
use crate::poller::{Events, Poller};
use crate::source::Source;
use crate::turn;

/// What happens on one descriptor is told to its [`Source`].
pub(crate) struct Reactor {
    pub(crate) poller: Poller,
    /// `RUNNING`, `WOKEN` or `SLEEPING`.
    state: AtomicU8,
    closed: AtomicBool,
    sources: Mutex<Keyed<u64, Arc<Source>>>,
    timers: Mutex<Keyed<(Instant, u64), Waker>>,
    /// To be woken after the next look at the events, which does not wait then.
    after_turn: Mutex<Vec<Waker>>,
}

/// The thread polls the future, or is about to look whether it should.
const RUNNING: u8 = 0;
/// The future is to be polled (again).
const WOKEN: u8 = 1;
/// The thread waits in the system for events, or is about to: `alarm` ends that.
const SLEEPING: u8 = 2;

/// How often in a row the future is polled without a look at the events, if that takes no time to
/// speak of. One poll may run many tasks.
const POLLS: usize = 8;

struct Keyed<K, V> {
    next: u64,
    map: BTreeMap<K, V>,
}

impl<K, V> Keyed<K, V> {
    const fn new() -> Self {
        Self {
            next: 0,
            map: BTreeMap::new(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

impl Reactor {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            poller: Poller::new()?,
            state: AtomicU8::new(RUNNING),
            closed: AtomicBool::new(false),
            sources: Mutex::new(Rank::Reactor, Keyed::new()),
            timers: Mutex::new(Rank::Reactor, Keyed::new()),
            after_turn: Mutex::new(Rank::Reactor, Vec::new()),
        }))
    }

    /// Runs `future` on this thread. One call per reactor; afterwards the reactor is closed.
    pub(crate) fn block_on<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let _close = Close(self);
        let waker = Waker::from(Arc::clone(self));
        let mut future = pin!(future);
        let mut events = Events::new();
        loop {
            let mut turn = turn::of(POLLS);
            loop {
                // Not a store: it would take a wake-up away without seeing what was done before it,
                // and the poll that follows might not see it either.
                self.state.swap(RUNNING, Ordering::SeqCst);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
                if !self.is_woken() || turn.step(1, || self.poller.now()) {
                    break;
                }
            }
            if self.is_woken() {
                self.turn(&mut events, Some(Duration::ZERO));
            }
            while self.swap(RUNNING, SLEEPING) {
                // Looked at now, so that who comes later sees that the thread sleeps.
                let waits = self.after_turn.lock().is_empty();
                let timeout = if waits {
                    self.first_timer()
                } else {
                    Some(Duration::ZERO)
                };
                self.turn(&mut events, timeout);
            }
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.poller.now()
    }

    fn is_woken(&self) -> bool {
        self.state.load(Ordering::SeqCst) == WOKEN
    }

    fn swap(&self, from: u8, to: u8) -> bool {
        let order = Ordering::SeqCst;
        self.state.compare_exchange(from, to, order, order).is_ok()
    }

    /// Waits for events and timers and wakes who waits for them.
    fn turn(&self, events: &mut Events, timeout: Option<Duration>) {
        self.poller.wait(events, timeout);
        self.swap(SLEEPING, RUNNING);
        for (key, flags) in events.iter() {
            let source = self.sources.lock().map.get(&key).cloned();
            if let Some(source) = source {
                source.event(flags);
            }
        }
        self.fire();
        self.wake_after_turn_now();
    }

    fn wake_after_turn_now(&self) {
        let waiting = std::mem::take(&mut *self.after_turn.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Wakes this after the next look at the events; at once if nobody will look any more.
    pub(crate) fn wake_after_turn(&self, waker: &Waker) {
        self.after_turn.lock().push(waker.clone());
        if self.is_closed() {
            return self.wake_after_turn_now();
        }
        if self.state.load(Ordering::SeqCst) == SLEEPING {
            self.poller.alarm();
        }
    }

    /// The time to the first timer.
    fn first_timer(&self) -> Option<Duration> {
        let first = self.timers.lock().map.keys().next()?.0;
        Some(first.saturating_duration_since(self.now()))
    }

    fn fire(&self) {
        let mut timers = self.timers.lock();
        if timers.map.is_empty() {
            return;
        }
        let pending = timers.map.split_off(&(self.now(), u64::MAX));
        let due = std::mem::replace(&mut timers.map, pending);
        drop(timers);
        due.into_values().for_each(Waker::wake);
    }

    /// A number for a timer, which tells it from others of the same time.
    pub(crate) fn timer(&self) -> u64 {
        self.timers.lock().number()
    }

    /// Sets or replaces the waker of a timer.
    pub(crate) fn set_timer(&self, key: (Instant, u64), waker: Waker) {
        let old = self.timers.lock().map.insert(key, waker);
        // Without the lock: it may be the last of a task, which then is dropped.
        drop(old);
        // If the thread is not asleep yet it will see the timer before it is.
        if self.state.load(Ordering::SeqCst) == SLEEPING {
            self.poller.alarm();
        }
    }

    /// Removes a timer, and gives back its waker if it has not fired.
    pub(crate) fn remove_timer(&self, key: (Instant, u64)) -> Option<Waker> {
        self.timers.lock().map.remove(&key)
    }

    /// Adds a descriptor. Its source must be removed before it is closed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, source: Source) -> Result<(u64, Arc<Source>)> {
        let flags = source.flags();
        let source = Arc::new(source);
        let mut sources = self.sources.lock();
        let key = sources.number();
        self.poller.add(fd, key, flags)?;
        sources.map.insert(key, Arc::clone(&source));
        Ok((key, source))
    }

    /// Changes what is reported. What is there already is reported at once.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: u64, flags: EventFlags) -> Result<()> {
        self.poller.modify(fd, key, flags)
    }

    pub(crate) fn remove(&self, fd: BorrowedFd<'_>, key: u64) {
        let source = self.sources.lock().map.remove(&key);
        // Without the lock: wakers are left in it.
        drop(source);
        self.poller.remove(fd);
    }

    /// Whether nobody drives the reactor any more. To be asked after a waker was left, so that an
    /// end in between is noticed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// # Errors
    /// If nobody drives the reactor any more.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_closed() {
            return Err(Error::new(
                ErrorKind::NotConnected,
                "the Smol::block_on in which this was opened has ended; \
                 use it inside, or use Smol::new",
            ));
        }
        Ok(())
    }
}

impl Wake for Reactor {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == SLEEPING {
            self.poller.alarm();
        }
    }
}

/// Wakes whoever waits, to be told by [`Reactor::check`] or [`Reactor::is_closed`]. Also when the
/// future panics.
struct Close<'a>(&'a Reactor);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
        let sources = std::mem::take(&mut self.0.sources.lock().map);
        for source in sources.into_values() {
            source.wake(Direction::Read);
            source.wake(Direction::Write);
        }
        let timers = std::mem::take(&mut self.0.timers.lock().map);
        timers.into_values().for_each(Waker::wake);
        self.0.wake_after_turn_now();
    }
}
