//! The life of a call on the side that answers it, the same for each transport.
//!
//! A transport finds the [`Route`] of a call and [starts](start) it. What it offers for that is a [`ServingStream`] to answer on and a [`Requests`] to read from; it keeps its
//! wire, and how that says what. Here is what must not differ: when a handler begins, where it is
//! polled first, its panics, the deadline, the rule of one message, headers before messages, and what
//! the caller is told when a handler does not get to its answer.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::guard::{Deadline, Guarded, Whose, deadline_exceeded};
use super::pump::guard;
use super::{
    Call, CallContext, Metadata, MethodKind, OutMessage, Outlet, Pace, Pump, Pumped, Reply, Route,
    Service, Single, Status, StreamReply,
};
use crate::rt::{BoxFuture, Runtime};
use crate::turn::Turn;

/// What comes next of a call's requests.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Bytes),
    /// No more messages.
    End,
    /// They cannot be read on, and the caller is to be told so.
    Cut(Status),
    /// There is no caller any more. Whoever reads is told this.
    Gone(Status),
}

/// The requests of a call, as a transport offers them.
pub trait Requests: Send + Unpin + 'static {
    /// What comes next. Nobody asks again after the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming>;

    /// Whether [`Incoming::End`] is what comes next, known without asking for it.
    fn is_at_end(&self) -> bool {
        false
    }
}

/// The answering end of a call, as a transport offers it. One of `reply`, `finish`, `fail` and `abort`
/// is called once, and then nothing more, if the caller is not gone before. None of them fails: where
/// there is nobody left to tell, nothing is told.
pub trait ServingStream: Outlet + Send + Unpin + 'static {
    /// Where the requests come from.
    type Requests: Requests;

    /// Ready when nobody waits for an answer any more; otherwise the task is woken when that
    /// happens.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sends the headers, once, before messages.
    ///
    /// # Errors
    /// What the call fails with if they cannot be sent.
    fn headers(&mut self, headers: &Metadata) -> Result<(), Status>;

    /// Answers a unary call.
    fn reply(&mut self, reply: Reply<OutMessage>);

    /// Ends the call well, after what was sent.
    fn finish(&mut self, trailers: Metadata);

    /// Ends the call with an error, after what was sent.
    fn fail(&mut self, status: &Status);

    /// Ends the call with an error; what was sent and waits may be dropped.
    fn abort(&mut self, status: &Status);

    /// The call goes on in a task of its own, and not in that of the connection, which writes for all
    /// of its calls.
    fn leaves_connection(&mut self) {}
}

/// A call, from its request to its answer. As a future it is what runs in a task of its own.
///
/// ```text
///            one request            reply
/// Waiting ------------------> Unary ----------------------------+
///    |                                                          v
///    | one request, or many   stream          headers         Over
///    +----------------> Starting -----> Opening -----> Sending --^
///
/// from anywhere: gone -> Over, deadline -> Over (DEADLINE_EXCEEDED),
///                panic -> Over (INTERNAL), dropped -> Over (UNAVAILABLE)
/// ```
///
/// The handler does not begin before all of a single request is there, nor after the deadline. It is
/// not polled again once the caller is gone. An answer that is there when the deadline passes is sent.
struct ServingCall<S: ServingStream> {
    deadline: Deadline,
    path: &'static str,
    stage: Stage<S::Requests>,
    /// Learns of the handler's first poll, if that is still to come.
    pace: Option<Arc<Pace>>,
    /// The last to be dropped: with it goes what says that a handler runs.
    stream: S,
}

