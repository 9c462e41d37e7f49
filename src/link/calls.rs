//! The calls of a stable connection, and what else is asked of one.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use outboard_core::rpc::{
    Call, CallFailure, CallHead, Channel, Connection, DispenseFailure, MessageStream, OutMessage,
    Reply, Status, Untaken,
};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use super::limit::MaxCalls;
use super::unary::Unary;
use super::{End, Stable, Stage, Way, closed_here, streaming};

impl Connection for Stable {
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        let way = self.0.way(&self.0.state.lock());
        match way {
            // What is not given back needs nobody who makes it once more.
            Way::To(inside, _) if !inside.gives_back() => inside.unary(head, message),
            Way::To(inside, epoch) => {
                let head = limited(head, &self.0.runtime);
                let shared = Arc::clone(&self.0);
                Box::pin(Unary::begun(shared, inside, epoch, head, message).or_failed())
            }
            Way::Wait | Way::Nowhere(_) => {
                let head = limited(head, &self.0.runtime);
                Box::pin(Unary::new(Arc::clone(&self.0), head, message).or_failed())
            }
        }
    }

    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
        let head = limited(head, &self.0.runtime);
        streaming::open(&self.0, head, messages)
    }

    fn gives_back(&self) -> bool {
        true
    }

    fn try_unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, CallFailure<OutMessage>>> {
        let head = limited(head, &self.0.runtime);
        Box::pin(Unary::new(Arc::clone(&self.0), head, message))
    }

    fn try_open(
        &self,
        head: CallHead,
        messages: MessageStream,
    ) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
        let head = limited(head, &self.0.runtime);
        streaming::try_open(&self.0, head, messages)
    }

    fn is_retiring(&self) -> bool {
        matches!(&self.0.state.lock().stage, Stage::Last(_) | Stage::Gone(..))
    }

    fn retiring(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.0.retiring.told().map(drop))
    }

    fn max_calls(&self) -> BoxFuture<'static, Option<u32>> {
        Box::pin(MaxCalls::new(&self.0))
    }

    fn dispense(&self, name: &str) -> BoxFuture<'static, Result<Option<Channel>, DispenseFailure>> {
        let way = self.0.way(&self.0.state.lock());
        match way {
            Way::To(inside, _) => inside.dispense(name),
            // Calls wait for the next one, or say why there is none.
            Way::Wait | Way::Nowhere(_) => Box::pin(std::future::ready(Ok(None))),
        }
    }

    /// Whoever has one of these inside knows that calls may wait there.
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn drain(&self) {
        let mut state = self.0.state.lock();
        let (inside, waits) = match &state.stage {
            Stage::Up(inside) | Stage::Last(inside) => (Some(Arc::clone(inside)), false),
            Stage::Waiting => (None, true),
            Stage::Gone(..) => (None, false),
        };
        if let Some(inside) = &inside {
            state.stage = Stage::Last(Arc::clone(inside));
        }
        drop(state);
        if let Some(inside) = inside {
            self.0.retiring.tell(());
            inside.drain();
        }
        if waits {
            drop(self.0.close(closed_here(), End::Drained));
        }
    }

    fn abort(&self, status: Status) {
        let present = self.0.close(status.clone(), End::Aborted);
        let retired = std::mem::take(&mut self.0.state.lock().retired);
        for inside in present.iter().chain(retired.values()) {
            inside.abort(status.clone());
        }
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        let closed = self.0.closed.told();
        Box::pin(closed.map(|status| status.unwrap_or_else(closed_here)))
    }
}

/// A call's head whose limit does not start over with each attempt.
pub(crate) fn limited(mut head: CallHead, runtime: &SharedRuntime) -> CallHead {
    // The clock is read only for calls that have a limit.
    if head.timeout.is_some() {
        head.deadline = head.deadline_from(runtime.now());
        head.timeout = None;
    }
    head
}
