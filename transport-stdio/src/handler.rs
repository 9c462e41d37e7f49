//! Handlers at work: from the request to the answer.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use outboard_core::rpc::guard::{Deadline, Whose, catch_panic};
use outboard_core::rpc::{
    Call, CallContext, MessageStream, Metadata, MethodKind, OutMessage, Pace, Reply, Route, Status,
    StreamReply,
};
use outboard_core::rt::BoxFuture;

use crate::gate::{Gate, Running};
use crate::pump::{Pumped, poll_pump, tell_panic};
use crate::server::{Job, one_message, takes_one};
use crate::session::{Session, State, Wait, drop_foreign};
use crate::wakers::Clones;
use crate::wire::{Key, Taken};

/// A handler at work.
pub(crate) struct Handler {
    session: Arc<Session>,
    key: Key,
    gate: Arc<Gate>,
    running: Option<Running>,
    deadline: Deadline,
    path: &'static str,
    work: Work,
    pace: Arc<Pace>,
    /// The first poll of the handler's code is in this task, and to be told.
    learns: bool,
}

enum Work {
    /// Has not begun, or waits for the one message of a call that has one.
    Collect(Box<Collect>),
    Unary(BoxFuture<'static, Result<Reply<OutMessage>, Status>>),
    Streaming(BoxFuture<'static, Result<StreamReply, Status>>),
    Pump(MessageStream, Option<Box<dyn FnOnce() -> Metadata + Send>>),
    Over,
}

struct Collect {
    route: Route,
    context: CallContext,
    message: Option<Bytes>,
    /// The end behind the message is there, too.
    whole: bool,
}

/// What a handler came to.
pub(crate) enum Outcome {
    Reply(Reply<OutMessage>),
    Finished(Metadata),
    Failed(Status),
    /// At once, dropping what is queued.
    Aborted(Status),
    /// Nobody wants to know.
    Gone,
}

impl Outcome {
    /// Queues the answer. What is left of the outcome may hold bytes with an owner of the user's:
    /// it is to be dropped after the lock.
    pub(crate) fn apply(&mut self, state: &mut State, key: Key) {
        match self {
            Self::Reply(Reply {
                message,
                headers,
                trailers,
            }) => state.reply(key, headers, std::mem::take(message), trailers),
            Self::Finished(trailers) => {
                if let Err(error) = state.mux.finish(key, trailers) {
                    let status = Status::resource_exhausted(error.to_string());
                    state.mux.fail(key, &status);
                }
            }
            Self::Failed(status) => state.mux.fail(key, status),
            Self::Aborted(status) => state.mux.abort(key, status),
            Self::Gone => {}
        }
    }
}

impl Handler {
    /// Starts the handler of a call, with its code if that is to run `here` and not in a task. A
    /// panic in it is an outcome.
    pub(crate) fn start(
        session: &Arc<Session>,
        job: Job,
        here: bool,
    ) -> Result<Self, Box<(Key, Outcome)>> {
        let Job {
            key,
            route,
            router,
            running,
            offer,
            message,
        } = job;
        let deadline: Option<Instant> = offer
            .timeout
            .and_then(|timeout| session.runtime.now().checked_add(timeout));
        let context = CallContext {
            path: route.descriptor.path,
            metadata: offer.metadata,
            deadline,
            extensions: router.extensions().clone(),
        };
        let path = context.path;
        let pace = Arc::clone(&route.pace);
        let work = if takes_one(&route) {
            match message {
                Some(message) if here => begin_with_one(&route, context, message),
                message => Ok(Work::Collect(Box::new(Collect {
                    route,
                    context,
                    whole: message.is_some(),
                    message,
                }))),
            }
        } else {
            let call = Box::new(ServerCall {
                session: Arc::clone(session),
                key,
                ended: false,
                headers: Metadata::new(),
            });
            guarded(path, || {
                Work::Streaming(route.service.streaming(route.method, context, call))
            })
        };
        match work {
            Ok(work) => Ok(Self {
                learns: !here || matches!(work, Work::Collect(_)),
                pace,
                session: Arc::clone(session),
                key,
                gate: Arc::clone(running.gate()),
                running: Some(running),
                deadline: Deadline::new(session.runtime.as_ref(), deadline),
                path,
                work,
            }),
            Err(status) => Err(Box::new((key, Outcome::Aborted(status)))),
        }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Whether the handler has not begun, because not all of the request is there.
    pub(crate) fn is_collecting(&self) -> bool {
        matches!(self.work, Work::Collect(_))
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Goes on with the work, without asking whether anybody still wants it.
    pub(crate) fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if self.deadline.poll_over(cx).is_ready() {
            return Poll::Ready(Outcome::Aborted(Status::deadline_exceeded(
                "the deadline passed while the call was being answered",
            )));
        }
        loop {
            let path = self.path;
            match &mut self.work {
                Work::Collect(parts) => {
                    let Collect {
                        route,
                        context,
                        message,
                        whole,
                    } = &mut **parts;
                    let key = self.key;
                    let mut waker = Clones::one(cx.waker());
                    let whole = *whole;
                    let taken = self.session.with(|state| {
                        if whole {
                            return Taken::End;
                        }
                        let taken = state.mux.take_message(key);
                        if taken == Taken::Pending {
                            state.wait(key, Wait::Read, &mut waker);
                        } else if state.mux.wants_transmit() {
                            state.wake_driver();
                        }
                        taken
                    });
                    match taken {
                        Taken::Pending => return Poll::Pending,
                        Taken::Message(new) => {
                            if message.replace(new).is_some() {
                                return Poll::Ready(Outcome::Aborted(one_message(path)));
                            }
                        }
                        Taken::End => {
                            let Some(message) = message.take() else {
                                return Poll::Ready(Outcome::Aborted(one_message(path)));
                            };
                            match begin_with_one(route, context.clone(), message) {
                                Ok(work) => self.work = work,
                                Err(status) => return Poll::Ready(Outcome::Aborted(status)),
                            }
                        }
                    }
                }
                Work::Unary(future) => {
                    return match guarded(path, || future.as_mut().poll(cx)) {
                        Ok(Poll::Pending) => Poll::Pending,
                        Ok(Poll::Ready(Ok(reply))) => Poll::Ready(Outcome::Reply(reply)),
                        Ok(Poll::Ready(Err(status))) => Poll::Ready(Outcome::Failed(status)),
                        Err(status) => Poll::Ready(Outcome::Aborted(status)),
                    };
                }
                Work::Streaming(future) => {
                    let reply = match guarded(path, || future.as_mut().poll(cx)) {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(Ok(reply))) => reply,
                        Ok(Poll::Ready(Err(status))) => {
                            return Poll::Ready(Outcome::Failed(status));
                        }
                        Err(status) => return Poll::Ready(Outcome::Aborted(status)),
                    };
                    let key = self.key;
                    let headers = self
                        .session
                        .with(|state| state.mux.headers(key, &reply.headers));
                    if let Err(error) = headers {
                        let status = Status::resource_exhausted(error.to_string());
                        return Poll::Ready(Outcome::Failed(status));
                    }
                    self.work = Work::Pump(reply.messages, reply.trailers);
                }
                Work::Pump(messages, trailers) => {
                    let outcome = match poll_pump(&self.session, self.key, messages.as_mut(), cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Pumped::Gone) => Outcome::Gone,
                        Poll::Ready(Pumped::Failed(status)) => Outcome::Failed(status),
                        Poll::Ready(Pumped::Done) => {
                            let trailers = trailers.take();
                            match guarded(path, || trailers.map(|make| make())) {
                                Ok(trailers) => Outcome::Finished(trailers.unwrap_or_default()),
                                Err(status) => Outcome::Failed(status),
                            }
                        }
                        Poll::Ready(Pumped::Panicked(panicked)) => {
                            Outcome::Failed(tell_panic(Whose::Handler(path), &panicked))
                        }
                    };
                    return Poll::Ready(outcome);
                }
                Work::Over => return Poll::Ready(Outcome::Gone),
            }
        }
    }

    /// Whether the handler should go on; if so, `waker` is woken when it should not.
    fn is_wanted(&self, waker: &Waker) -> bool {
        let (key, gate) = (self.key, &self.gate);
        let mut waker = Clones::one(waker);
        self.session.with(|state| {
            if gate.is_aborted() {
                let status = Status::unavailable("the server was stopped");
                state.mux.abort(key, &status);
                state.kick();
            }
            if state.closed.is_some() || !state.mux.is_sending(key) {
                return false;
            }
            state.wait(key, Wait::Task, &mut waker);
            true
        })
    }
}

/// A handler that was not done at once, as a task of its own.
impl Future for Handler {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_wanted(cx.waker()) {
            return Poll::Ready(());
        }
        let runtime = &self.session.runtime;
        let started = self.learns.then(|| runtime.stopwatch());
        let polled = self.poll_work(cx);
        if let Some(started) = started
            && !self.is_collecting()
        {
            let now = self.session.runtime.stopwatch();
            self.pace.took(now.saturating_duration_since(started));
            self.learns = false;
        }
        let Poll::Ready(mut outcome) = polled else {
            return Poll::Pending;
        };
        let key = self.key;
        self.session.with(|state| {
            outcome.apply(state, key);
            state.kick();
        });
        Poll::Ready(())
    }
}

