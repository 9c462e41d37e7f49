//! What the stdio protocol offers to the engine of calls, on the serving side.

use std::sync::Arc;
use std::task::{Context, Poll};

use outboard_core::rpc::guard::{Panicked, Whose};
use outboard_core::rpc::serving::{self, Incoming, Requests, ServingStream};
use outboard_core::rpc::{CallContext, Gone, Metadata, OutMessage, Outlet, Reply, Status};
use outboard_core::rt::SharedRuntime;
use outboard_core::turn::Turn;

use crate::Session;
use crate::gate::Running;
use crate::pump::{Direction, tell_panic};
use crate::server::Job;
use crate::session::Wait;
use crate::wakers::Clones;
use crate::wire::{Key, Taken};

/// Starts the handler that answers a job, in the driver.
pub(crate) fn start(session: &Arc<Session>, job: Job, turn: &mut Turn) {
    let Job {
        key,
        route,
        router,
        running,
        offer,
        message,
    } = job;
    let deadline = match serving::deadline(session.runtime.as_ref(), offer.timeout) {
        Ok(deadline) => deadline,
        Err(status) => return session.with(|state| state.mux.abort(key, &status)),
    };
    let mut context = CallContext::new(route.descriptor.path);
    context.metadata = offer.metadata;
    context.deadline = deadline;
    context.extensions = router.extensions().clone();
    let mut direction = Direction::new(Arc::clone(session), key);
    direction.in_driver = true;
    let stream = Stream {
        direction,
        running: Some(running),
    };
    let requests = RequestStream {
        session: Arc::clone(session),
        key,
    };
    serving::start(stream, requests, route, context, message, turn);
}

/// The stream of a call of the peer, from its answering end.
pub(crate) struct Stream {
    direction: Direction,
    /// Until nothing of the handler is left.
    running: Option<Running>,
}

impl Outlet for Stream {
    fn runtime(&self) -> &SharedRuntime {
        &self.direction.session.runtime
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.direction.poll_room(cx)
    }

    fn send(&mut self, message: OutMessage) -> Result<(), Status> {
        self.direction.send(message);
        Ok(())
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.direction.poll_idle(cx)
    }

    fn poll_taken(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(self.direction.taken())
    }

    fn tell_panic(whose: Whose<'_>, panicked: &Panicked) {
        tell_panic(whose, panicked);
    }
}

impl ServingStream for Stream {
    type Requests = RequestStream;

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_aborted = self
            .running
            .as_ref()
            .is_some_and(|running| running.gate().is_aborted());
        let key = self.direction.key;
        let mut waker = Clones::one(cx.waker());
        self.direction.session.with(|state| {
            if is_aborted {
                let status = Status::unavailable("the server was stopped");
                state.mux.abort(key, &status);
                state.kick();
            }
            if state.closed.is_some() || !state.mux.is_sending(key) {
                return Poll::Ready(());
            }
            state.wait(key, Wait::Task, &mut waker);
            Poll::Pending
        })
    }

    fn headers(&mut self, headers: &Metadata) -> Result<(), Status> {
        let Direction { session, key, .. } = &self.direction;
        session
            .with(|state| state.mux.headers(*key, headers))
            .map_err(|error| Status::resource_exhausted(error.to_string()))
    }

    fn reply(&mut self, mut reply: Reply<OutMessage>) {
        // What is left of it may hold bytes with an owner of the user's: it is dropped after the lock.
        let Reply {
            message,
            headers,
            trailers,
            ..
        } = &mut reply;
        let _over = self.direction.with(|state, key| {
            state.reply(key, headers, std::mem::take(message), trailers);
            Ok(())
        });
    }

    fn finish(&mut self, trailers: Metadata) {
        let trailers = &trailers;
        let _over = self.direction.with(|state, key| {
            if let Err(error) = state.mux.finish(key, trailers) {
                let status = Status::resource_exhausted(error.to_string());
                state.mux.fail(key, &status);
            }
            Ok(())
        });
    }

    fn fail(&mut self, status: &Status) {
        let _over = self.direction.with(|state, key| {
            state.mux.fail(key, status);
            Ok(())
        });
    }

    fn abort(&mut self, status: &Status) {
        let _over = self.direction.with(|state, key| {
            if state.mux.is_sending(key) {
                state.mux.abort(key, status);
            }
            Ok(())
        });
    }

    fn leaves_connection(&mut self) {
        self.direction.in_driver = false;
    }
}

/// Whoever waits for the end of what is served is told once nothing of the handler is left.
impl Drop for Stream {
    fn drop(&mut self) {
        // Before the session is told, as a draining connection looks at it when it is woken.
        self.running = None;
        self.direction.session.with(|state| {
            if state.drain.is_some() {
                state.wake_driver();
            }
        });
    }
}

/// The requests of a call of the peer.
pub(crate) struct RequestStream {
    session: Arc<Session>,
    key: Key,
}

impl Requests for RequestStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let key = self.key;
        let mut waker = Clones::one(cx.waker());
        let (taken, gone) = self.session.with(|state| {
            let taken = state.mux.take_message(key);
            let closed = state.closed.clone();
            if taken == Taken::Pending {
                state.wait(key, Wait::Read, &mut waker);
            } else if state.mux.wants_transmit() {
                state.wake_driver();
            }
            let cancelled = !state.mux.is_sending(key);
            let gone = closed
                .or_else(|| cancelled.then(|| Status::cancelled("the caller gave the call up")));
            (taken, gone)
        });
        match (taken, gone) {
            (Taken::Message(message), _) => Poll::Ready(Incoming::Message(message)),
            (Taken::Pending, None) => Poll::Pending,
            (Taken::Pending | Taken::End, Some(status)) => Poll::Ready(Incoming::Gone(status)),
            (Taken::End, None) => Poll::Ready(Incoming::End),
        }
    }
}
