//! A call with one message each way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;
use outboard_core::grpc::PREFIX_LEN;
use outboard_core::rpc::{CallFailure, CallHead, OutMessage, Reply, Status, Untaken};

use super::Shared;
use super::receiving::Receiving;
use crate::call::{Deadline, Failure};
use crate::outgoing::{frame, send_all};

/// The future of a unary call. Nothing is sent before its first poll. Dropping it drops all that
/// refers to the stream, whereupon `h2` resets it with CANCEL unless it is complete.
pub(super) struct Unary {
    stage: Stage,
}

#[allow(
    clippy::large_enum_variant,
    reason = "every call goes through both, in one box"
)]
enum Stage {
    Start {
        shared: Arc<Shared>,
        head: CallHead,
        message: OutMessage,
        deadline: Option<Instant>,
    },
    Waiting {
        receiving: Receiving,
        message: Option<Bytes>,
        /// Only kept: without it `h2` would take the call for given up. None if it never began.
        _stream: Option<SendStream<Bytes>>,
        /// For those who can make the call again.
        kept: Option<(CallHead, Bytes)>,
    },
    Done,
}

/// The same, and the call is given back if the peer has not begun with it.
pub(super) struct TryUnary(Unary);

impl TryUnary {
    pub(super) fn new(shared: Arc<Shared>, head: CallHead, message: OutMessage) -> Self {
        Self(Unary::new(shared, head, message))
    }
}

impl Future for TryUnary {
    type Output = Result<Reply<Bytes>, CallFailure<OutMessage>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_call(cx, true)
    }
}

impl Unary {
    pub(super) fn new(shared: Arc<Shared>, head: CallHead, message: OutMessage) -> Self {
        // The clock is read only for calls that have a limit.
        let deadline = if head.timeout.is_some() || head.deadline.is_some() {
            head.deadline_from(shared.runtime.now())
        } else {
            None
        };
        Self {
            stage: Stage::Start {
                shared,
                head,
                message,
                deadline,
            },
        }
    }
}

impl Future for Unary {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_call(cx, false)
            .map(|outcome| outcome.map_err(Status::from))
    }
}

impl Unary {
    /// With `keep` the call is given back if the peer has not begun with it.
    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
        keep: bool,
    ) -> Poll<Result<Reply<Bytes>, CallFailure<OutMessage>>> {
        if let Stage::Start { .. } = self.stage {
            let stage = std::mem::replace(&mut self.stage, Stage::Done);
            if let Stage::Start {
                shared,
                head,
                message,
                deadline,
            } = stage
            {
                self.stage = start(shared, head, message, deadline, keep);
            }
        }
        let Stage::Waiting {
            receiving, message, ..
        } = &mut self.stage
        else {
            // Polled after its end, which the contract of futures leaves open.
            return Poll::Pending;
        };
        let ended = ready!(poll_reply(receiving, message, cx));
        let Stage::Waiting {
            receiving, kept, ..
        } = std::mem::replace(&mut self.stage, Stage::Done)
        else {
            return Poll::Pending;
        };
        Poll::Ready(match ended {
            Ok(message) => {
                let (headers, trailers) = receiving.into_metadata();
                Ok(Reply {
                    message,
                    headers,
                    trailers,
                })
            }
            Err(status) => Err(match kept.filter(|_| receiving.is_untaken()) {
                Some((head, framed)) => CallFailure::Untaken(Box::new(Untaken {
                    status,
                    head,
                    message: OutMessage::from_prefixed(framed, PREFIX_LEN),
                })),
                None => CallFailure::Ended(status),
            }),
        })
    }
}

fn start(
    shared: Arc<Shared>,
    head: CallHead,
    message: OutMessage,
    deadline: Option<Instant>,
    keep: bool,
) -> Stage {
    let mut kept = None;
    let started = frame(message, shared.limit)
        .map_err(Failure::Call)
        .and_then(|framed| {
            let started = shared.start(&head, deadline);
            kept = keep.then(|| (head, framed.clone()));
            let (response, mut stream) = started?;
            // It cannot fail here but for the connection, and then the response says so.
            let _ = send_all(&mut stream, framed, true);
            Ok((response, stream))
        });
    let deadline = Deadline::new(deadline);
    let (receiving, stream) = match started {
        Ok((response, stream)) => (Receiving::new(shared, deadline, response), Some(stream)),
        Err(failure) => (Receiving::failed(shared, deadline, failure), None),
    };
    Stage::Waiting {
        receiving,
        message: None,
        _stream: stream,
        kept,
    }
}

fn poll_reply(
    receiving: &mut Receiving,
    slot: &mut Option<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, Status>> {
    loop {
        match ready!(receiving.poll_message(cx)) {
            Some(Ok(message)) => {
                if slot.replace(message).is_some() {
                    return Poll::Ready(Err(Status::internal(
                        "cardinality violation: expected one response message, got a second one",
                    )));
                }
            }
            Some(Err(status)) => return Poll::Ready(Err(status)),
            None => {
                return Poll::Ready(slot.take().ok_or_else(|| {
                    Status::internal(
                        "cardinality violation: the call ended well, but without the response \
                         message",
                    )
                }));
            }
        }
    }
}