/// A handler that is dropped without an answer, by a runtime that shuts down, answers with an error.
impl Drop for Handler {
    fn drop(&mut self) {
        let key = self.key;
        // Whoever waits for the end of what is served is told once nothing of it is left.
        drop_foreign(std::mem::replace(&mut self.work, Work::Over));
        // Before the session is told, as a draining connection looks at it when it is woken.
        self.running = None;
        self.session.with(|state| {
            if state.mux.is_sending(key) {
                let status = Status::unavailable("the handler was dropped before it had an answer");
                state.mux.abort(key, &status);
                state.wake_driver();
            } else if state.drain.is_some() {
                state.wake_driver();
            }
        });
    }
}

fn begin_with_one(route: &Route, context: CallContext, message: Bytes) -> Result<Work, Status> {
    let (service, method) = (&route.service, route.method);
    guarded(context.path, || {
        if route.descriptor.kind == MethodKind::Unary {
            return Work::Unary(service.unary(method, context, message));
        }
        let call = Box::new(OneRequest {
            message: Some(message),
            headers: Metadata::new(),
        });
        Work::Streaming(service.streaming(method, context, call))
    })
}

/// Runs the code of a handler. A panic becomes a log record and a status.
fn guarded<T>(path: &str, work: impl FnOnce() -> T) -> Result<T, Status> {
    catch_panic(work).map_err(|panicked| tell_panic(Whose::Handler(path), &panicked))
}

