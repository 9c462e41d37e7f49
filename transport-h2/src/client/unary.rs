//! A call with one message each way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use outboard_core::grpc::PREFIX_LEN;
use outboard_core::rpc::calling::{self, Begin, Failed};
use outboard_core::rpc::guard::Deadline;
use outboard_core::rpc::{CallFailure, CallHead, OutMessage, Reply, Status, Untaken};
use outboard_core::rt::SharedRuntime;

use super::Shared;
use super::receiving::{Receiving, Requests};
use crate::outgoing::{frame, send_all};

/// The future of a unary call. Dropping it drops all that refers to the stream, whereupon `h2` resets
/// it with CANCEL unless it is complete.
pub(super) type Unary = calling::Unary<Start>;

/// What a unary call begins with.
pub(super) struct Start {
    shared: Arc<Shared>,
    /// Until it begins.
    parts: Option<(CallHead, OutMessage)>,
    /// They are kept for those who can make the call again.
    keeps: bool,
}

pub(super) fn unary(shared: Arc<Shared>, head: CallHead, message: OutMessage) -> Unary {
    make(shared, head, message, false)
}

fn make(shared: Arc<Shared>, head: CallHead, message: OutMessage, keeps: bool) -> Unary {
    let deadline = Deadline::of(shared.runtime.as_ref(), &head);
    let start = Start {
        shared,
        parts: Some((head, message)),
        keeps,
    };
    Unary::new(start, deadline)
}

impl Begin for Start {
    type Stream = Receiving;

    fn runtime(&self) -> &SharedRuntime {
        &self.shared.runtime
    }

    fn poll_begin(
        &mut self,
        left: Option<Duration>,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<Receiving, Status>> {
        let Some((head, message)) = self.parts.take() else {
            return Poll::Pending;
        };
        let framed = match frame(message, self.shared.limit) {
            Ok(framed) => framed,
            Err(status) => return Poll::Ready(Err(status)),
        };
        let started = self.shared.start(&head, left);
        let kept = self.keeps.then(|| (head, framed.clone()));
        let shared = Arc::clone(&self.shared);
        Poll::Ready(Ok(match started {
            Ok((response, mut stream)) => {
                // It cannot fail here but for the connection, and then the response says so.
                let _ = send_all(&mut stream, framed, true);
                let requests = Requests::Queued {
                    _stream: stream,
                    kept,
                };
                Receiving::new(shared, response, requests)
            }
            Err(failure) => Receiving::failed(shared, failure, kept),
        }))
    }
}

/// The same, and the call is given back if the peer has not begun with it.
pub(super) struct TryUnary(Unary);

impl TryUnary {
    pub(super) fn new(shared: Arc<Shared>, head: CallHead, message: OutMessage) -> Self {
        Self(make(shared, head, message, true))
    }
}

impl Future for TryUnary {
    type Output = Result<Reply<Bytes>, CallFailure<OutMessage>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replied = ready!(self.0.poll_or_fail(cx));
        Poll::Ready(replied.map_err(|Failed { status, stream }| {
            match stream.and_then(Receiving::into_untaken) {
                Some((head, framed)) => {
                    let message = OutMessage::from_prefixed(framed, PREFIX_LEN);
                    CallFailure::Untaken(Box::new(Untaken::new(status, head, message)))
                }
                None => CallFailure::Ended(status),
            }
        }))
    }
}
