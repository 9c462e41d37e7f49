//! The one task of a connection: it reads, starts handlers, and writes what nobody else wrote.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rpc::guard::catch_panic;
use outboard_core::rpc::{self, Budget, LostHook, Spin, Status};
use outboard_core::rt::{BoxFuture, Timer};

use crate::handler::Handler;
use crate::server::Job;
use crate::session::{Drain, Note, Session, State, drop_foreign, own};
use crate::wakers::Clones;
use crate::wire::close;

/// How many handlers are started before the answers are written, so that the first answers of a
/// large batch do not wait for the last handler.
const HANDLERS: usize = 64;

/// How long answers are read for after a write has failed. As a rule the end of the stream comes
/// at once; this is for a peer that closed one of its pipes only.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

pub(crate) struct Driver {
    session: Arc<Session>,
    timer: Option<(Instant, Pin<Box<dyn Timer>>)>,
    /// How long what the peer sent is still read after nothing could be written any more.
    last_answers: Option<Pin<Box<dyn Timer>>>,
    /// Explains why the connection was lost.
    asking: Option<Asking>,
    jobs: Vec<Job>,
    spin: Spin,
}

/// Finding out why the connection was lost.
struct Asking {
    /// What is known without.
    lost: Status,
    answer: BoxFuture<'static, Status>,
}