/// The request of a call with one request message and any number of answers.
struct OneRequest {
    message: Option<Bytes>,
    headers: Metadata,
}

impl Call for OneRequest {
    fn poll_headers(&mut self, _cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        Poll::Ready(Ok(&self.headers))
    }

    fn poll_message(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        Poll::Ready(self.message.take().map(Ok))
    }

    fn trailers(&self) -> Option<&Metadata> {
        None
    }
}

/// The request messages of a streaming call, as its handler reads them.
struct ServerCall {
    session: Arc<Session>,
    key: Key,
    ended: bool,
    headers: Metadata,
}

impl Call for ServerCall {
    fn poll_headers(&mut self, _cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        // What the caller sent is in the handler's context.
        Poll::Ready(Ok(&self.headers))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let key = self.key;
        let mut waker = Clones::one(cx.waker());
        let (taken, cut) = self.session.with(|state| {
            let taken = state.mux.take_message(key);
            let closed = state.closed.clone();
            if taken == Taken::Pending {
                state.wait(key, Wait::Read, &mut waker);
            } else if state.mux.wants_transmit() {
                state.wake_driver();
            }
            let cancelled = !state.mux.is_sending(key);
            let cut = closed
                .or_else(|| cancelled.then(|| Status::cancelled("the caller gave the call up")));
            (taken, cut)
        });
        match (taken, cut) {
            (Taken::Message(message), _) => Poll::Ready(Some(Ok(message))),
            (Taken::Pending, None) => Poll::Pending,
            (Taken::Pending | Taken::End, Some(status)) => {
                self.ended = true;
                Poll::Ready(Some(Err(status)))
            }
            (Taken::End, None) => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn trailers(&self) -> Option<&Metadata> {
        None
    }
}
