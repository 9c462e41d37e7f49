//! Counting the calls of the user's services, so that the end of a plugin can wait for them.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{
    Call, CallContext, MessageStream, OutMessage, Service, ServiceDescriptor, Serving, Status,
};

use super::codegen::{StreamAnswer, UnaryAnswer};

/// The number of calls in flight. Go-plugin's own streams are not among them: they end last.
#[derive(Debug)]
pub(crate) struct InFlight {
    state: Mutex<State>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            state: Mutex::new(Rank::Driver, State::default()),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    calls: usize,
    idle: Option<Waker>,
    /// The connections that were noted, among them some that have ended.
    connections: Vec<Weak<dyn Serving>>,
    aborted: bool,
}

impl InFlight {
    /// Ready when no call is in flight. Wakes the task that asked last.
    pub(crate) fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.calls == 0 {
            return Poll::Ready(());
        }
        let earlier = state.idle.replace(cx.waker().clone());
        drop(state);
        // It may be the last of a task.
        drop(earlier);
        Poll::Pending
    }

    /// One more, until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Guard {
        self.lock().calls += 1;
        Guard(Arc::clone(self))
    }

    /// Drops what is called on the connections that were noted, and on those still to come.
    pub(crate) fn abort(&self) {
        let connections = {
            let mut state = self.lock();
            state.aborted = true;
            std::mem::take(&mut state.connections)
        };
        for serving in connections.iter().filter_map(Weak::upgrade) {
            serving.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// One call in flight, until dropped.
#[derive(Debug)]
pub(crate) struct Guard(Arc<InFlight>);

impl Guard {
    /// Notes a connection for [`InFlight::abort`].
    pub(crate) fn connection(&self, serving: &Arc<dyn Serving>) {
        let mut state = self.0.lock();
        if state.aborted {
            drop(state);
            serving.abort();
            return;
        }
        // Looked through each time it would grow: what has ended is forgotten, and each of the
        // others was paid for by what came since.
        let mut ended = Vec::new();
        if state.connections.len() == state.connections.capacity() {
            let open = |weak: &Weak<dyn Serving>| weak.strong_count() > 0;
            (state.connections, ended) = std::mem::take(&mut state.connections)
                .into_iter()
                .partition(open);
        }
        state.connections.push(Arc::downgrade(serving));
        drop(state);
        drop(ended);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.calls -= 1;
        let idle = if state.calls == 0 {
            state.idle.take()
        } else {
            None
        };
        drop(state);
        if let Some(waker) = idle {
            waker.wake();
        }
    }
}

/// A service whose calls are counted.
pub(crate) struct Tracked {
    inner: Arc<dyn Service>,
    in_flight: Arc<InFlight>,
}

impl Tracked {
    pub(crate) fn new(inner: Arc<dyn Service>, in_flight: Arc<InFlight>) -> Self {
        Self { inner, in_flight }
    }
}

impl Service for Tracked {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.inner.descriptor()
    }

    fn unary(&self, method: usize, context: CallContext, message: Bytes) -> UnaryAnswer {
        let guard = self.in_flight.enter();
        let answer = self.inner.unary(method, context, message);
        Box::pin(async move {
            let _guard = guard;
            answer.await
        })
    }

    fn streaming(&self, method: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let guard = self.in_flight.enter();
        let answer = self.inner.streaming(method, context, call);
        Box::pin(async move {
            let mut reply = answer.await?;
            reply.messages = Box::pin(Guarded {
                messages: reply.messages,
                _guard: guard,
            });
            Ok(reply)
        })
    }
}

struct Guarded {
    messages: MessageStream,
    _guard: Guard,
}

impl Stream for Guarded {
    type Item = Result<OutMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.as_mut().poll_next(cx)
    }
}
