//! What the clients of a supervised plugin call through.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use outboard_core::rpc::{
    Call, CallHead, Connection, MessageStream, Metadata, OutMessage, Reply, Status,
};
use outboard_core::rt::{BoxFuture, SharedRuntime};
use outboard_core::supervisor::Supervision;

use super::again::Again;
use super::usage::{Usage, Used};
use crate::link::Stable;

/// The stable connection, around which calls are counted and made again where the policy wants that.
/// It costs nothing where it does not.
pub(super) struct Front {
    runtime: SharedRuntime,
    stable: Arc<Stable>,
    policy: Arc<Supervision>,
    usage: Option<Usage>,
}

impl Front {
    pub(super) fn new(
        runtime: &SharedRuntime,
        stable: &Arc<Stable>,
        policy: &Arc<Supervision>,
        usage: Option<Usage>,
    ) -> Self {
        Self {
            runtime: Arc::clone(runtime),
            stable: Arc::clone(stable),
            policy: Arc::clone(policy),
            usage,
        }
    }
}

impl Connection for Front {
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        // Before the connection is asked where the call goes.
        let used = self.usage.as_ref().map(Usage::begin);
        let call = if head.idempotent && self.policy.retries > 0 {
            let (stable, policy) = (Arc::clone(&self.stable), Arc::clone(&self.policy));
            Box::pin(Again::new(&self.runtime, stable, policy, head, message))
        } else {
            self.stable.unary(head, message)
        };
        let Some(used) = used else {
            return call;
        };
        Box::pin(async move {
            let _used = used;
            call.await
        })
    }

    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
        let used = self.usage.as_ref().map(Usage::begin);
        let call = self.stable.open(head, messages);
        match used {
            Some(used) => Box::new(Counted {
                call,
                used: Some(used),
            }),
            None => call,
        }
    }

    fn max_calls(&self) -> BoxFuture<'static, Option<u32>> {
        self.stable.max_calls()
    }

    fn drain(&self) {
        self.stable.drain();
    }

    fn abort(&self, status: Status) {
        self.stable.abort(status);
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        self.stable.closed()
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stable.fmt(f)
    }
}

/// A streaming call that counts until its end.
struct Counted {
    call: Box<dyn Call>,
    used: Option<Used>,
}

impl Call for Counted {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        self.call.poll_headers(cx)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let message = self.call.poll_message(cx);
        if let Poll::Ready(None | Some(Err(_))) = &message {
            self.used = None;
        }
        message
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.call.trailers()
    }
}
