//! Unary calls over a stable connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use outboard_core::rpc::{CallFailure, CallHead, Connection, OutMessage, Reply, Status, Untaken};
use outboard_core::rt::BoxFuture;

use super::{Patience, Place, Shared, Way};

/// The future of a unary call, which gives it back if no connection takes it and none is to come.
/// Nothing is sent before its first poll.
pub(super) struct Unary {
    shared: Arc<Shared>,
    stage: Stage,
    refusals: u32,
    place: Place,
    patience: Patience,
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
            patience: Patience::default(),
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
            patience: Patience::default(),
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

    /// The same call for those who have no other connection.
    pub(super) fn or_failed(self) -> OrFailed {
        OrFailed(self)
    }

    fn end(&mut self, outcome: Outcome) -> Poll<Outcome> {
        self.stage = Stage::Done;
        Poll::Ready(outcome)
    }

    /// Ends it as one that was never begun with.
    fn give_back(&mut self, status: Status) -> Poll<Outcome> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Start(head, message) => {
                let untaken = Untaken::new(status.unsent(), head, message);
                Poll::Ready(Err(CallFailure::Untaken(Box::new(untaken))))
            }
            Stage::Calling { .. } | Stage::Done => Poll::Ready(Err(CallFailure::Ended(status))),
        }
    }
}

type Outcome = Result<Reply<Bytes>, CallFailure<OutMessage>>;

impl Future for Unary {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Start(head, _) => {
                    let deadline = head.deadline;
                    match this.place.way(cx) {
                        Way::To(inside, epoch) => {
                            this.patience.rest();
                            this.call(inside, epoch);
                        }
                        Way::Nowhere(status) => return this.give_back(status),
                        Way::Wait => {
                            let late = ready!(this.patience.poll(&this.shared, deadline, cx));
                            return this.end(Err(CallFailure::Ended(late)));
                        }
                    }
                }
                Stage::Calling {
                    call,
                    inside,
                    epoch,
                } => match ready!(call.as_mut().poll(cx)) {
                    Ok(reply) => return this.end(Ok(reply)),
                    Err(CallFailure::Ended(status)) => {
                        return this.end(Err(CallFailure::Ended(status)));
                    }
                    Err(CallFailure::Untaken(untaken)) => {
                        let shared = &this.shared;
                        let again = shared.once_more(inside, *epoch, &mut this.refusals);
                        let untaken = *untaken;
                        this.stage = Stage::Start(untaken.head, untaken.message);
                        if !again {
                            return this.give_back(untaken.status);
                        }
                    }
                },
                // Polled after its end, which the contract of futures leaves open.
                Stage::Done => return Poll::Pending,
            }
        }
    }
}

/// A unary call that fails if no connection takes it.
pub(super) struct OrFailed(Unary);

impl Future for OrFailed {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(outcome.map_err(Status::from))
    }
}
