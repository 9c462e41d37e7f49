//! The answer of a call, as it arrives.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use outboard_core::rpc::calling::{Answer, CallingStream};
use outboard_core::rpc::{CallHead, Metadata, Status};
use outboard_core::rt::SharedRuntime;

use super::sending::Half;
use super::{Closing, Shared, closing_status};
use crate::call::{Failure, Incoming, Receiver};
use crate::headers::{bad_binary, check_response, check_size, compressed, metadata, outcome};

/// Reads a response to its end.
pub(super) struct Receiving {
    shared: Arc<Shared>,
    phase: Phase,
    headers: Metadata,
    requests: Requests,
    /// The peer has not begun with the call.
    untaken: bool,
}

/// What a call began with, for those who can make it again: the message with its prefix.
type Kept = (CallHead, Bytes);

/// The sending direction of the call.
pub(super) enum Requests {
    /// The call never began.
    None { kept: Option<Kept> },
    /// All is queued.
    Queued {
        /// Only kept: without it `h2` would take the call for given up.
        _stream: SendStream<Bytes>,
        kept: Option<Kept>,
    },
    /// Shared with the task that sends.
    Streamed(Arc<Half>),
}

/// `Head` -> `Messages` -> `Ended`; `Lost` on the way there if the connection breaks.
enum Phase {
    /// Nothing has come.
    Head(ResponseFuture),
    /// Messages are coming.
    Messages(Receiver),
    /// The connection is gone and its closing status being settled.
    Lost(Closing),
    /// The call is over.
    Ended(Result<Metadata, Status>),
}

impl Receiving {
    pub(super) fn new(shared: Arc<Shared>, response: ResponseFuture, requests: Requests) -> Self {
        Self {
            shared,
            phase: Phase::Head(response),
            headers: Metadata::new(),
            requests,
            untaken: false,
        }
    }

    /// A call that could not be started.
    pub(super) fn failed(shared: Arc<Shared>, failure: Failure, kept: Option<Kept>) -> Self {
        let untaken = matches!(failure, Failure::Untaken(_) | Failure::Connection);
        let phase = after(&shared, failure);
        Self {
            shared,
            phase,
            headers: Metadata::new(),
            requests: Requests::None { kept },
            untaken,
        }
    }

    /// What the call began with, if that was kept and the peer has not begun with it.
    pub(super) fn into_untaken(mut self) -> Option<Kept> {
        if !self.untaken {
            return None;
        }
        match &mut self.requests {
            Requests::None { kept } | Requests::Queued { kept, .. } => kept.take(),
            Requests::Streamed(_) => None,
        }
    }

    /// Ready when the phase is another.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.phase {
            Phase::Head(response) => match ready!(Pin::new(response).poll(cx)) {
                Ok(response) => self.begin(response),
                Err(error) => {
                    let failure = Failure::from_h2(&error);
                    self.untaken = matches!(failure, Failure::Untaken(_));
                    self.phase = after(&self.shared, failure);
                }
            },
            Phase::Lost(closing) => {
                let closed = ready!(Pin::new(closing).poll(cx));
                self.phase = Phase::Ended(Err(closing_status(closed)));
            }
            Phase::Messages(_) | Phase::Ended(_) => {}
        }
        Poll::Ready(())
    }

    fn begin(&mut self, response: Response<RecvStream>) {
        let (head, stream) = response.into_parts();
        let checked = check_size(&head.headers, self.shared.max_header_list)
            .and_then(|()| check_response(&head, stream.is_end_stream()));
        match checked {
            Ok(None) => match metadata(&head.headers) {
                Ok(headers) => {
                    self.headers = headers;
                    let receiver = Receiver::new(stream, self.shared.limit);
                    let compressed = compressed(&head.headers);
                    self.phase = Phase::Messages(receiver.with_compressed(compressed));
                }
                Err(error) => self.phase = Phase::Ended(Err(bad_binary(error))),
            },
            Ok(Some(trailers)) => self.phase = Phase::Ended(Ok(trailers)),
            Err(status) => self.phase = Phase::Ended(Err(status)),
        }
    }

    /// How it ended, for the caller, and on the wire if it has not ended there.
    fn settle(&mut self, ended: Result<Metadata, Status>) -> Result<Metadata, Status> {
        let Requests::Streamed(half) = &self.requests else {
            return ended;
        };
        match ended {
            Ok(trailers) => {
                // The peer wants no more; grpc-go's client says so with the same code.
                half.stop(Reason::NO_ERROR);
                Ok(trailers)
            }
            Err(status) => {
                let failed = half.take_failed();
                half.stop(Reason::CANCEL);
                Err(failed.unwrap_or(status))
            }
        }
    }
}

fn after(shared: &Shared, failure: Failure) -> Phase {
    match failure {
        Failure::Call(status) | Failure::Untaken(status) => Phase::Ended(Err(status)),
        Failure::Connection => Phase::Lost(shared.closing.clone()),
    }
}

impl CallingStream for Receiving {
    fn runtime(&self) -> &SharedRuntime {
        &self.shared.runtime
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        loop {
            match &self.phase {
                Phase::Messages(_) | Phase::Ended(Ok(_)) => return Poll::Ready(Ok(())),
                Phase::Ended(Err(status)) => {
                    let ended = Err(status.clone());
                    return Poll::Ready(self.settle(ended).map(drop));
                }
                Phase::Head(_) | Phase::Lost(_) => ready!(self.poll_early(cx)),
            }
        }
    }

    fn take_headers(&mut self) -> Metadata {
        std::mem::take(&mut self.headers)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let limit = self.shared.max_header_list;
        loop {
            let receiver = match &mut self.phase {
                Phase::Messages(receiver) => receiver,
                Phase::Head(_) | Phase::Lost(_) => {
                    ready!(self.poll_early(cx));
                    continue;
                }
                Phase::Ended(ended) => {
                    let ended = std::mem::replace(ended, Ok(Metadata::new()));
                    return Poll::Ready(Answer::End(self.settle(ended)));
                }
            };
            self.phase = match ready!(receiver.poll_incoming(cx)) {
                Incoming::Message(message) => return Poll::Ready(Answer::Message(message)),
                Incoming::End(trailers) => {
                    let ended = match trailers {
                        Some(trailers) => {
                            check_size(&trailers, limit).and_then(|()| outcome(&trailers))
                        }
                        None => Err(Status::internal(
                            "the response ended without trailers: the peer is no gRPC server, \
                             or its answer was cut",
                        )),
                    };
                    // The peer's own error says more than that its answer was cut short.
                    Phase::Ended(ended.and_then(|metadata| {
                        receiver.finish()?;
                        Ok(metadata)
                    }))
                }
                Incoming::Failed(failure) => after(&self.shared, failure),
            };
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Requests::Streamed(half) = &self.requests {
            half.stop(Reason::CANCEL);
        }
    }
}
