//! Calls of this side.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use outboard_core::rpc::calling::{self, Answer, Begin, CallingStream, StreamingCall};
use outboard_core::rpc::guard::Deadline;
use outboard_core::rpc::{
    Call, CallFailure, CallHead, MessageStream, Metadata, OutMessage, Pump, Reply, Single, Status,
    Untaken,
};
use outboard_core::rt::SharedRuntime;

use crate::pump::{RequestOutlet, RequestTask};
use crate::session::Wait;
use crate::wakers::Clones;
use crate::wire::{Key, Taken};
use crate::{Session, State};

/// Where calls go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) session: Arc<Session>,
    pub(crate) connection: u64,
    pub(crate) channel: u32,
}

impl Target {
    /// What calls fail with that come now, if none is taken any more.
    pub(crate) fn not_taken(&self) -> Option<Status> {
        self.session.with(|state| state.not_taken(self.connection))
    }
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
pub(crate) type Unary = calling::Unary<Start>;

/// What a unary call begins with.
pub(crate) struct Start {
    target: Target,
    parts: Option<Box<(CallHead, OutMessage)>>,
}

pub(crate) fn unary(target: Target, head: CallHead, message: OutMessage) -> Unary {
    let deadline = Deadline::of(target.session.runtime.as_ref(), &head);
    let parts = Some(Box::new((head, message)));
    Unary::new(Start { target, parts }, deadline)
}

impl Begin for Start {
    type Stream = Answers;

    fn runtime(&self) -> &SharedRuntime {
        &self.target.session.runtime
    }

    fn poll_begin(
        &mut self,
        left: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answers, Status>> {
        let session = &self.target.session;
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
        let Some(parts) = self.parts.take() else {
            return Poll::Pending;
        };
        let (head, message) = *parts;
        let (connection, channel) = (self.target.connection, self.target.channel);
        // One to wait for the answer, one to be woken by the stream of bytes.
        let mut waker = Clones::two(cx.waker());
        let opened = session.with(|state| {
            let key = state.open(connection, channel, &head, left, Some(message), true)?;
            state.count_unary(true);
            state.wait_for_reply(key, &mut waker);
            state.kick();
            Ok(key)
        });
        Poll::Ready(opened.map(|key| {
            let live = Live {
                target: self.target.clone(),
                key,
                unary: true,
            };
            Answers::new(live, true)
        }))
    }
}

/// The same, and the call is given back if the connection is found lost or draining before anything of it
/// was put there.
pub(crate) struct TryUnary {
    target: Target,
    /// Until it begins.
    parts: Option<Box<(CallHead, OutMessage)>>,
    call: Option<Unary>,
}

pub(crate) fn try_unary(target: Target, mut head: CallHead, message: OutMessage) -> TryUnary {
    if head.timeout.is_some() {
        head.deadline = head.deadline_from(target.session.runtime.now());
        head.timeout = None;
    }
    TryUnary {
        target,
        parts: Some(Box::new((head, message))),
        call: None,
    }
}

impl Future for TryUnary {
    type Output = Result<Reply<Bytes>, CallFailure<OutMessage>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(parts) = this.parts.take() {
            let (head, message) = *parts;
            if let Some(status) = this.target.not_taken() {
                let untaken = Untaken::new(status, head, message);
                return Poll::Ready(Err(CallFailure::Untaken(Box::new(untaken))));
            }
            this.call = Some(unary(this.target.clone(), head, message));
        }
        match &mut this.call {
            Some(call) => {
                let replied = ready!(Pin::new(call).poll(cx));
                Poll::Ready(replied.map_err(CallFailure::Ended))
            }
            // Polled after it was given back, which the contract of futures leaves open.
            None => Poll::Pending,
        }
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
    let message = state.take_single(key, Single::response());
    Some(message.map(|message| {
        let mut reply = Reply::new(message);
        (reply.headers, reply.trailers) = (state.mux.take_headers(key), trailers);
        reply
    }))
}

/// Starts a streaming call.
pub(crate) fn open(target: Target, head: &CallHead, messages: MessageStream) -> Box<dyn Call> {
    let session = Arc::clone(&target.session);
    let deadline = Deadline::of(session.runtime.as_ref(), head);
    match try_open(target, head, messages, &deadline) {
        Ok(Some(answers)) => Box::new(StreamingCall::new(answers, deadline)),
        Ok(None) => Box::new(StreamingCall::new(Explained(session), deadline)),
        Err(status) => Box::new(StreamingCall::<Answers>::failed(status)),
    }
}

/// `None` if the connection is lost, and why is being found out.
fn try_open(
    target: Target,
    head: &CallHead,
    messages: MessageStream,
    deadline: &Deadline,
) -> Result<Option<Answers>, Status> {
    let session = Arc::clone(&target.session);
    let left = deadline.left(session.runtime.as_ref())?;
    // A message that is there already goes with the first frame; so does the end, and then
    // nobody has to wait for more messages.
    let mut cx = Context::from_waker(Waker::noop());
    let mut pump = Pump::requests(head.path.clone(), messages);
    let mut first = None;
    if pump.poll_pull::<RequestOutlet>(&mut cx).is_ready() {
        first = pump.take_message();
    }
    if first.is_some() {
        // What this finds is the pump's to send.
        let _ = pump.poll_pull::<RequestOutlet>(&mut cx);
    }
    if let Some(status) = pump.take_failure() {
        return Err(status);
    }
    let end = pump.is_at_end();
    let opened: Result<_, Status> = session.with(|state| {
        if state.is_being_explained() {
            return Ok(None);
        }
        let (connection, channel) = (target.connection, target.channel);
        let key = state.open(connection, channel, head, left, first, end)?;
        // What is sent is sent by others: this function must not wait, nor fail.
        state.wake_driver();
        Ok(Some(key))
    });
    let Some(key) = opened? else {
        return Ok(None);
    };
    if !end {
        let sending = RequestTask::new(&session, key, pump);
        session.runtime.spawn(Box::pin(sending));
    }
    let unary = false;
    Ok(Some(Answers::new(Live { target, key, unary }, false)))
}

/// What is answered to a call.
pub(crate) struct Answers {
    live: Live,
    /// Headers that have come with a message, until they are taken.
    headers: Option<Metadata>,
    /// Whoever waits has been remembered, and nothing can have come since.
    waits: bool,
}

impl Answers {
    fn new(live: Live, waits: bool) -> Self {
        Self {
            live,
            headers: None,
            waits,
        }
    }
}

impl CallingStream for Answers {
    fn runtime(&self) -> &SharedRuntime {
        &self.live.target.session.runtime
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.headers.is_some() {
            return Poll::Ready(Ok(()));
        }
        let key = self.live.key;
        let mut waker = Clones::one(cx.waker());
        self.live.target.session.with(|state| {
            if state.mux.headers_of(key).is_some() {
                return Poll::Ready(Ok(()));
            }
            match (state.mux.result(key), &state.closed) {
                (Some(Ok(_)), _) => Poll::Ready(Ok(())),
                (Some(Err(status)), _) | (None, Some(status)) => Poll::Ready(Err(status.clone())),
                (None, None) => {
                    state.wait(key, Wait::Read, &mut waker);
                    Poll::Pending
                }
            }
        })
    }