impl Asking {
    fn new(hook: &LostHook, lost: &Status) -> Self {
        let answer = catch_panic(|| hook(lost.clone())).unwrap_or_else(|_| {
            let lost = lost.clone();
            Box::pin(async { lost })
        });
        Self {
            lost: lost.clone(),
            answer,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let answer = &mut self.answer;
        // Whoever explains is not ours, and calls wait for it.
        catch_panic(|| answer.as_mut().poll(cx)).unwrap_or_else(|_| Poll::Ready(self.lost.clone()))
    }
}

/// What a turn of the driver came to.
enum Turn {
    /// There is more to do at once.
    Again,
    /// Something will wake the driver.
    Wait,
    /// The connection is lost for this reason.
    Lost(Status),
    /// All is over.
    Over,
}

impl Driver {
    pub(crate) fn new(session: Arc<Session>, spin: Spin) -> Self {
        Self {
            session,
            timer: None,
            last_answers: None,
            asking: None,
            jobs: Vec::new(),
            spin,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Turn {
        let session = Arc::clone(&self.session);
        let now = self.timer.as_ref().map(|_| session.runtime.now());
        let mut waker = Clones::one(cx.waker());
        let (turn, timeout, broken) = session.with(|state| {
            state.driver_runs(&mut waker);
            if state.closed.is_some() {
                return (Turn::Over, None, None);
            }
            if let Some(status) = &state.lost {
                // Found by a caller.
                return (Turn::Lost(status.clone()), None, None);
            }
            let mut turn = exchange(state, budget);
            // After what there was to read: a peer's sign of life may have waited for this side.
            if let Some(now) = now
                && matches!(turn, Turn::Wait)
            {
                state.mux.handle_timeout(now);
                if state.mux.wants_transmit() || state.mux.pending_events() > 0 {
                    turn = exchange(state, budget);
                }
            }
            self.jobs.append(&mut state.jobs);
            (turn, state.mux.poll_timeout(), state.broken.clone())
        });
        if !matches!(turn, Turn::Wait) {
            return turn;
        }
        if let Some(broken) = broken {
            let runtime = &self.session.runtime;
            let timer = self
                .last_answers
                .get_or_insert_with(|| runtime.timer(runtime.now() + LAST_ANSWERS));
            if timer.as_mut().poll_expired(cx).is_ready() {
                return Turn::Lost(broken);
            }
        }
        match timeout {
            Some(at) if self.wait_until(at, cx) => Turn::Again,
            Some(_) | None => Turn::Wait,
        }
    }

    /// Whether the time has come already.
    fn wait_until(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let runtime = &self.session.runtime;
        let (set, timer) = self.timer.get_or_insert_with(|| (at, runtime.timer(at)));
        if *set != at {
            *set = at;
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll_expired(cx).is_ready()
    }

    /// Comes back at once if that is likely to find something to read.
    fn spin(&mut self, cx: &Context<'_>) {
        if !self.spin.is_on() {
            return;
        }
        if self
            .session
            .with(|state| std::mem::take(&mut state.has_read))
        {
            self.spin.handle_bytes();
        }
        if self.spin.handle_idle(self.session.runtime.now()) {
            self.session.runtime.wake_after_io(cx.waker());
        }
    }

    /// Gives each handler that is expected to be quick its first poll here: most are done with that,
    /// and their answers leave in one write. The others become tasks.
    fn start_handlers(&mut self, budget: &mut Budget) {
        if self.jobs.is_empty() {
            return;
        }
        let more = self.jobs.len().min(HANDLERS);
        let mut turn = rpc::Turn::new(self.session.runtime.stopwatch());
        for job in self.jobs.drain(..more) {
            budget.spend(Budget::HANDLER);
            // Of many, some may have been given up before their turn.
            if more > 1 && !self.session.with(|state| state.mux.is_sending(job.key())) {
                continue;
            }
            let here = turn.takes(job.pace());
            let mut handler = match Handler::start(&self.session, job, here) {
                Ok(handler) => handler,
                Err(failed) => {
                    let (key, mut outcome) = *failed;
                    self.session.with(|state| outcome.apply(state, key));
                    continue;
                }
            };
            if !here {
                self.session.runtime.spawn_apart(Box::pin(handler));
                continue;
            }
            let mut cx = Context::from_waker(Waker::noop());
            let polled = handler.poll_work(&mut cx);
            if !handler.is_collecting() {
                turn.polled(handler.pace(), self.session.runtime.stopwatch());
            }
            match polled {
                Poll::Ready(mut outcome) => {
                    let key = handler.key();
                    // The answer is applied before the handler is dropped, or dropping it would
                    // count as giving up.
                    self.session.with(|state| outcome.apply(state, key));
                }
                Poll::Pending => self.session.runtime.spawn(Box::pin(handler)),
            }
        }
        self.session.with(State::flush_now);
    }
}

/// Reads for a caller that the stream of bytes has woken. The driver does all that the caller must
/// not, such as starting handlers. It was woken with the caller, but may have run before what is read
/// here came, so it is woken again if there is something to do for it.
pub(crate) fn read_as_caller(state: &mut State) {
    if state.lost.is_some() || state.closed.is_some() || !state.jobs.is_empty() {
        return;
    }
    let turn = exchange(state, &mut Budget::for_poll());
    let waits = matches!(turn, Turn::Wait) && state.jobs.is_empty();
    // A loss is kept in the state: the driver finds it there. If there is more to read, nobody is
    // told of it, as the stream of bytes lets nobody wait.
    if !waits {
        state.wake_driver();
    }
}

/// Reads and writes as far as the stream of bytes goes along, and the budget goes.
fn exchange(state: &mut State, budget: &mut Budget) -> Turn {
    state.use_io(|state, cx| exchange_with(state, cx, budget))
}

fn exchange_with(state: &mut State, cx: &mut Context<'_>, budget: &mut Budget) -> Turn {
    let mut end = None;
    let mut again = true;
    let mut batch = 0;
    while !budget.is_spent() {
        let Some(io) = state.io.as_mut() else {
            break;
        };
        match Pin::new(io).poll_read(cx, state.mux.space()) {
            Poll::Pending => {
                again = false;
                break;
            }
            Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                budget.spend(Budget::FRAME);
            }
            Poll::Ready(Err(error)) => {
                end = Some(Status::connection_lost(format!(
                    "the connection broke: cannot read: {error}"
                )));
                break;
            }
            Poll::Ready(Ok(0)) => {
                end = Some(Status::connection_lost(match state.mux.end_of_bytes() {
                    Ok(()) => "the other side is gone: its end of the pipe is closed".to_owned(),
                    Err(violation) => format!("the other side is gone: {violation}"),
                }));
                break;
            }
            Poll::Ready(Ok(count)) => {
                state.has_read = true;
                let (before, frames) = (state.mux.pending_events(), state.mux.frames_received());
                let received = state.mux.received(count);
                batch += state.mux.pending_events() - before;
                budget.spend_bytes(count);
                budget.spend(state.mux.frames_received().wrapping_sub(frames) * Budget::FRAME);
                if let Err(violation) = received {
                    end = Some(Status::connection_lost(format!(
                        "the other side broke the stdio protocol: {violation}"
                    )));
                    state.note(Note::Violation(violation));
                    break;
                }
            }
        }
    }
    if batch > 0 {
        state.last_batch = batch;
    }
    state.drain_events();
    let unwritten = state.flush(cx, budget);
    if let Some(status) = end {
        // In the same breath, so that no call comes in between that nobody explains.
        state.lost.get_or_insert(status);
    }
    if let Some(status) = &state.lost {
        return Turn::Lost(status.clone());
    }
    if let Some(over) = drained(state, cx) {
        return over;
    }
    if again || unwritten {
        Turn::Again
    } else {
        Turn::Wait
    }
}

/// Closes a connection that has nothing left to do before it closes.
fn drained(state: &mut State, cx: &mut Context<'_>) -> Option<Turn> {
    let idle = match state.drain? {
        Drain::Ours => state.mux.live_ours() == 0,
        Drain::Theirs => {
            state.mux.live_theirs() == 0
                && state.jobs.is_empty()
                && state
                    .servers
                    .values()
                    .all(|server| server.gate().running() == 0)
        }
    };
    if !idle {
        return None;
    }
    state.mux.close(close::ORDERLY, "drained");
    if state.flush(cx, &mut Budget::for_poll()) {
        return Some(Turn::Again);
    }
    if !state.is_close_written() {
        return None;
    }
    let io = state.io.as_mut()?;
    match Pin::new(io).poll_close(cx) {
        Poll::Pending => None,
        Poll::Ready(_) => {
            state.close_drained();
            Some(Turn::Over)
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut budget = Budget::for_poll();
        while !budget.is_spent() {
            if let Some(asking) = &mut this.asking {
                let Poll::Ready(status) = asking.poll(cx) else {
                    let mut waker = Clones::one(cx.waker());
                    let closed = this.session.with(|state| {
                        state.driver_runs(&mut waker);
                        state.closed.is_some()
                    });
                    if closed {
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                };
                drop_foreign(this.asking.take());
                let status = own(&status);
                this.session.with(|state| state.close(status));
                return Poll::Ready(());
            }
            // A peer that asks and gives up at once must not fill the list faster than it empties.
            let turn = if this.jobs.is_empty() {
                this.turn(cx, &mut budget)
            } else {
                Turn::Again
            };
            this.start_handlers(&mut budget);
            match turn {
                Turn::Again => {}
                Turn::Wait if this.jobs.is_empty() => {
                    this.spin(cx);
                    return Poll::Pending;
                }
                Turn::Wait => {}
                Turn::Over => return Poll::Ready(()),
                Turn::Lost(status) => {
                    let (io, hook) = this.session.with(|state| {
                        state.lost = Some(status.clone());
                        (state.io.take(), state.hook.take())
                    });
                    drop_foreign(io);
                    match hook {
                        Some(hook) => {
                            this.asking = Some(Asking::new(&hook, &status));
                            drop_foreign(hook);
                        }
                        None => {
                            this.session.with(|state| state.close(status));
                            return Poll::Ready(());
                        }
                    }
                }
            }
        }
        // Not at once: timers and the streams of others are to be looked at first.
        this.session.runtime.wake_after_io(cx.waker());
        Poll::Pending
    }
}

/// A driver is dropped before its end when its runtime shuts down, and when it panics, as a stream
/// of bytes may.
impl Drop for Driver {
    fn drop(&mut self) {
        let status = Status::connection_lost(if std::thread::panicking() {
            "the task that drove the connection panicked"
        } else {
            "the connection is lost: the async runtime that drove it was shut down"
        });
        self.session.with(|state| state.close(status));
        self.jobs.drain(..).for_each(drop_foreign);
        drop_foreign(self.asking.take());
    }
}
