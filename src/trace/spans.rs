//! The spans of calls and handlers. Nothing is made, and nothing allocated, where no propagator is set.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use outboard_core::rpc::{
    Call, CallContext, CallHead, Code, MessageStream, Metadata, OutMessage, Status, StreamReply,
    is_common,
};
use outboard_core::rt::{BoxFuture, SpanLeft};
use outboard_core::trace::{TRACEPARENT, TraceContext};
use tracing::Span;
use tracing::field::Empty;

use super::propagator::{self, Propagator, TARGET};
use crate::codegen::{StreamAnswer, UnaryAnswer};
use crate::context;

/// A span of `tracing`, with the fields that the module's documentation names.
macro_rules! span {
    ($kind:literal, $path:expr, $($parent:tt)*) => {
        tracing::info_span!(
            target: TARGET,
            $($parent)*
            "rpc",
            otel.name = $path,
            otel.kind = $kind,
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = $path,
            rpc.response.status_code = Empty,
            "error.type" = Empty,
            trace_id = Empty,
            span_id = Empty,
            parent_id = Empty,
        )
    };
}

/// A call that is made.
pub(crate) struct Calling(Option<Box<Open>>);

/// A call that is answered.
pub(crate) struct Serving(Option<Box<Open>>);

/// A span that has not ended.
struct Open {
    span: Span,
    /// Which statuses are errors of it.
    is_error: fn(Code) -> bool,
    told: Cell<bool>,
}

/// Has a call that is made now say which trace it belongs to.
#[inline]
pub(crate) fn calling(head: &mut CallHead) -> Calling {
    match propagator::get() {
        Some(propagator) if !is_own(&head.path) => Calling(Some(begin_calling(propagator, head))),
        _ => {
            context::pass_trace_on(head);
            Calling(None)
        }
    }
}

/// Begins with the answer to a call.
#[inline]
pub(crate) fn serving(context: &mut CallContext) -> Serving {
    match propagator::get() {
        Some(propagator) if !is_own(context.path) => {
            Serving(Some(begin_serving(propagator, context)))
        }
        _ => Serving(None),
    }
}

/// Whether what is called is part of what all plugins have.
fn is_own(path: &str) -> bool {
    is_common(path.trim_start_matches('/'))
}

fn begin_calling(propagator: &dyn Propagator, head: &mut CallHead) -> Box<Open> {
    let path = head.path.trim_start_matches('/');
    let span = span!("client", path,);
    if head.metadata.get(TRACEPARENT).is_none() {
        let around = context::trace_here();
        let said = if span.is_disabled() {
            propagator.outgoing(&Span::current(), around.as_ref())
        } else {
            propagator.outgoing(&span, around.as_ref())
        };
        match said {
            Some(said) => said.put_into(&mut head.metadata),
            None => context::pass_trace_on(head),
        }
    }
    Open::boxed(span, |code| code != Code::Ok)
}

fn begin_serving(propagator: &dyn Propagator, context: &mut CallContext) -> Box<Open> {
    let path = context.path.trim_start_matches('/');
    // Whatever is current where the handler is begun has nothing to do with it.
    let span = span!("server", path, parent: None,);
    let caller = TraceContext::of(&context.metadata);
    let own = propagator.incoming(&span, caller.as_ref());
    context.trace = own.map(Arc::new);
    Open::boxed(span, is_fault_of_server)
}

/// Which statuses are the server's fault. Source: OpenTelemetry's conventions for gRPC.
fn is_fault_of_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

impl Calling {
    /// The call has ended, with this if not well.
    #[inline]
    pub(crate) fn ended(&mut self, failure: Option<&Status>) {
        if let Some(open) = &self.0 {
            open.ended(failure);
        }
    }

    /// Ends with what this call's answer says.
    pub(crate) fn streaming(self, call: Box<dyn Call>) -> Box<dyn Call> {
        match self.0 {
            Some(open) => Box::new(CallingStream { call, open }),
            None => call,
        }
    }
}