enum Stage<R> {
    Waiting(Request<R>),
    Unary(Guarded<BoxFuture<'static, Result<Reply<OutMessage>, Status>>>),
    Starting(
        Guarded<BoxFuture<'static, Result<StreamReply, Status>>>,
        bool,
    ),
    Opening(Metadata, Sending),
    Sending(Sending),
    Over,
}

struct Request<R> {
    requests: R,
    single: Single,
    /// The end behind the one message is there, too.
    whole: bool,
    target: Target,
    context: CallContext,
}

/// The method that is called.
struct Target {
    service: Arc<dyn Service>,
    method: usize,
    kind: MethodKind,
}

struct Sending {
    pump: Pump,
    trailers: Option<Box<dyn FnOnce() -> Metadata + Send>>,
}

/// When a call must be done that comes now with this timeout.
///
/// # Errors
/// `DEADLINE_EXCEEDED` if nothing is left of it.
pub fn deadline(
    runtime: &dyn Runtime,
    timeout: Option<Duration>,
) -> Result<Option<Instant>, Status> {
    match timeout {
        None => Ok(None),
        Some(Duration::ZERO) => Err(deadline_exceeded()),
        // A timeout past the end of time is no limit.
        Some(timeout) => Ok(runtime.now().checked_add(timeout)),
    }
}

/// Starts a call of the method that `route` leads to, from the task of its connection; its deadline is
/// that of `context`. `message` is the one request of a method that takes one, if that is there and
/// nothing follows it.
///
/// If the handler is expected to be quick and `turn` has time left, it is polled here first, and most are
/// done with that. Otherwise it becomes a task.
pub fn start<S: ServingStream>(
    mut stream: S,
    requests: S::Requests,
    route: Route,
    context: CallContext,
    message: Option<Bytes>,
    turn: &mut Turn,
) {
    turn.spend(Turn::HANDLER);
    let pace = route.pace;
    let target = Target {
        service: route.service,
        method: route.method,
        kind: route.descriptor.kind,
    };
    let is_quick = pace.fits(turn);
    let deadline = Deadline::new(context.deadline);
    let path = route.descriptor.path;
    let stage = if is_quick && message.is_some() {
        // Not kept for later, but moved where it is used: this is what most calls are.
        begin::<S>(target, context, requests, message)
    } else {
        let mut single = Single::request();
        let whole = message.is_some_and(|message| single.push(message).is_ok());
        Ok(Stage::Waiting(Request {
            requests,
            single,
            whole,
            target,
            context,
        }))
    };
    let stage = match stage {
        Ok(stage) => stage,
        Err(panicked) => return stream.fail(&panicked),
    };
    let mut call = ServingCall {
        deadline,
        path,
        stage,
        pace: None,
        stream,
    };
    if !is_quick {
        call.pace = Some(pace);
        call.stream.leaves_connection();
        let runtime = Arc::clone(call.stream.runtime());
        return runtime.spawn_apart(Box::pin(call));
    }
    // If it has to wait, its task polls again and registers wakers then.
    let mut cx = Context::from_waker(Waker::noop());
    let polled = call.poll_stage(turn, &mut cx);
    let is_waiting = call.is_waiting();
    if !is_waiting {
        pace.polled(turn, call.stream.runtime().stopwatch());
    }
    if polled.is_pending() {
        call.pace = is_waiting.then_some(pace);
        call.stream.leaves_connection();
        let runtime = Arc::clone(call.stream.runtime());
        runtime.spawn(Box::pin(call));
    }
}

impl<S: ServingStream> ServingCall<S> {
    /// Whether the handler has not begun.
    fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }

    /// Goes as far as possible, without looking at the deadline or whether the caller is gone.
    fn poll_stage(&mut self, turn: &mut Turn, cx: &mut Context<'_>) -> Poll<()> {
        let whose = Whose::Handler(self.path);
        loop {
            match &mut self.stage {
                Stage::Waiting(request) => match ready!(request.poll_begin(cx)) {
                    Ok(message) => self.begin(message),
                    Err(Some(status)) => self.fail(&status),
                    Err(None) => self.stage = Stage::Over,
                },
                Stage::Unary(handler) => {
                    match guard::<S, _>(whose, || handler.as_mut().poll(cx)) {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(Ok(reply))) => {
                            // Answered before the handler is dropped: that may take its time.
                            self.stream.reply(reply);
                            self.stage = Stage::Over;
                        }
                        Ok(Poll::Ready(Err(status))) | Err(status) => self.fail(&status),
                    }
                }
                Stage::Starting(handler, single) => {
                    match guard::<S, _>(whose, || handler.as_mut().poll(cx)) {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(Ok(reply))) => {
                            let single = *single;
                            self.stage = opening(self.path, reply, single);
                        }
                        Ok(Poll::Ready(Err(status))) | Err(status) => self.fail(&status),
                    }
                }
                Stage::Opening(headers, sending) => {
                    // The headers go with the first message if it is there, else now, as some callers
                    // wait for them before they send their first message.
                    let pulled = sending.pump.poll_pull::<S>(cx);
                    let failure = match pulled {
                        Poll::Ready(()) if headers.is_empty() => sending.pump.take_failure(),
                        Poll::Ready(()) | Poll::Pending => None,
                    };
                    let opened = failure.map_or_else(|| self.stream.headers(headers), Err);
                    match (opened, std::mem::replace(&mut self.stage, Stage::Over)) {
                        (Ok(()), Stage::Opening(_, sending)) => {
                            self.stage = Stage::Sending(sending);
                        }
                        (Ok(()), _) => {}
                        (Err(status), _) => self.stream.fail(&status),
                    }
                }
                Stage::Sending(sending) => {
                    let pumped = ready!(sending.pump.poll(&mut self.stream, turn, cx));
                    let ended = match pumped {
                        Pumped::All => {
                            if ready!(self.stream.poll_taken(cx)).is_err() {
                                None
                            } else {
                                let trailers = sending.trailers.take();
                                Some(guard::<S, _>(whose, || {
                                    trailers.map_or_else(Metadata::new, |make| make())
                                }))
                            }
                        }
                        Pumped::Failed(status) => Some(Err(status)),
                        Pumped::Gone => None,
                    };
                    match ended {
                        Some(Ok(trailers)) => self.stream.finish(trailers),
                        Some(Err(status)) => self.stream.fail(&status),
                        None => {}
                    }
                    self.stage = Stage::Over;
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
    }

    fn begin(&mut self, message: Option<Bytes>) {
        let Stage::Waiting(request) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        match begin::<S>(request.target, request.context, request.requests, message) {
            Ok(stage) => self.stage = stage,
            Err(panicked) => self.stream.fail(&panicked),
        }
    }

    fn fail(&mut self, status: &Status) {
        self.stream.fail(status);
        self.stage = Stage::Over;
    }

    /// Ends the call before its handler is done, which is dropped first.
    fn abort(&mut self, status: &Status) {
        self.stage = Stage::Over;
        self.stream.abort(status);
    }
}

/// Has the handler begin.
#[inline]
fn begin<S: ServingStream>(
    target: Target,
    context: CallContext,
    requests: S::Requests,
    message: Option<Bytes>,
) -> Result<Stage<S::Requests>, Status> {
    let Target {
        service,
        method,
        kind,
    } = target;
    guard::<S, _>(Whose::Handler(context.path), || match message {
        Some(message) if kind == MethodKind::Unary => {
            Stage::Unary(Guarded::new(service.unary(method, context, message)))
        }
        message => {
            let metadata = context.metadata.clone();
            let requests = match message {
                Some(message) => Reading::One(message),
                None => Reading::Many(requests),
            };
            let call = Box::new(RequestCall { metadata, requests });
            let handler = service.streaming(method, context, call);
            let single = kind == MethodKind::ClientStreaming;
            Stage::Starting(Guarded::new(handler), single)
        }
    })
}

fn opening<R>(path: &'static str, reply: StreamReply, single: bool) -> Stage<R> {
    let StreamReply {
        messages,
        headers,
        trailers,
    } = reply;
    let pump = Pump::responses(Cow::Borrowed(path), messages).exactly_one(single);
    Stage::Opening(headers, Sending { pump, trailers })
}

impl<S: ServingStream> Future for ServingCall<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if matches!(this.stage, Stage::Over) {
            return Poll::Ready(());
        }
        if this.stream.poll_gone(cx).is_ready() {
            this.stage = Stage::Over;
            return Poll::Ready(());
        }
        if this.is_waiting() && this.deadline.has_passed(this.stream.runtime().as_ref()) {
            this.abort(&deadline_exceeded());
            return Poll::Ready(());
        }
        let started = this
            .pace
            .is_some()
            .then(|| this.stream.runtime().stopwatch());
        let polled = this.poll_stage(&mut Turn::new(), cx);
        if let Some(started) = started
            && !this.is_waiting()
            && let Some(pace) = this.pace.take()
        {
            let now = this.stream.runtime().stopwatch();
            pace.took(now.saturating_duration_since(started));
        }
        if polled.is_ready() {
            return Poll::Ready(());
        }
        let Self {
            deadline, stream, ..
        } = this;
        ready!(deadline.poll_over(stream.runtime().as_ref(), cx));
        this.abort(&deadline_exceeded());
        Poll::Ready(())
    }
}

