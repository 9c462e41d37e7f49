//! What the stdio protocol offers to whoever sends the messages of a call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use outboard_core::rpc::guard::{PANIC_TARGET, Panicked, Whose};
use outboard_core::rpc::{Gone, OutMessage, Outlet, Pump, Pumped, Status};
use outboard_core::rt::SharedRuntime;
use outboard_core::turn::Turn;

use crate::session::{Wait, own, status_of};
use crate::wakers::Clones;
use crate::wire::Key;
use crate::{Session, State};

/// Tells the log that code of the user's panicked.
pub(crate) fn tell_panic(whose: Whose<'_>, panicked: &Panicked) {
    let (Whose::Handler(path) | Whose::Requests(path)) = whose;
    let panic = panicked.message.as_str();
    tracing::error!(target: PANIC_TARGET, path, panic, "{whose} panicked");
}

/// The sending direction of a stream. A message that was sent is given to the machine with what
/// comes next, under the same lock.
pub(crate) struct Direction {
    pub(crate) session: Arc<Session>,
    pub(crate) key: Key,
    held: Option<OutMessage>,
    /// It is used in the connection's task, which writes for all calls together.
    pub(crate) in_driver: bool,
}

impl Direction {
    pub(crate) fn new(session: Arc<Session>, key: Key) -> Self {
        Self {
            session,
            key,
            held: None,
            in_driver: false,
        }
    }

    /// Gives the machine the message that was sent last and then does `work`, unless the call is
    /// over, for one reason or other; then writes.
    pub(crate) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut State, Key) -> Result<T, Gone>,
    ) -> Result<T, Gone> {
        let (key, in_driver) = (self.key, self.in_driver);
        let held = &mut self.held;
        self.session.with(|state| {
            if let Some(message) = held.take()
                && let Err(error) = state.mux.send(key, message)
            {
                fail(state, key, &status_of(error));
                return Err(Gone);
            }
            let done = work(state, key);
            if !in_driver {
                state.kick();
            }
            done
        })
    }

    pub(crate) fn send(&mut self, message: OutMessage) {
        debug_assert!(self.held.is_none(), "there was room");
        self.held = Some(message);
    }

    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut waker = Clones::one(cx.waker());
        let key = self.key;
        let held = &mut self.held;
        let in_driver = self.in_driver;
        self.session.with(|state| {
            if let Some(message) = held.take()
                && let Err(error) = state.mux.send(key, message)
            {
                fail(state, key, &status_of(error));
                return Poll::Ready(Err(Gone));
            }
            if is_over(state, key) {
                return Poll::Ready(Err(Gone));
            }
            if state.mux.has_room(key) {
                return Poll::Ready(Ok(()));
            }
            state.wait(key, Wait::Write, &mut waker);
            if !in_driver {
                // Writing may make room; the event for that wakes this task.
                state.kick();
            }
            Poll::Pending
        })
    }

    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        let mut waker = Clones::one(cx.waker());
        let over = self.with(|state, key| {
            // It may have ended while the messages were asked, and then nothing wakes.
            if is_over(state, key) {
                return Err(Gone);
            }
            // Woken also when the call ends.
            state.wait(key, Wait::Write, &mut waker);
            Ok(())
        });
        match over {
            Ok(()) => Poll::Pending,
            Err(gone) => Poll::Ready(gone),
        }
    }

    pub(crate) fn taken(&mut self) -> Result<(), Gone> {
        self.with(|state, key| {
            if is_over(state, key) {
                Err(Gone)
            } else {
                Ok(())
            }
        })
    }
}

fn is_over(state: &State, key: Key) -> bool {
    state.closed.is_some() || !state.mux.is_sending(key)
}

/// Ends the call as the side that this one is of it does that.
fn fail(state: &mut State, key: Key, status: &Status) {
    if key.is_ours() {
        state.mux.cancel(key, own(status));
    } else {
        state.mux.fail(key, status);
    }
    state.kick();
}

/// The direction of the requests of a call of this side.
pub(crate) struct RequestOutlet(Direction);

impl Outlet for RequestOutlet {
    fn runtime(&self) -> &SharedRuntime {
        &self.0.session.runtime
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.0.poll_room(cx)
    }

    fn send(&mut self, message: OutMessage) -> Result<(), Status> {
        self.0.send(message);
        Ok(())
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.0.poll_idle(cx)
    }

    fn poll_taken(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(self.0.taken())
    }

    fn tell_panic(whose: Whose<'_>, panicked: &Panicked) {
        tell_panic(whose, panicked);
    }
}

/// The task that sends the messages of a call of this side.
pub(crate) struct RequestTask {
    pump: Pump,
    outlet: RequestOutlet,
    is_over: bool,
}

impl RequestTask {
    pub(crate) fn new(session: &Arc<Session>, key: Key, pump: Pump) -> Self {
        Self {
            pump,
            outlet: RequestOutlet(Direction::new(Arc::clone(session), key)),
            is_over: false,
        }
    }

    fn fail(&mut self, status: &Status) {
        let Direction { session, key, .. } = &self.outlet.0;
        let status = own(status);
        session.with(|state| {
            state.mux.cancel(*key, status);
            state.kick();
        });
    }
}

impl Future for RequestTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match ready!(this.pump.poll(&mut this.outlet, &mut Turn::new(), cx)) {
            Pumped::All => {
                let _over = this.outlet.0.with(|state, key| {
                    state.mux.end(key);
                    Ok(())
                });
            }
            Pumped::Failed(status) => this.fail(&status),
            Pumped::Gone => {}
        }
        this.is_over = true;
        Poll::Ready(())
    }
}

/// A task that is dropped before its end, by a runtime that shuts down, ends its call: the rest of
/// the messages will not come.
impl Drop for RequestTask {
    fn drop(&mut self) {
        let Direction { session, .. } = &self.outlet.0;
        // What the call is told of the end of the connection says more.
        if !self.is_over && session.with(|state| state.closed.is_none()) {
            self.fail(&Pump::dropped());
        }
    }
}
