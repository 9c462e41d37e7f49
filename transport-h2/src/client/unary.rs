//! A call with one message each way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;
use outboard_core::rpc::{CallHead, OutMessage, Reply, Status};

use super::Shared;
use super::receiving::Receiving;
use crate::call::{Deadline, Failure};
use crate::outgoing::{frame, send_all};

/// The future of a unary call. Nothing is sent before its first poll. Dropping it drops all that
/// refers to the stream, whereupon `h2` resets it with CANCEL unless it is complete.
pub(super) struct Unary {
    stage: Stage,
}

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
    },
    Done,
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
        let this = &mut *self;
        if let Stage::Start { .. } = this.stage {
            let stage = std::mem::replace(&mut this.stage, Stage::Done);
            if let Stage::Start {
                shared,
                head,
                message,
                deadline,
            } = stage
            {
                this.stage = start(shared, &head, message, deadline);
            }
        }
        let Stage::Waiting {
            receiving, message, ..
        } = &mut this.stage
        else {
            // Polled after its end, which the contract of futures leaves open.
            return Poll::Pending;
        };
        let ended = ready!(poll_reply(receiving, message, cx));
        let Stage::Waiting { receiving, .. } = std::mem::replace(&mut this.stage, Stage::Done)
        else {
            return Poll::Pending;
        };
        Poll::Ready(ended.map(|message| {
            let (headers, trailers) = receiving.into_metadata();
            Reply {
                message,
                headers,
                trailers,
            }
        }))
    }
}

fn start(
    shared: Arc<Shared>,
    head: &CallHead,
    message: OutMessage,
    deadline: Option<Instant>,
) -> Stage {
    let started = frame(message, shared.limit)
        .map_err(Failure::Call)
        .and_then(|framed| {
            let (response, mut stream) = shared.start(head, deadline)?;
            // It cannot fail here but for the connection, and then the response says so.
            let _ = send_all(&mut stream, framed, true);
            Ok((response, stream))
        });
    let deadline = Deadline::new(deadline);
    match started {
        Ok((response, stream)) => Stage::Waiting {
            receiving: Receiving::new(shared, deadline, response),
            message: None,
            _stream: Some(stream),
        },
        Err(failure) => Stage::Waiting {
            receiving: Receiving::failed(shared, deadline, failure),
            message: None,
            _stream: None,
        },
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