impl Serving {
    /// The handler's future in its span.
    #[inline]
    pub(crate) fn unary(self, answer: UnaryAnswer) -> UnaryAnswer {
        match self.0 {
            Some(open) => Box::pin(Handling::<_> {
                answer: Some(answer),
                open: Some(open),
                ended: |open, answered| {
                    open.ended(answered.as_ref().err());
                    answered
                },
            }),
            None => answer,
        }
    }

    /// The handler's future in its span, and the stream that it gives.
    pub(crate) fn streaming(self, answer: StreamAnswer) -> StreamAnswer {
        match self.0 {
            Some(open) => Box::pin(Handling::<StreamReply> {
                answer: Some(answer),
                open: Some(open),
                ended: |open, answered| match answered {
                    Ok(mut reply) => {
                        let messages = Some(reply.messages);
                        reply.messages = Box::pin(HandlingStream { messages, open });
                        Ok(reply)
                    }
                    Err(status) => {
                        open.ended(Some(&status));
                        Err(status)
                    }
                },
            }),
            None => answer,
        }
    }
}

impl Open {
    fn boxed(span: Span, is_error: fn(Code) -> bool) -> Box<Self> {
        Box::new(Self {
            span,
            is_error,
            told: Cell::new(false),
        })
    }

    fn ended(&self, failure: Option<&Status>) {
        self.tell(failure.map_or(Code::Ok, Status::code));
    }

    fn tell(&self, code: Code) {
        if self.told.replace(true) {
            return;
        }
        self.span.record("rpc.response.status_code", code.name());
        if (self.is_error)(code) {
            self.span.record("error.type", code.name());
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// Nobody waits for it any more.
impl Drop for Open {
    fn drop(&mut self) {
        self.tell(Code::Cancelled);
    }
}

/// Tells of a handler that panics while this is held: whoever catches it answers for it.
struct Panics<'a>(&'a Open);

impl Drop for Panics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.tell(Code::Internal);
        }
    }
}

/// What comes of a handler's future.
type Outcome<T> = Result<T, Status>;

/// A handler's future, which is polled and dropped in its span.
struct Handling<T> {
    answer: Option<BoxFuture<'static, Outcome<T>>>,
    open: Option<Box<Open>>,
    ended: fn(Box<Open>, Outcome<T>) -> Outcome<T>,
}

impl<T> Future for Handling<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (Some(answer), Some(open)) = (&mut this.answer, &this.open) else {
            return Poll::Pending;
        };
        let entered = (Panics(open), open.span.enter(), SpanLeft::enter());
        let polled = answer.as_mut().poll(cx);
        if polled.is_ready() {
            this.answer = None;
        }
        drop(entered);
        polled.map(|answered| match this.open.take() {
            Some(open) => (this.ended)(open, answered),
            None => answered,
        })
    }
}

impl<T> Drop for Handling<T> {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            let _entered = (open.span.enter(), SpanLeft::enter());
            self.answer = None;
        }
    }
}

/// The stream of a handler, which is polled and dropped in its span.
struct HandlingStream {
    messages: Option<MessageStream>,
    open: Box<Open>,
}

impl Stream for HandlingStream {
    type Item = Result<OutMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(messages) = &mut this.messages else {
            return Poll::Ready(None);
        };
        let polled = {
            let open = &this.open;
            let _entered = (Panics(open), open.span.enter(), SpanLeft::enter());
            messages.as_mut().poll_next(cx)
        };
        match &polled {
            Poll::Ready(Some(Err(status))) => this.open.ended(Some(status)),
            Poll::Ready(None) => this.open.ended(None),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for HandlingStream {
    fn drop(&mut self) {
        let _entered = (self.open.span.enter(), SpanLeft::enter());
        self.messages = None;
    }
}

/// A call with streams, as its caller has it.
struct CallingStream {
    call: Box<dyn Call>,
    open: Box<Open>,
}

impl Call for CallingStream {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        let headers = self.call.poll_headers(cx);
        if let Poll::Ready(Err(status)) = &headers {
            // Who asks for these may not ask for anything else.
            self.open.ended(Some(status));
        }
        headers
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let polled = self.call.poll_message(cx);
        match &polled {
            Poll::Ready(Some(Err(status))) => self.open.ended(Some(status)),
            Poll::Ready(None) => self.open.ended(None),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.call.trailers()
    }
}