/// A call whose task is dropped before its answer, by a runtime that shuts down, answers with an error.
impl<S: ServingStream> Drop for ServingCall<S> {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            self.abort(&Status::unavailable(
                "the handler was dropped before it had an answer",
            ));
        }
    }
}

impl<R: Requests> Request<R> {
    /// Ready when the handler can begin: with the one message of a method that takes one. An error ends
    /// the call, with a status if there is somebody to tell.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Option<Status>>> {
        if let MethodKind::ClientStreaming | MethodKind::Bidirectional = self.target.kind {
            return Poll::Ready(Ok(None));
        }
        loop {
            // Saves asking for the end where that came with the message.
            let next = if self.whole || (self.single.is_full() && self.requests.is_at_end()) {
                Incoming::End
            } else {
                ready!(self.requests.poll_next(cx))
            };
            match next {
                Incoming::Message(message) => {
                    if let Err(status) = self.single.push(message) {
                        return Poll::Ready(Err(Some(status)));
                    }
                }
                Incoming::End => return Poll::Ready(self.single.finish().map(Some).map_err(Some)),
                Incoming::Cut(status) => return Poll::Ready(Err(Some(status))),
                Incoming::Gone(_) => return Poll::Ready(Err(None)),
            }
        }
    }
}

/// The requests of a call, as its handler reads them.
struct RequestCall<R> {
    metadata: Metadata,
    requests: Reading<R>,
}

enum Reading<R> {
    One(Bytes),
    Many(R),
    Over,
}

impl<R: Requests> Call for RequestCall<R> {
    fn poll_headers(&mut self, _cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        Poll::Ready(Ok(&self.metadata))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let next = match &mut self.requests {
            Reading::Many(requests) => ready!(requests.poll_next(cx)),
            Reading::One(message) => Incoming::Message(std::mem::take(message)),
            Reading::Over => return Poll::Ready(None),
        };
        if !matches!(
            (&next, &self.requests),
            (Incoming::Message(_), Reading::Many(_))
        ) {
            self.requests = Reading::Over;
        }
        Poll::Ready(match next {
            Incoming::Message(message) => Some(Ok(message)),
            Incoming::End => None,
            Incoming::Cut(status) | Incoming::Gone(status) => Some(Err(status)),
        })
    }

    fn trailers(&self) -> Option<&Metadata> {
        None
    }
}
