//! What the handles of a session and its driver share.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::later::{self, Later};
use outboard_core::lock::{Mutex, Rank, assert_unlocked};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_core::turn::Turn;

use crate::config::Config;
use crate::error::SessionError;
use crate::machine::{Event, Handle, Machine, Wrote};

/// How many pieces are written at once.
const MAX_SLICES: usize = 16;

/// Wakes the driver, whoever polled the connection last.
#[derive(Debug)]
pub(crate) struct IoWaker(Mutex<Option<Waker>>);

impl Wake for IoWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let driver = self.0.lock().clone();
        driver.into_iter().for_each(later::wake);
    }
}

/// Who waits for a stream.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
}

pub(crate) struct State {
    pub(crate) machine: Machine,
    /// The time when the lock was taken, or shortly before.
    pub(crate) now: Instant,
    io: Option<BoxByteStream>,
    io_waker: Waker,
    /// By the handles' places.
    waiting: Vec<Waiting>,
    acceptor: Option<Waker>,
    /// In the order in which they asked.
    pub(crate) openers: BTreeMap<u64, Option<Waker>>,
    pub(crate) tickets: u64,
    /// Those who wait for the end.
    pub(crate) watchers: BTreeMap<u64, Waker>,
    /// Those who wait for a stream to be acknowledged.
    unacknowledged: BTreeMap<u64, Waker>,
    /// Written to `io`, which may keep it until it is flushed.
    unflushed: bool,
    /// The connection cannot be written any more. What came on it before is still read.
    broken: Option<SessionError>,
    /// How many handles there are.
    pub(crate) users: usize,
    /// When the driver comes back by itself.
    pub(crate) alarm: Option<Instant>,
    driver_runs: bool,
    wake_driver: bool,
    wakes: Vec<Waker>,
    /// What is to be dropped after the lock.
    spent: Vec<Waker>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    io_waker: Arc<IoWaker>,
    pub(crate) runtime: SharedRuntime,
}

impl Shared {
    pub(crate) fn new(runtime: &SharedRuntime, io: BoxByteStream, config: Config) -> Arc<Self> {
        let io_waker = Arc::new(IoWaker(Mutex::new(Rank::Wakers, None)));
        let now = runtime.now();
        let state = State {
            machine: Machine::new(config, now),
            now,
            io: Some(io),
            io_waker: Waker::from(Arc::clone(&io_waker)),
            waiting: Vec::new(),
            acceptor: None,
            openers: BTreeMap::new(),
            tickets: 0,
            watchers: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
            unflushed: false,
            broken: None,
            users: 0,
            alarm: None,
            driver_runs: false,
            wake_driver: false,
            wakes: Vec::new(),
            spent: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(Rank::Streams, state),
            io_waker,
            runtime: Arc::clone(runtime),
        })
    }

    /// Does `work` under the lock, and afterwards what it led to that may not be done there.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut later = Later::default();
        let now = self.runtime.now();
        let mut state = self.state.lock();
        state.now = now;
        let value = later.keep(|| work(&mut state));
        state.dispatch();
        let wakes = std::mem::take(&mut state.wakes);
        let spent = std::mem::take(&mut state.spent);
        let wake_driver = std::mem::take(&mut state.wake_driver);
        drop(state);
        if wake_driver {
            self.io_waker.wake_by_ref();
        }
        wakes.into_iter().for_each(later::wake);
        later.into_wakers().into_iter().for_each(later::wake);
        drop(spent);
        value
    }

    /// The driver is polled by this task.
    pub(crate) fn driver_is(&self, waker: &Waker) {
        let mut driver = self.io_waker.0.lock();
        let earlier = match &*driver {
            Some(known) if known.will_wake(waker) => None,
            _ => driver.replace(waker.clone()),
        };
        drop(driver);
        drop(earlier);
    }

    /// The driver is over, or dropped.
    pub(crate) fn driver_gone(&self) {
        let io = self.with(State::take_io);
        if io.is_some() {
            assert_unlocked("the drop of a connection");
        }
        drop(io);
        let driver = self.io_waker.0.lock().take();
        drop(driver);
    }

    /// One more handle.
    pub(crate) fn enter(self: &Arc<Self>) -> Arc<Self> {
        self.with(|state| state.users += 1);
        Arc::clone(self)
    }

    /// One handle less.
    pub(crate) fn leave(&self, work: impl FnOnce(&mut State)) {
        self.with(|state| {
            work(state);
            state.users -= 1;
            if state.users == 0 {
                state.wake_driver = true;
            } else {
                state.flush();
            }
        });
    }
}

