//! Which calls use a process: known when the last of them has ended.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use outboard_core::rpc::{
    Call, CallFailure, CallHead, Connection, DispenseFailure, MessageStream, Metadata, OutMessage,
    Reply, Status, Untaken,
};
use outboard_core::rt::BoxFuture;
use outboard_core::told::{Teller, Told};

/// What is held by whoever uses a process. Clones are the same; the drop of the last one tells.
#[derive(Clone)]
pub(super) struct Lease(Arc<Teller<()>>);

impl Lease {
    /// With it comes what resolves once nobody has it any more.
    pub(super) fn new() -> (Self, Told<()>) {
        let teller = Teller::new();
        let over = teller.told();
        (Self(Arc::new(teller)), over)
    }

    /// Whether it is held by more than those two that hold it for the calls: who admits them, and the connection
    /// that they go through.
    pub(super) fn is_held_beside(&self) -> bool {
        Arc::strong_count(&self.0) > 2
    }

    /// The same, for those who need not know what they hold.
    #[cfg(feature = "netrpc")]
    pub(super) fn into_any(self) -> Arc<dyn Any + Send + Sync> {
        self.0
    }
}

/// The connection of a process, as the stable one has it inside.
///
/// That one lets go of it when calls go elsewhere, and holds it for as long as a unary call goes on that was made on
/// it; streaming calls hold their lease here. So nothing is counted, and a unary call costs nothing.
pub(super) struct Tracked {
    inside: Arc<dyn Connection>,
    lease: Lease,
}

impl Tracked {
    pub(super) fn around(inside: &Arc<dyn Connection>, lease: Lease) -> Arc<dyn Connection> {
        Arc::new(Self {
            inside: Arc::clone(inside),
            lease,
        })
    }

    fn track(&self, call: Box<dyn Call>) -> Box<dyn Call> {
        Box::new(TrackedCall {
            call,
            lease: Some(self.lease.clone()),
        })
    }
}

impl Connection for Tracked {
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        let call = self.inside.unary(head, message);
        let lease = self.lease.clone();
        Box::pin(async move {
            let _lease = lease;
            call.await
        })
    }

    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
        self.track(self.inside.open(head, messages))
    }

    /// In any case: only calls that may be given back hold this.
    fn gives_back(&self) -> bool {
        true
    }

    fn try_unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, CallFailure<OutMessage>>> {
        self.inside.try_unary(head, message)
    }

    fn try_open(
        &self,
        head: CallHead,
        messages: MessageStream,
    ) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
        let call = self.inside.try_open(head, messages)?;
        Ok(self.track(call))
    }

    fn is_retiring(&self) -> bool {
        self.inside.is_retiring()
    }

    fn retiring(&self) -> BoxFuture<'static, ()> {
        self.inside.retiring()
    }

    fn heard(&self) -> BoxFuture<'static, ()> {
        self.inside.heard()
    }

    fn max_calls(&self) -> BoxFuture<'static, Option<u32>> {
        self.inside.max_calls()
    }

    fn drain(&self) {
        self.inside.drain();
    }

    fn abort(&self, status: Status) {
        self.inside.abort(status);
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        self.inside.closed()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.inside.as_any()
    }

    fn dispense(
        &self,
        name: &str,
    ) -> BoxFuture<'static, Result<Option<outboard_core::rpc::Channel>, DispenseFailure>> {
        self.inside.dispense(name)
    }
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inside.fmt(f)
    }
}

/// A streaming call that uses its process until its end.
struct TrackedCall {
    call: Box<dyn Call>,
    lease: Option<Lease>,
}

impl Call for TrackedCall {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        self.call.poll_headers(cx)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let message = self.call.poll_message(cx);
        if let Poll::Ready(None | Some(Err(_))) = &message {
            self.lease = None;
        }
        message
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.call.trailers()
    }
}
