//! The one task of a connection: it reads, starts handlers, and writes what nobody else wrote.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rpc::{Spin, Status};
use outboard_core::rt::{BoxFuture, Timer};

use crate::server::{Handler, Job};
use crate::session::{Drain, Session, State};
use crate::wire::close;

/// How often the driver reads before other tasks get their turn (a guess: about half a megabyte
/// of small frames).
const READS: usize = 16;
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
    asking: Option<BoxFuture<'static, Status>>,
    jobs: Vec<Job>,
    spin: Spin,
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

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let session = Arc::clone(&self.session);
        let now = self.timer.as_ref().map(|_| session.runtime.now());
        let (turn, timeout, broken) = session.with(|state| {
            state.driver_runs(cx.waker());
            if state.closed.is_some() {
                return (Turn::Over, None, None);
            }
            if let Some(status) = &state.lost {
                // Found by a caller.
                return (Turn::Lost(status.clone()), None, None);
            }
            if let Some(now) = now {
                state.mux.handle_timeout(now);
            }
            let turn = exchange(state);
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

    /// Gives each handler its first poll here: most are done with that, and their answers leave
    /// in one write. The others become tasks.
    fn start_handlers(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let more = self.jobs.len().min(HANDLERS);
        for job in self.jobs.drain(..more) {
            // Of many, some may have been given up before their turn.
            if more > 1 && !self.session.with(|state| state.mux.is_sending(job.key())) {
                continue;
            }
            let mut handler = match Handler::start(&self.session, job) {
                Ok(handler) => handler,
                Err((key, outcome)) => {
                    self.session.with(|state| outcome.apply(state, key));
                    continue;
                }
            };
            let mut cx = Context::from_waker(Waker::noop());
            match handler.poll_work(&mut cx) {
                Poll::Ready(outcome) => {
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

/// Reads for a caller that the stream of bytes has woken. The driver has been woken with it and
/// does all that the caller must not, such as starting handlers.
pub(crate) fn read_as_caller(state: &mut State) {
    if state.lost.is_some() || state.closed.is_some() || !state.jobs.is_empty() {
        return;
    }
    match exchange(state) {
        Turn::Again | Turn::Wait | Turn::Over => {}
        // Kept in the state: the driver finds it there.
        Turn::Lost(_) => state.wake_driver(),
    }
}

/// Reads and writes as far as the stream of bytes goes along.
fn exchange(state: &mut State) -> Turn {
    // A stream of bytes may wake whom it lets wait, under the lock: not a caller, then.
    let caller = state.io_waker.take_caller();
    let turn = exchange_with(state, &mut Context::from_waker(&state.io_waker()));
    state.restore_caller(caller);
    turn
}

fn exchange_with(state: &mut State, cx: &mut Context<'_>) -> Turn {
    let mut end = None;
    let mut again = true;
    let mut batch = 0;
    for _ in 0..READS {
        let Some(io) = state.io.as_mut() else {
            break;
        };
        match Pin::new(io).poll_read(cx, state.mux.space()) {
            Poll::Pending => {
                again = false;
                break;
            }
            Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
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
                let before = state.mux.pending_events();
                let received = state.mux.received(count);
                batch += state.mux.pending_events() - before;
                if let Err(violation) = received {
                    tracing::warn!(%violation, "the other side broke the stdio protocol");
                    end = Some(Status::connection_lost(format!(
                        "the other side broke the stdio protocol: {violation}"
                    )));
                    break;
                }
            }
        }
    }
    if batch > 0 {
        state.last_batch = batch;
    }
    state.drain_events();
    state.flush(cx);
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
    if again { Turn::Again } else { Turn::Wait }
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
    state.flush(cx);
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
        for _ in 0..READS {
            if let Some(asking) = &mut this.asking {
                let Poll::Ready(status) = asking.as_mut().poll(cx) else {
                    this.session.with(|state| state.driver_runs(cx.waker()));
                    if this.session.with(|state| state.closed.is_some()) {
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                };
                this.asking = None;
                this.session.with(|state| state.close(status));
                return Poll::Ready(());
            }
            // A peer that asks and gives up at once must not fill the list faster than it empties.
            let turn = if this.jobs.is_empty() {
                this.turn(cx)
            } else {
                Turn::Again
            };
            this.start_handlers();
            match turn {
                Turn::Again => {}
                Turn::Wait if this.jobs.is_empty() => {
                    this.spin(cx);
                    return Poll::Pending;
                }
                Turn::Wait => {}
                Turn::Over => return Poll::Ready(()),
                Turn::Lost(status) => {
                    let hook = this.session.with(|state| {
                        state.lost = Some(status.clone());
                        state.io = None;
                        state.hook.take()
                    });
                    match hook {
                        Some(hook) => this.asking = Some(hook(status)),
                        None => {
                            this.session.with(|state| state.close(status));
                            return Poll::Ready(());
                        }
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A driver is dropped before its end when its runtime shuts down.
impl Drop for Driver {
    fn drop(&mut self) {
        self.session.with(|state| {
            state.close(Status::connection_lost(
                "the runtime that drove the connection was shut down",
            ));
        });
    }
}
