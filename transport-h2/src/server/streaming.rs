//! Calls with streams of messages.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::StatusCode;
use outboard_core::rpc::guard::{Guarded, Whose};
use outboard_core::rpc::{Call, CallContext, Metadata, Route, Status, StreamReply};
use outboard_core::rt::BoxFuture;

use super::Server;
use super::respond::{begin, finish, refuse};
use crate::call::{Deadline, Failure, Incoming, Receiver, deadline_exceeded};
use crate::outgoing::{Outgoing, Sent, Side};
use crate::panic::guard;

/// A streaming call, run in a task of its own.
pub(super) struct StreamingCall {
    respond: SendResponse<Bytes>,
    deadline: Deadline,
    path: &'static str,
    stage: Stage,
    /// The last to be dropped: its drop says that the handler is gone.
    server: Arc<Server>,
}

/// `Starting` -> `Opening` -> `Sending` -> `Done`.
enum Stage {
    /// The handler makes its stream.
    Starting(Guarded<BoxFuture<'static, Result<StreamReply, Status>>>),
    /// The stream is there, no headers are sent.
    Opening(Metadata, Sending),
    /// Headers are sent.
    Sending(SendStream<Bytes>, Sending),
    /// The call is over on this side.
    Done,
}

struct Sending {
    outgoing: Outgoing,
    trailers: Option<Box<dyn FnOnce() -> Metadata + Send>>,
}

impl StreamingCall {
    pub(super) fn start(
        server: Arc<Server>,
        route: &Route,
        context: CallContext,
        receiver: Receiver,
        mut respond: SendResponse<Bytes>,
        deadline: Deadline,
    ) {
        let path = route.descriptor.path;
        let requests = Box::new(Requests {
            metadata: context.metadata.clone(),
            receiver: Some(receiver),
        });
        let made = guard(Whose::Handler(path), || {
            route.service.streaming(route.method, context, requests)
        });
        let handler = match made {
            Ok(handler) => handler,
            Err(panicked) => return refuse(&mut respond, StatusCode::OK, &panicked),
        };
        let runtime = Arc::clone(&server.runtime);
        runtime.spawn(Box::pin(Self {
            server,
            respond,
            deadline,
            path,
            stage: Stage::Starting(Guarded::new(handler)),
        }));
    }

    /// Ready when the call is over.
    fn poll_stage(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Starting(mut handler) => {
                    match guard(Whose::Handler(self.path), || handler.as_mut().poll(cx)) {
                        Ok(Poll::Pending) => {
                            self.stage = Stage::Starting(handler);
                            return Poll::Pending;
                        }
                        Ok(Poll::Ready(Ok(reply))) => self.opening(reply),
                        Ok(Poll::Ready(Err(status))) | Err(status) => {
                            refuse(&mut self.respond, StatusCode::OK, &status);
                            Stage::Done
                        }
                    }
                }
                Stage::Opening(headers, sending) => self.open(headers, sending, cx),
                Stage::Sending(mut stream, mut sending) => {
                    match sending.outgoing.poll_send(cx, &mut stream, false) {
                        Poll::Pending => {
                            self.stage = Stage::Sending(stream, sending);
                            return Poll::Pending;
                        }
                        Poll::Ready(Sent::All) => {
                            let trailers = self.trailers(sending);
                            finish(&mut stream, trailers);
                            Stage::Done
                        }
                        Poll::Ready(Sent::Failed(status)) => {
                            finish(&mut stream, Err(status));
                            Stage::Done
                        }
                        Poll::Ready(Sent::Gone) => Stage::Done,
                    }
                }
                Stage::Done => return Poll::Ready(()),
            };
        }
    }

    fn opening(&self, reply: StreamReply) -> Stage {
        let sending = Sending {
            outgoing: Outgoing::new(
                Side::Handler,
                Cow::Borrowed(self.path),
                reply.messages,
                self.server.limit,
            ),
            trailers: reply.trailers,
        };
        Stage::Opening(reply.headers, sending)
    }

    /// Sends the headers: with the first message if it is there, else now, as some callers wait
    /// for them before they send their first message.
    fn open(&mut self, headers: Metadata, mut sending: Sending, cx: &mut Context<'_>) -> Stage {
        if sending.outgoing.poll_pull(cx).is_ready()
            && headers.is_empty()
            && let Some(status) = sending.outgoing.take_failure()
        {
            refuse(&mut self.respond, StatusCode::OK, &status);
            return Stage::Done;
        }
        match begin(&mut self.respond, &headers) {
            Some(stream) => Stage::Sending(stream, sending),
            None => Stage::Done,
        }
    }

    fn trailers(&self, sending: Sending) -> Result<Metadata, Status> {
        sending.trailers.map_or_else(
            || Ok(Metadata::new()),
            |trailers| guard(Whose::Handler(self.path), trailers),
        )
    }
}

impl Future for StreamingCall {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.poll_stage(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Stage::Starting(_) = this.stage {
            // Later on, sending notices by itself.
            if this.respond.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        ready!(this.deadline.poll(&this.server.runtime, cx));
        match std::mem::replace(&mut this.stage, Stage::Done) {
            Stage::Sending(mut stream, sending) => {
                drop(sending);
                finish(&mut stream, Err(deadline_exceeded()));
            }
            Stage::Starting(_) | Stage::Opening(..) => {
                refuse(&mut this.respond, StatusCode::OK, &deadline_exceeded());
            }
            Stage::Done => {}
        }
        Poll::Ready(())
    }
}

/// The request messages, as the handler reads them.
struct Requests {
    metadata: Metadata,
    receiver: Option<Receiver>,
}

impl Call for Requests {
    fn poll_headers(&mut self, _cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        Poll::Ready(Ok(&self.metadata))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let Some(receiver) = &mut self.receiver else {
            return Poll::Ready(None);
        };
        let ended = match ready!(receiver.poll_next(cx)) {
            Incoming::Message(message) => return Poll::Ready(Some(Ok(message))),
            Incoming::End(_) => receiver.finish().err(),
            Incoming::Failed(Failure::Call(status) | Failure::Untaken(status)) => Some(status),
            Incoming::Failed(Failure::Connection) => {
                Some(Status::cancelled("the connection to the caller was lost"))
            }
        };
        self.receiver = None;
        Poll::Ready(ended.map(Err))
    }

    fn trailers(&self) -> Option<&Metadata> {
        None
    }
}
