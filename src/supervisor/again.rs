//! Calls that are made again when they are lost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use outboard_core::rpc::{CallHead, Connection as _, OutMessage, Reply, Status};
use outboard_core::rt::{BoxFuture, SharedRuntime};
use outboard_core::supervisor::Supervision;

use crate::link::{Stable, limited};

/// A unary call of a method that is marked for it.
pub(super) struct Again {
    stable: Arc<Stable>,
    policy: Arc<Supervision>,
    head: CallHead,
    message: OutMessage,
    /// How often it was made again.
    before: u32,
    call: BoxFuture<'static, Result<Reply<Bytes>, Status>>,
}

impl Again {
    pub(super) fn new(
        runtime: &SharedRuntime,
        stable: Arc<Stable>,
        policy: Arc<Supervision>,
        head: CallHead,
        message: OutMessage,
    ) -> Self {
        // Its limit does not start over.
        let head = limited(head, runtime);
        Self {
            call: stable.unary(head.clone(), message.clone()),
            stable,
            policy,
            head,
            message,
            before: 0,
        }
    }
}

impl Future for Again {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let status = match ready!(this.call.as_mut().poll(cx)) {
                Ok(reply) => return Poll::Ready(Ok(reply)),
                Err(status) => status,
            };
            // What was not sent has waited already, or there is nothing to wait for.
            let lost = status.is_connection_lost() && !status.is_unsent();
            let marked = this.head.idempotent;
            if !this.policy.tries_again(marked, this.before, lost) {
                return Poll::Ready(Err(status));
            }
            this.before += 1;
            this.call = this.stable.unary(this.head.clone(), this.message.clone());
        }
    }
}
