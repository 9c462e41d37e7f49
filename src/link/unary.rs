//! Unary calls over a stable connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use outboard_core::rpc::{CallFailure, CallHead, Connection, OutMessage, Reply, Status};
use outboard_core::rt::BoxFuture;

use super::{Place, Shared, Way, waited_too_long};
use crate::time::Alarm;

/// The future of a unary call. Nothing is sent before its first poll.
pub(super) struct Unary {
    shared: Arc<Shared>,
    stage: Stage,
    refusals: u32,
    place: Place,
    alarm: Alarm,
}

enum Stage {
    /// To be made.
    Start(CallHead, OutMessage),
    Calling {
        call: BoxFuture<'static, Result<Reply<Bytes>, CallFailure<OutMessage>>>,
        inside: Arc<dyn Connection>,
        epoch: u64,
    },
    Done,
}

impl Unary {
    pub(super) fn new(shared: Arc<Shared>, head: CallHead, message: OutMessage) -> Self {
        Self {
            place: Place::new(&shared),
            shared,
            stage: Stage::Start(head, message),
            refusals: 0,
            alarm: Alarm::default(),
        }
    }

    /// A call that goes to this connection first, the one of this epoch.
    pub(super) fn begun(
        shared: Arc<Shared>,
        inside: Arc<dyn Connection>,
        epoch: u64,
        head: CallHead,
        message: OutMessage,
    ) -> Self {
        let call = inside.try_unary(head, message);
        Self {
            place: Place::new(&shared),
            shared,
            stage: Stage::Calling {
                call,
                inside,
                epoch,
            },
            refusals: 0,
            alarm: Alarm::default(),
        }
    }

    fn call(&mut self, inside: Arc<dyn Connection>, epoch: u64) {
        if let Stage::Start(head, message) = std::mem::replace(&mut self.stage, Stage::Done) {
            self.stage = Stage::Calling {
                call: inside.try_unary(head, message),
                inside,
                epoch,
            };
        }
    }

    fn end(&mut self, outcome: Result<Reply<Bytes>, Status>) -> Poll<Result<Reply<Bytes>, Status>> {
        self.stage = Stage::Done;
        Poll::Ready(outcome)
    }

    fn poll_deadline(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<Status> {
        self.alarm
            .poll(&self.shared.runtime, deadline, cx)
            .map(|_| waited_too_long())
    }
}

impl Future for Unary {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Start(head, _) => {
                    let deadline = head.deadline;
                    match this.place.way(cx) {
                        Way::To(inside, epoch) => this.call(inside, epoch),
                        Way::Nowhere(status) => return this.end(Err(status)),
                        Way::Wait => {
                            let late = ready!(this.poll_deadline(deadline, cx));
                            return this.end(Err(late));
                        }
                    }
                }
                Stage::Calling {
                    call,
                    inside,
                    epoch,
                } => match ready!(call.as_mut().poll(cx)) {
                    Ok(reply) => return this.end(Ok(reply)),
                    Err(CallFailure::Ended(status)) => return this.end(Err(status)),
                    Err(CallFailure::Untaken(untaken)) => {
                        let shared = &this.shared;
                        if !shared.once_more(inside, *epoch, &mut this.refusals) {
                            return this.end(Err(untaken.status));
                        }
                        this.stage = Stage::Start(untaken.head, untaken.message);
                    }
                },
                // Polled after its end, which the contract of futures leaves open.
                Stage::Done => return Poll::Pending,
            }
        }
    }
}
