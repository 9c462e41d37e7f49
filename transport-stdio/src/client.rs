//! Calls of this side.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use outboard_core::rpc::guard::{Deadline, Whose};
use outboard_core::rpc::{Call, CallHead, MessageStream, Metadata, OutMessage, Reply, Status};

use crate::pump::{RequestPump, poll_messages, tell_panic};
use crate::session::{Session, State, Wait, drop_foreign};
use crate::wakers::Clones;
use crate::wire::{Key, Taken};

/// Where calls go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) session: Arc<Session>,
    pub(crate) connection: u64,
    pub(crate) channel: u32,
}

impl Target {
    fn deadline(&self, head: &CallHead) -> (Deadline, Option<Duration>) {
        if head.timeout.is_none() && head.deadline.is_none() {
            return (Deadline::default(), None);
        }
        let runtime = &self.session.runtime;
        let now = runtime.now();
        let at = head.deadline_from(now);
        let timeout = at.map(|at| at.saturating_duration_since(now));
        (Deadline::new(runtime.as_ref(), at), timeout)
    }
}

fn too_late() -> Status {
    Status::deadline_exceeded("the deadline passed before the call was done")
}

/// A call that is in progress on the wire; dropping it cancels.
#[derive(Debug)]
struct Live {
    target: Target,
    key: Key,
    unary: bool,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.target.session.with(|state| {
            if self.unary {
                state.count_unary(false);
            }
            state.release(self.target.connection, self.key);
            if state.mux.wants_transmit() {
                state.kick();
            }
        });
    }
}

/// A unary call.
pub(crate) struct Unary {
    target: Target,
    deadline: Deadline,
    step: Step,
}

enum Step {
    Start(Box<(CallHead, OutMessage)>),
    Wait(Live),
    Over,
}

impl Unary {
    pub(crate) fn new(target: Target, head: CallHead, message: OutMessage) -> Self {
        Self {
            target,
            deadline: Deadline::default(),
            step: Step::Start(Box::new((head, message))),
        }
    }
}

impl Future for Unary {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let session = Arc::clone(&this.target.session);
        if let Step::Start(_) = this.step {
            // Clones of wakers are not free, and this is rare.
            if session.with(|state| state.is_being_explained()) {
                let mut closed = Clones::one(cx.waker());
                let explained = session.with(|state| {
                    !state.is_being_explained() || state.poll_closed(&mut closed).is_ready()
                });
                if !explained {
                    return Poll::Pending;
                }
            }
            let Step::Start(parts) = std::mem::replace(&mut this.step, Step::Over) else {
                return Poll::Pending;
            };
            let (head, message) = *parts;
            let (deadline, timeout) = this.target.deadline(&head);
            this.deadline = deadline;
            if timeout == Some(Duration::ZERO) {
                return Poll::Ready(Err(too_late()));
            }
            let (connection, channel) = (this.target.connection, this.target.channel);
            // One to wait for the answer, one to be woken by the stream of bytes.
            let mut waker = Clones::two(cx.waker());
            let opened = session.with(|state| {
                let key = state.open(connection, channel, &head, timeout, Some(message), true)?;
                state.count_unary(true);
                state.wait_for_reply(key, &mut waker);
                state.kick();
                Ok(key)
            });
            let key = match opened {
                Ok(key) => key,
                Err(status) => return Poll::Ready(Err(status)),
            };
            let target = this.target.clone();
            let unary = true;
            this.step = Step::Wait(Live { target, key, unary });
            if this.deadline.poll_over(cx).is_ready() {
                this.step = Step::Over;
                return Poll::Ready(Err(too_late()));
            }
            return Poll::Pending;
        }
        let Step::Wait(live) = &this.step else {
            // Polled again after its end, against the rules of futures.
            return Poll::Pending;
        };
        let key = live.key;
        let mut reply = session.with(|state| take_reply(state, key));
        // Mostly it is there, since the call was woken for it: no need of wakers.
        if reply.is_none() {
            let mut waker = Clones::two(cx.waker());
            reply = session.with(|state| state.poll_reply(key, &mut waker, take_reply));
        }
        let result = match reply {
            Some(result) => result,
            None if this.deadline.poll_over(cx).is_ready() => Err(too_late()),
            None => return Poll::Pending,
        };
        this.step = Step::Over;
        Poll::Ready(result)
    }
}