    fn take_headers(&mut self) -> Metadata {
        let key = self.live.key;
        self.headers.take().unwrap_or_else(|| {
            let session = &self.live.target.session;
            session.with(|state| state.mux.take_headers(key))
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let key = self.live.key;
        let mut waker = Clones::one(cx.waker());
        let keeps = self.headers.is_none();
        let mut headers = None;
        let next = self.live.target.session.with(|state| {
            if let Taken::Message(message) = state.mux.take_message(key) {
                if state.mux.wants_transmit() {
                    state.wake_driver();
                }
                if keeps {
                    headers = Some(state.mux.take_headers(key));
                }
                return Poll::Ready(Answer::Message(message));
            }
            match (state.mux.result(key), &state.closed) {
                (Some(ended), _) => Poll::Ready(Answer::End(ended.clone())),
                (None, Some(status)) => Poll::Ready(Answer::End(Err(status.clone()))),
                (None, None) => {
                    state.wait(key, Wait::Read, &mut waker);
                    Poll::Pending
                }
            }
        });
        self.headers = self.headers.take().or(headers);
        next
    }

    fn poll_reply(
        &mut self,
        _single: &mut Single,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Reply<Bytes>, Status>> {
        if std::mem::take(&mut self.waits) {
            return Poll::Pending;
        }
        let (session, key) = (&self.live.target.session, self.live.key);
        let mut reply = session.with(|state| take_reply(state, key));
        // Mostly it is there, since the call was woken for it: no need of wakers.
        if reply.is_none() {
            let mut waker = Clones::two(cx.waker());
            reply = session.with(|state| state.poll_reply(key, &mut waker, take_reply));
        }
        reply.map_or(Poll::Pending, Poll::Ready)
    }
}

/// A call that came when the connection was lost and why was being found out.
struct Explained(Arc<Session>);

impl Explained {
    fn poll_closed(&self, cx: &Context<'_>) -> Poll<Status> {
        let mut waker = Clones::one(cx.waker());
        self.0.with(|state| {
            if state.poll_closed(&mut waker).is_pending() {
                return Poll::Pending;
            }
            let gone = || Status::connection_lost("the connection is closed");
            Poll::Ready(state.closed.clone().unwrap_or_else(gone))
        })
    }
}

impl CallingStream for Explained {
    fn runtime(&self) -> &SharedRuntime {
        &self.0.runtime
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.poll_closed(cx).map(Err)
    }

    fn take_headers(&mut self) -> Metadata {
        Metadata::new()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        self.poll_closed(cx).map(|status| Answer::End(Err(status)))
    }
}
