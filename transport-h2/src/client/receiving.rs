//! The answer of a call, as it arrives.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::Response;
use outboard_core::rpc::{Code, Metadata, Status};

use super::{Closing, Shared, closing_status};
use crate::call::{Deadline, Failure, Incoming, Receiver, deadline_exceeded};
use crate::headers::{bad_binary, check_response, check_size, compressed, metadata, outcome};

/// Reads a response to its end.
pub(super) struct Receiving {
    shared: Arc<Shared>,
    deadline: Deadline,
    phase: Phase,
    headers: Metadata,
    /// There once the call ended well.
    trailers: Option<Metadata>,
    /// The peer has not begun with the call.
    untaken: bool,
}

/// `Head` -> `Messages` -> `Ended`; `Lost` on the way there if the connection breaks.
enum Phase {
    /// Nothing has come.
    Head(ResponseFuture),
    /// Messages are coming.
    Messages(Receiver),
    /// The connection is gone and its closing status being settled.
    Lost(Closing),
    /// The call is over. An error is kept until it was told once.
    Ended(Option<Status>),
}

impl Receiving {
    pub(super) fn new(shared: Arc<Shared>, deadline: Deadline, response: ResponseFuture) -> Self {
        Self::in_phase(shared, deadline, Phase::Head(response))
    }

    /// A call that could not be started.
    pub(super) fn failed(shared: Arc<Shared>, deadline: Deadline, failure: Failure) -> Self {
        let untaken = matches!(failure, Failure::Untaken(_) | Failure::Connection);
        let phase = Self::after(&shared, failure);
        Self {
            untaken,
            ..Self::in_phase(shared, deadline, phase)
        }
    }

    fn in_phase(shared: Arc<Shared>, deadline: Deadline, phase: Phase) -> Self {
        Self {
            shared,
            deadline,
            phase,
            headers: Metadata::new(),
            trailers: None,
            untaken: false,
        }
    }

    /// Ready once headers came or the call ended.
    pub(super) fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        loop {
            match &mut self.phase {
                Phase::Messages(_) | Phase::Ended(None) => return Poll::Ready(Ok(&self.headers)),
                Phase::Ended(Some(status)) => return Poll::Ready(Err(status.clone())),
                Phase::Head(_) | Phase::Lost(_) => {}
            }
            if self.poll_early(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    pub(super) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Status>>> {
        let limit = self.shared.max_header_list;
        loop {
            match &mut self.phase {
                Phase::Head(_) | Phase::Lost(_) => {
                    if self.poll_early(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Phase::Ended(status) => return Poll::Ready(status.take().map(Err)),
                Phase::Messages(receiver) => match receiver.poll_next(cx) {
                    Poll::Ready(Incoming::Message(message)) => {
                        return Poll::Ready(Some(Ok(message)));
                    }
                    Poll::Ready(Incoming::End(trailers)) => {
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
                        let ended = ended.and_then(|metadata| {
                            receiver.finish()?;
                            Ok(metadata)
                        });
                        self.end(ended);
                    }
                    Poll::Ready(Incoming::Failed(failure)) => self.fail(failure),
                    Poll::Pending => {
                        if self.poll_deadline(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                },
            }
        }
    }

    /// Whether the call is over, its error told or not.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// Whether the peer has not begun with the call, so that it can be made again.
    pub(super) fn is_untaken(&self) -> bool {
        self.untaken
    }

    pub(super) fn trailers(&self) -> Option<&Metadata> {
        self.trailers.as_ref()
    }

    pub(super) fn into_metadata(self) -> (Metadata, Metadata) {
        (self.headers, self.trailers.unwrap_or_default())
    }

    /// Ready when the phase has changed.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.phase {
            Phase::Head(response) => match Pin::new(response).poll(cx) {
                Poll::Ready(Ok(response)) => self.begin(response),
                Poll::Ready(Err(error)) => {
                    let failure = Failure::from_h2(&error);
                    self.untaken = matches!(failure, Failure::Untaken(_));
                    self.fail(failure);
                }
                Poll::Pending => return self.poll_deadline(cx),
            },
            Phase::Lost(closing) => match Pin::new(closing).poll(cx) {
                Poll::Ready(closed) => self.end(Err(closing_status(closed))),
                Poll::Pending => return self.poll_deadline(cx),
            },
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
                Err(error) => self.end(Err(bad_binary(error))),
            },
            Ok(Some(trailers)) => self.end(Ok(trailers)),
            Err(status) => self.end(Err(status)),
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll(&self.shared.runtime, cx).map(|()| {
            self.untaken = false;
            self.end(Err(deadline_exceeded()));
        })
    }

    fn fail(&mut self, failure: Failure) {
        let failure = match failure {
            // A peer that keeps the deadline too may be the first to say so.
            Failure::Call(status)
                if status.code() == Code::Cancelled
                    && self.deadline.has_passed(&self.shared.runtime) =>
            {
                Failure::Call(deadline_exceeded())
            }
            failure @ (Failure::Call(_) | Failure::Untaken(_) | Failure::Connection) => failure,
        };
        self.phase = Self::after(&self.shared, failure);
    }

    fn after(shared: &Shared, failure: Failure) -> Phase {
        match failure {
            Failure::Call(status) | Failure::Untaken(status) => Phase::Ended(Some(status)),
            Failure::Connection => Phase::Lost(shared.closing.clone()),
        }
    }

    fn end(&mut self, ended: Result<Metadata, Status>) {
        self.phase = Phase::Ended(match ended {
            Ok(trailers) => {
                self.trailers = Some(trailers);
                None
            }
            Err(status) => Some(status),
        });
    }
}