/// Takes the reply of a unary call out of the machine, if it is complete.
fn take_reply(state: &mut State, key: Key) -> Option<Result<Reply<Bytes>, Status>> {
    let Some(result) = state.mux.result(key) else {
        return state.closed.clone().map(Err);
    };
    let trailers = match result {
        Ok(trailers) if trailers.is_empty() => Metadata::new(),
        Ok(trailers) => trailers.clone(),
        Err(status) => return Some(Err(status.clone())),
    };
    let first = state.mux.take_message(key);
    let second = state.mux.take_message(key);
    Some(match (first, second) {
        (Taken::Message(message), Taken::End | Taken::Pending) => Ok(Reply {
            message,
            headers: state.mux.take_headers(key),
            trailers,
        }),
        (_, _) => Err(Status::internal(
            "the other side answered a unary call with other than one message",
        )),
    })
}

/// A streaming call.
pub(crate) struct Streamed {
    /// Of no use any more with an error, which is kept until it was told.
    live: Result<Live, Option<Status>>,
    /// The connection was lost before the call began, and why is being found out.
    explaining: Option<Arc<Session>>,
    deadline: Deadline,
    headers: Option<Metadata>,
    trailers: Option<Metadata>,
}

impl Streamed {
    pub(crate) fn open(target: Target, head: &CallHead, mut messages: MessageStream) -> Self {
        let (deadline, timeout) = target.deadline(head);
        let over = |status, explaining| Self {
            live: Err(status),
            explaining,
            deadline: Deadline::default(),
            headers: None,
            trailers: None,
        };
        let failed = |status| over(Some(status), None);
        if timeout == Some(Duration::ZERO) {
            return failed(too_late());
        }
        // A message that is there already goes with the first frame; so does the end, and then
        // nobody has to wait for more messages.
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = poll_messages(messages.as_mut(), &mut cx);
        let mut first = None;
        if let Ok(Poll::Ready(Some(Ok(_)))) = &next {
            if let Ok(Poll::Ready(Some(Ok(message)))) = next {
                first = Some(message);
            }
            next = poll_messages(messages.as_mut(), &mut cx);
        }
        let (second, end) = match next {
            Ok(Poll::Pending) => (None, false),
            Ok(Poll::Ready(None)) => (None, true),
            Ok(Poll::Ready(Some(Ok(message)))) => (Some(message), false),
            Ok(Poll::Ready(Some(Err(status)))) => return failed(status),
            Err(panicked) => {
                drop_foreign(messages);
                return failed(tell_panic(Whose::Requests(&head.path), &panicked));
            }
        };
        let session = Arc::clone(&target.session);
        let opened = session.with(|state| {
            if state.is_being_explained() {
                return Ok(None);
            }
            let (connection, channel) = (target.connection, target.channel);
            let key = state.open(connection, channel, head, timeout, first, end)?;
            if let Some(message) = second
                && let Err(error) = state.mux.send(key, message)
            {
                state.release(connection, key);
                return Err(crate::session::status_of(error));
            }
            // What is sent is sent by others: this function must not wait, nor fail.
            state.wake_driver();
            Ok(Some(key))
        });
        let key = match opened {
            Ok(Some(key)) => key,
            Ok(None) => return over(None, Some(session)),
            Err(status) => return failed(status),
        };
        if !end {
            let pump = RequestPump::new(&session, key, head.path.clone(), messages);
            session.runtime.spawn(Box::pin(pump));
        }
        let unary = false;
        Self {
            live: Ok(Live { target, key, unary }),
            explaining: None,
            deadline,
            headers: None,
            trailers: None,
        }
    }