impl State {
    /// Collects whom the machine's events are for.
    fn dispatch(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Readable(handle) => {
                    let waiting = self.waiting.get_mut(handle.index());
                    self.wakes.extend(waiting.and_then(|of| of.reader.take()));
                }
                Event::Writable(handle) => {
                    let waiting = self.waiting.get_mut(handle.index());
                    self.wakes.extend(waiting.and_then(|of| of.writer.take()));
                }
                Event::Incoming => self.wakes.extend(self.acceptor.take()),
                Event::Openable => self.wake_opener(),
                Event::Acknowledged => {
                    let all = std::mem::take(&mut self.unacknowledged);
                    self.wakes.extend(all.into_values());
                }
                Event::Ended => {
                    let openers = self.openers.values_mut();
                    self.wakes.extend(openers.filter_map(Option::take));
                    self.wakes
                        .extend(std::mem::take(&mut self.watchers).into_values());
                    self.wake_driver = true;
                }
            }
        }
        if !self.driver_runs
            && let Some(at) = self.machine.poll_timeout()
            && self.alarm.is_none_or(|alarm| at < alarm)
        {
            self.wake_driver = true;
        }
    }

    /// The one who has waited longest to open a stream may try.
    pub(crate) fn wake_opener(&mut self) {
        if let Some(mut first) = self.openers.first_entry() {
            self.wakes.extend(first.get_mut().take());
        }
    }

    fn keep(slot: &mut Option<Waker>, spent: &mut Vec<Waker>, cx: &Context<'_>) {
        match slot {
            Some(known) if known.will_wake(cx.waker()) => {}
            slot => spent.extend(slot.replace(cx.waker().clone())),
        }
    }

    pub(crate) fn wait_for_accept(&mut self, cx: &Context<'_>) {
        Self::keep(&mut self.acceptor, &mut self.spent, cx);
    }

    pub(crate) fn wait_to_open(&mut self, ticket: u64, cx: &Context<'_>) {
        let slot = self.openers.entry(ticket).or_default();
        Self::keep(slot, &mut self.spent, cx);
    }

    pub(crate) fn stop_opening(&mut self, ticket: u64) {
        self.spent.extend(self.openers.remove(&ticket).flatten());
        self.wake_opener();
    }

    pub(crate) fn wait_for_end(&mut self, ticket: u64, cx: &Context<'_>) {
        // Asked again at each poll of a task that also waits for other things.
        let known = self.watchers.get(&ticket);
        if known.is_none_or(|known| !known.will_wake(cx.waker())) {
            let earlier = self.watchers.insert(ticket, cx.waker().clone());
            self.spent.extend(earlier);
        }
    }

    pub(crate) fn stop_waiting_for_end(&mut self, ticket: u64) {
        self.spent.extend(self.watchers.remove(&ticket));
    }

    pub(crate) fn wait_for_acknowledgement(&mut self, ticket: u64, cx: &Context<'_>) {
        let earlier = self.unacknowledged.insert(ticket, cx.waker().clone());
        self.spent.extend(earlier);
    }

    pub(crate) fn stop_waiting_for_acknowledgement(&mut self, ticket: u64) {
        self.spent.extend(self.unacknowledged.remove(&ticket));
    }

    /// A ticket.
    pub(crate) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn waiting(&mut self, handle: Handle) -> Option<&mut Waiting> {
        let index = handle.index();
        if self.waiting.len() <= index {
            self.waiting.resize_with(index + 1, Waiting::default);
        }
        self.waiting.get_mut(index)
    }

    pub(crate) fn wait_to_read(&mut self, handle: Handle, cx: &Context<'_>) {
        let mut spent = std::mem::take(&mut self.spent);
        if let Some(waiting) = self.waiting(handle) {
            Self::keep(&mut waiting.reader, &mut spent, cx);
        }
        self.spent = spent;
    }

    pub(crate) fn wait_to_write(&mut self, handle: Handle, cx: &Context<'_>) {
        let mut spent = std::mem::take(&mut self.spent);
        if let Some(waiting) = self.waiting(handle) {
            Self::keep(&mut waiting.writer, &mut spent, cx);
        }
        self.spent = spent;
    }

    /// Nobody waits for this stream any more, whose place may be used again.
    pub(crate) fn stop_waiting(&mut self, handle: Handle) {
        let waiting = self.waiting.get_mut(handle.index());
        let waiting = waiting.map(std::mem::take).unwrap_or_default();
        self.spent.extend(waiting.reader);
        self.spent.extend(waiting.writer);
    }

    pub(crate) fn driver_begins(&mut self) {
        self.driver_runs = true;
    }

    /// The driver has looked at everything, and comes back at `alarm`.
    pub(crate) fn driver_waits(&mut self, alarm: Option<Instant>) {
        self.driver_runs = false;
        self.alarm = alarm;
    }

    pub(crate) fn take_io(&mut self) -> Option<BoxByteStream> {
        self.io.take()
    }

    /// Whether the connection can be written.
    pub(crate) fn is_writable(&self) -> bool {
        self.io.is_some() && self.broken.is_none()
    }

    /// Why it cannot be written, if that was found out.
    pub(crate) fn broken(&self) -> Option<SessionError> {
        self.broken.clone()
    }

    /// Polls the connection. Whatever comes of that later wakes the driver.
    fn use_io<T>(
        &mut self,
        work: impl FnOnce(Pin<&mut BoxByteStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(io) = self.io.as_mut() else {
            return Poll::Pending;
        };
        work(Pin::new(io), &mut Context::from_waker(&self.io_waker))
    }

    /// Reads.
    pub(crate) fn poll_read(&mut self, target: &mut [u8]) -> Poll<io::Result<usize>> {
        self.use_io(|io, cx| io.poll_read(cx, target))
    }

    /// Closes the connection.
    pub(crate) fn poll_close(&mut self) -> Poll<io::Result<()>> {
        self.use_io(AsyncWrite::poll_close)
    }

    /// What was read is told to the machine, which ends with what is wrong.
    pub(crate) fn received(&mut self, bytes: Bytes) {
        let _violation = self.machine.handle(self.now, bytes);
    }

    fn breaks(&mut self, error: io::Error) {
        self.broken.get_or_insert_with(|| error.into());
        self.machine.abandon_output();
        self.wake_driver = true;
    }

    /// Writes what waits, as far as the connection takes it.
    pub(crate) fn flush(&mut self) {
        while self.flush_some(&mut Turn::new()) {}
    }

    /// Writes for a turn. Whether there is more that the connection may take.
    pub(crate) fn flush_some(&mut self, turn: &mut Turn) -> bool {
        while self.machine.pending() > 0 {
            if turn.is_over() {
                return true;
            }
            let Some(io) = self.io.as_mut().filter(|_| self.broken.is_none()) else {
                self.machine.abandon_output();
                return false;
            };
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = self.machine.poll_transmit(&mut slices);
            let mut cx = Context::from_waker(&self.io_waker);
            let slices = slices.get(..used).unwrap_or_default();
            match Pin::new(io).poll_write_vectored(&mut cx, slices) {
                Poll::Ready(Ok(0)) => {
                    self.breaks(io::ErrorKind::WriteZero.into());
                    return false;
                }
                Poll::Ready(Ok(count)) => {
                    self.unflushed = true;
                    turn.spend_bytes(count);
                    self.machine.written(self.now, count);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    turn.spend(Turn::FRAME);
                }
                Poll::Ready(Err(error)) => {
                    self.breaks(error);
                    return false;
                }
                Poll::Pending => return false,
            }
        }
        self.flush_io();
        false
    }

    fn flush_io(&mut self) {
        if !self.unflushed || self.broken.is_some() {
            return;
        }
        match self.use_io(AsyncWrite::poll_flush) {
            Poll::Ready(Ok(())) => self.unflushed = false,
            Poll::Ready(Err(error)) => self.breaks(error),
            Poll::Pending => {}
        }
    }

    /// Writes to a stream: to the connection at once, if nothing else waits.
    pub(crate) fn write(&mut self, handle: Handle, payload: &[IoSlice<'_>]) -> Wrote {
        self.flush();
        if let Some(broken) = &self.broken {
            return Wrote::Failed(broken.clone().into());
        }
        let mut failed = None;
        let (io, unflushed) = (&mut self.io, &mut self.unflushed);
        let cx = &mut Context::from_waker(&self.io_waker);
        let wrote = self.machine.write(self.now, handle, payload, |frame| {
            let Some(io) = io else {
                return 0;
            };
            match Pin::new(io).poll_write_vectored(cx, frame) {
                Poll::Ready(Ok(0)) => failed = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    *unflushed = true;
                    return count;
                }
                Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::Interrupted => {
                    failed = Some(error);
                }
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
            0
        });
        match failed {
            Some(error) => self.breaks(error),
            None => self.flush(),
        }
        wrote
    }

    /// Whether all was written.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.is_writable() || self.machine.pending() == 0 && !self.unflushed
    }
}
