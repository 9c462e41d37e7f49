//! The one task of a connection: it reads, starts handlers, and writes what nobody else wrote.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use outboard_core::rpc::{Explaining, Spin, Status};
use outboard_core::rt::Timer;
use outboard_core::turn::Turn;

use crate::handler;
use crate::server::Job;
use crate::session::{Step, drop_foreign, exchange, own};
use crate::wakers::Clones;
use crate::{Session, State};

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
    asking: Option<Explaining>,
    jobs: Vec<Job>,
    spin: Spin,
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

    fn step(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Step {
        let session = Arc::clone(&self.session);
        let now = self.timer.as_ref().map(|_| session.runtime.now());
        let mut waker = Clones::one(cx.waker());
        let (step, timeout, broken) = session.with(|state| {
            state.driver_runs(&mut waker);
            if state.closed.is_some() {
                return (Step::Over, None, None);
            }
            if let Some(status) = &state.lost {
                // Found by a caller.
                return (Step::Lost(status.clone()), None, None);
            }
            let mut step = exchange(state, turn);
            // After what there was to read: a peer's sign of life may have waited for this side.
            if let Some(now) = now
                && matches!(step, Step::Wait)
            {
                state.mux.handle_timeout(now);
                if state.mux.wants_transmit() || state.mux.pending_events() > 0 {
                    step = exchange(state, turn);
                }
            }
            state.serving.take_jobs(&mut self.jobs);
            (step, state.mux.poll_timeout(), state.broken.clone())
        });
        if !matches!(step, Step::Wait) {
            return step;
        }
        if let Some(broken) = broken {
            let runtime = &self.session.runtime;
            let timer = self
                .last_answers
                .get_or_insert_with(|| runtime.timer(runtime.now() + LAST_ANSWERS));
            if timer.as_mut().poll_expired(cx).is_ready() {
                return Step::Lost(broken);
            }
        }
        match timeout {
            Some(at) if self.wait_until(at, cx) => Step::Again,
            Some(_) | None => Step::Wait,
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

    /// Starts handlers: the answers of those that are done at once leave in one write.
    fn start_handlers(&mut self, turn: &mut Turn) {
        if self.jobs.is_empty() {
            return;
        }
        let more = self.jobs.len().min(HANDLERS);
        turn.resume(self.session.runtime.stopwatch());
        for job in self.jobs.drain(..more) {
            // Of many, some may have been given up before their turn.
            if more > 1 && !self.session.with(|state| state.mux.is_sending(job.key())) {
                turn.spend(Turn::HANDLER);
                continue;
            }
            handler::start(&self.session, job, turn);
        }
        self.session.with(State::flush_now);
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut turn = Turn::new();
        while !turn.is_over() {
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
            let step = if this.jobs.is_empty() {
                this.step(cx, &mut turn)
            } else {
                Step::Again
            };
            this.start_handlers(&mut turn);
            match step {
                Step::Again => {}
                Step::Wait if this.jobs.is_empty() => {
                    this.spin(cx);
                    return Poll::Pending;
                }
                Step::Wait => {}
                Step::Over => return Poll::Ready(()),
                Step::Lost(status) => {
                    let (io, hook) = this.session.with(|state| {
                        state.lost = Some(status.clone());
                        state.wake_for_retirement();
                        (state.io.take(), state.hook.take())
                    });
                    drop_foreign(io);
                    match hook {
                        Some(hook) => this.asking = Some(Explaining::new(Some(hook), status)),
                        None => {
                            this.session.with(|state| state.close(status));
                            return Poll::Ready(());
                        }
                    }
                }
            }
        }
        turn.give_way(this.session.runtime.as_ref(), cx)
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
        // One that has come to its end has said how.
        self.session.with(|state| {
            if state.closed.is_none() {
                state.close(status);
            }
        });
        self.jobs.drain(..).for_each(drop_foreign);
        drop_foreign(self.asking.take());
    }
}
