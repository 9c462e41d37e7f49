//! Unary calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use http::StatusCode;
use outboard_core::rpc::guard::{Guarded, Whose};
use outboard_core::rpc::{
    CallContext, OutMessage, Pace, Reply, Route, Service, Status, no_request, second_request,
};
use outboard_core::rt::BoxFuture;

use super::Server;
use super::respond::{refuse, reply};
use crate::call::{Deadline, Failure, Incoming, Receiver, deadline_exceeded};
use crate::panic::guard;

/// A unary call from its first byte to its answer.
pub(super) struct UnaryCall {
    respond: SendResponse<Bytes>,
    deadline: Deadline,
    path: &'static str,
    stage: Stage,
    /// Learns of the first poll of the handler, if that is in the task.
    pace: Option<Arc<Pace>>,
    /// The last to be dropped: its drop says that the handler is gone.
    server: Arc<Server>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a box would cost each call an allocation; most never leave the stack"
)]
enum Stage {
    /// The request is coming in.
    Reading(Reading),
    /// The handler is at work.
    Running(Guarded<BoxFuture<'static, Result<Reply<OutMessage>, Status>>>),
    /// Answered.
    Done,
}

struct Reading {
    receiver: Receiver,
    message: Option<Bytes>,
    service: Arc<dyn Service>,
    method: usize,
    context: CallContext,
}

/// What reading came to, when the call does not go on.
enum Stop {
    /// The caller is to be told.
    Refuse(Status),
    /// There is no caller any more.
    Gone,
}

impl UnaryCall {
    pub(super) fn new(
        server: Arc<Server>,
        route: &Route,
        context: CallContext,
        receiver: Receiver,
        respond: SendResponse<Bytes>,
        deadline: Deadline,
    ) -> Self {
        Self {
            server,
            respond,
            deadline,
            path: route.descriptor.path,
            stage: Stage::Reading(Reading {
                receiver,
                message: None,
                service: Arc::clone(&route.service),
                method: route.method,
                context,
            }),
            pace: None,
        }
    }

    /// Whether the handler has not begun, because not all of the request is there.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.stage, Stage::Reading(_))
    }

    /// Goes on in a task of its own, where the handler's first poll may be news.
    pub(super) fn spawn(mut self, pace: Option<&Arc<Pace>>) {
        self.pace = pace.cloned();
        let runtime = Arc::clone(&self.server.runtime);
        if self.pace.is_some() {
            runtime.spawn_apart(Box::pin(self));
        } else {
            runtime.spawn(Box::pin(self));
        }
    }

    /// Goes as far as possible without looking at the deadline or for a cancellation.
    pub(super) fn poll_stage(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::Reading(reading) => match ready!(poll_request(reading, cx)) {
                    Ok(message) => {
                        let stage = std::mem::replace(&mut self.stage, Stage::Done);
                        if let Stage::Reading(reading) = stage {
                            self.stage = self.call(reading, message);
                        }
                    }
                    Err(Stop::Refuse(status)) => {
                        self.stage = Stage::Done;
                        refuse(&mut self.respond, StatusCode::OK, &status);
                    }
                    Err(Stop::Gone) => self.stage = Stage::Done,
                },
                Stage::Running(handler) => {
                    let polled = guard(Whose::Handler(self.path), || handler.as_mut().poll(cx));
                    let answer = match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(answer)) => answer,
                        Err(panicked) => Err(panicked),
                    };
                    self.stage = Stage::Done;
                    reply(&mut self.respond, answer, self.server.limit);
                }
                Stage::Done => return Poll::Ready(()),
            }
        }
    }

    fn call(&mut self, reading: Reading, message: Bytes) -> Stage {
        let Reading {
            service,
            method,
            context,
            ..
        } = reading;
        match guard(Whose::Handler(self.path), || {
            service.unary(method, context, message)
        }) {
            Ok(handler) => Stage::Running(Guarded::new(handler)),
            Err(panicked) => {
                refuse(&mut self.respond, StatusCode::OK, &panicked);
                Stage::Done
            }
        }
    }
}

impl Future for UnaryCall {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let runtime = &this.server.runtime;
        let started = this.pace.is_some().then(|| runtime.stopwatch());
        let polled = this.poll_stage(cx);
        if let Some(started) = started
            && !this.is_reading()
            && let Some(pace) = this.pace.take()
        {
            let now = this.server.runtime.stopwatch();
            pace.took(now.saturating_duration_since(started));
        }
        if polled.is_ready() {
            return Poll::Ready(());
        }
        // The caller cancelled, or the connection is gone: dropping this drops the handler.
        if this.respond.poll_reset(cx).is_ready() {
            return Poll::Ready(());
        }
        ready!(this.deadline.poll(&this.server.runtime, cx));
        this.stage = Stage::Done;
        refuse(&mut this.respond, StatusCode::OK, &deadline_exceeded());
        Poll::Ready(())
    }
}

/// The one message of the request.
fn poll_request(reading: &mut Reading, cx: &mut Context<'_>) -> Poll<Result<Bytes, Stop>> {
    let stop = |status| Poll::Ready(Err(Stop::Refuse(status)));
    loop {
        // Saves asking for the end when END_STREAM came with the message.
        let next = if reading.message.is_some() && reading.receiver.is_at_end() {
            Incoming::End(None)
        } else {
            ready!(reading.receiver.poll_next(cx))
        };
        match next {
            Incoming::Message(message) => {
                if reading.message.replace(message).is_some() {
                    return stop(second_request());
                }
            }
            Incoming::End(_) => {
                if let Err(status) = reading.receiver.finish() {
                    return stop(status);
                }
                let message = reading.message.take();
                return Poll::Ready(message.ok_or_else(|| Stop::Refuse(no_request())));
            }
            Incoming::Failed(Failure::Call(status) | Failure::Untaken(status)) => {
                return stop(status);
            }
            Incoming::Failed(Failure::Connection) => return Poll::Ready(Err(Stop::Gone)),
        }
    }
}