    fn over(&mut self) {
        self.live = Err(None);
    }

    /// Ready once nothing is to be found out any more.
    fn poll_explained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(session) = &self.explaining {
            let mut waker = Clones::one(cx.waker());
            let status = session.with(|state| {
                let closed = state.poll_closed(&mut waker);
                closed.map(|()| state.closed.clone())
            });
            let Poll::Ready(status) = status else {
                return Poll::Pending;
            };
            self.live = Err(status);
            self.explaining = None;
        }
        Poll::Ready(())
    }
}

impl Call for Streamed {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        ready!(self.poll_explained(cx));
        if self.headers.is_none() {
            let live = match &self.live {
                Ok(live) => live,
                Err(Some(status)) => return Poll::Ready(Err(status.clone())),
                Err(None) => {
                    return Poll::Ready(Ok(self.headers.get_or_insert_default()));
                }
            };
            let key = live.key;
            let mut waker = Clones::one(cx.waker());
            let came = live.target.session.with(|state| {
                if state.mux.headers_of(key).is_some() {
                    return Some(Ok(state.mux.take_headers(key)));
                }
                match state.mux.result(key) {
                    Some(Ok(_)) => Some(Ok(Metadata::new())),
                    Some(Err(status)) => Some(Err(status.clone())),
                    None => match &state.closed {
                        Some(status) => Some(Err(status.clone())),
                        None => {
                            state.wait(key, Wait::Read, &mut waker);
                            None
                        }
                    },
                }
            });
            match came {
                Some(Ok(headers)) => self.headers = Some(headers),
                Some(Err(status)) => return Poll::Ready(Err(status)),
                None if self.deadline.poll_over(cx).is_ready() => {
                    return Poll::Ready(Err(too_late()));
                }
                None => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(self.headers.get_or_insert_default()))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        ready!(self.poll_explained(cx));
        let live = match &mut self.live {
            Ok(live) => live,
            Err(status) => return Poll::Ready(status.take().map(Err)),
        };
        let key = live.key;
        enum Next {
            Message(Bytes, Option<Metadata>),
            End(Result<Metadata, Status>),
            Pending,
        }
        let keep_headers = self.headers.is_none();
        let mut waker = Clones::one(cx.waker());
        let next = live.target.session.with(|state| {
            let taken = state.mux.take_message(key);
            match taken {
                Taken::Message(message) => {
                    if state.mux.wants_transmit() {
                        state.wake_driver();
                    }
                    let headers = keep_headers.then(|| state.mux.take_headers(key));
                    Next::Message(message, headers)
                }
                Taken::End | Taken::Pending => match (state.mux.result(key), &state.closed) {
                    (Some(result), _) => Next::End(result.clone()),
                    (None, Some(status)) => Next::End(Err(status.clone())),
                    (None, None) => {
                        state.wait(key, Wait::Read, &mut waker);
                        Next::Pending
                    }
                },
            }
        });
        match next {
            Next::Message(message, headers) => {
                self.headers = self.headers.take().or(headers);
                Poll::Ready(Some(Ok(message)))
            }
            Next::End(Ok(trailers)) => {
                if self.headers.is_none() {
                    let session = &live.target.session;
                    self.headers = Some(session.with(|state| state.mux.take_headers(key)));
                }
                self.trailers = Some(trailers);
                self.over();
                Poll::Ready(None)
            }
            Next::End(Err(status)) => {
                self.over();
                Poll::Ready(Some(Err(status)))
            }
            Next::Pending if self.deadline.poll_over(cx).is_ready() => {
                self.over();
                Poll::Ready(Some(Err(too_late())))
            }
            Next::Pending => Poll::Pending,
        }
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.trailers.as_ref()
    }
}
