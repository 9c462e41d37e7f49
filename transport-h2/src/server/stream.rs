//! What HTTP/2 offers to the engine of calls, on the serving side. Errors of `h2` mean that the caller
//! or the connection is gone: there is nobody left to tell.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::StatusCode;
use outboard_core::rpc::guard::{Panicked, Whose};
use outboard_core::rpc::serving::{self, Requests, ServingStream};
use outboard_core::rpc::{Gone, Metadata, OutMessage, Outlet, Reply, Status};
use outboard_core::rt::SharedRuntime;

use super::Server;
use crate::call::{Failure, Incoming, Receiver};
use crate::headers::{error_trailers, ok_trailers, response, trailers_only};
use crate::outgoing::{Outgoing, frame, send_all};
use crate::panic::tell_panic;

/// Ends a call with an error before anything else was sent.
pub(super) fn refuse(respond: &mut SendResponse<Bytes>, http: StatusCode, status: &Status) {
    let _ = respond.send_response(trailers_only(http, status), true);
}

/// The stream of a call, from its answering end.
pub(super) struct Stream {
    sending: Sending,
    /// The last to be dropped: its drop says that the handler is gone.
    server: Arc<Server>,
}

/// `Responding` -> `Messages`.
enum Sending {
    /// Nothing was sent.
    Responding(SendResponse<Bytes>),
    /// Headers were.
    Messages(SendStream<Bytes>, Outgoing),
}

impl Stream {
    pub(super) fn new(server: &Arc<Server>, respond: SendResponse<Bytes>) -> Self {
        Self {
            sending: Sending::Responding(respond),
            server: Arc::clone(server),
        }
    }
}

impl Outlet for Stream {
    fn runtime(&self) -> &SharedRuntime {
        &self.server.runtime
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match &mut self.sending {
            Sending::Messages(stream, outgoing) => outgoing.poll_sent(cx, stream, false),
            // The headers could not be sent.
            Sending::Responding(_) => Poll::Ready(Err(Gone)),
        }
    }

    fn send(&mut self, message: OutMessage) -> Result<(), Status> {
        match &mut self.sending {
            Sending::Messages(_, outgoing) => outgoing.push(message, self.server.limit),
            Sending::Responding(_) => Ok(()),
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        match &mut self.sending {
            Sending::Messages(stream, outgoing) => outgoing.poll_idle(cx, stream),
            Sending::Responding(_) => Poll::Ready(Gone),
        }
    }

    fn tell_panic(whose: Whose<'_>, panicked: &Panicked) {
        tell_panic(whose, panicked);
    }
}

impl ServingStream for Stream {
    type Requests = Receiver;

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sending {
            Sending::Responding(respond) => respond.poll_reset(cx).map(drop),
            Sending::Messages(stream, _) => stream.poll_reset(cx).map(drop),
        }
    }

    fn headers(&mut self, headers: &Metadata) -> Result<(), Status> {
        let head = response(headers)?;
        if let Sending::Responding(respond) = &mut self.sending
            && let Ok(stream) = respond.send_response(head, false)
        {
            self.sending = Sending::Messages(stream, Outgoing::default());
        }
        Ok(())
    }

    /// Headers, message and trailers, queued together.
    fn reply(&mut self, reply: Reply<OutMessage>) {
        let Sending::Responding(respond) = &mut self.sending else {
            return;
        };
        let prepared = frame(reply.message, self.server.limit).and_then(|message| {
            Ok((
                response(&reply.headers)?,
                message,
                ok_trailers(&reply.trailers)?,
            ))
        });
        let (head, message, trailers) = match prepared {
            Ok(prepared) => prepared,
            Err(status) => return refuse(respond, StatusCode::OK, &status),
        };
        if let Ok(mut stream) = respond.send_response(head, false)
            && send_all(&mut stream, message, false).is_ok()
        {
            let _ = stream.send_trailers(trailers);
        }
    }

    fn finish(&mut self, trailers: Metadata) {
        let Sending::Messages(stream, _) = &mut self.sending else {
            return;
        };
        let trailers = ok_trailers(&trailers).unwrap_or_else(|status| error_trailers(&status));
        let _ = stream.send_trailers(trailers);
    }

    fn fail(&mut self, status: &Status) {
        match &mut self.sending {
            Sending::Responding(respond) => refuse(respond, StatusCode::OK, status),
            Sending::Messages(stream, _) => {
                let _ = stream.send_trailers(error_trailers(status));
            }
        }
    }

    /// What `h2` has taken, it sends first; it is what has not been handed to it that is dropped.
    fn abort(&mut self, status: &Status) {
        self.fail(status);
    }
}

impl Requests for Receiver {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<serving::Incoming> {
        Poll::Ready(match ready!(self.poll_incoming(cx)) {
            Incoming::Message(message) => serving::Incoming::Message(message),
            Incoming::End(_) => match self.finish() {
                Ok(()) => serving::Incoming::End,
                Err(status) => serving::Incoming::Cut(status),
            },
            Incoming::Failed(Failure::Call(status) | Failure::Untaken(status)) => {
                serving::Incoming::Cut(status)
            }
            Incoming::Failed(Failure::Connection) => {
                serving::Incoming::Gone(Status::cancelled("the connection to the caller was lost"))
            }
        })
    }

    fn is_at_end(&self) -> bool {
        self.ended_unread()
    }
}
