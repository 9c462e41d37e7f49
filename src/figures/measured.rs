//! A connection whose calls are counted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use outboard_core::figures::{Begun, Calls, MethodFigures};
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{
    Call, CallHead, Channel, Code, Connection, DispenseFailure, MessageStream, Metadata,
    OutMessage, Reply, Status, SubChannels,
};
use outboard_core::rt::{BoxFuture, SharedRuntime};

/// What calls come to. Clones are the same.
#[derive(Clone)]
pub(crate) struct Tally(Arc<Inner>);

struct Inner {
    runtime: SharedRuntime,
    calls: Mutex<Calls>,
}

impl Tally {
    pub(crate) fn new(runtime: &SharedRuntime) -> Self {
        Self(Arc::new(Inner {
            runtime: Arc::clone(runtime),
            calls: Mutex::new(Rank::Driver, Calls::new()),
        }))
    }

    pub(crate) fn figures(&self) -> Vec<MethodFigures> {
        self.0.calls.lock().figures()
    }

    fn begin(&self, head: &CallHead, bytes: usize) -> Counted {
        let now = self.0.runtime.stopwatch();
        let mut calls = self.0.calls.lock();
        let begun = calls.begin(now, &head.path);
        calls.sent(&begun, bytes);
        drop(calls);
        Counted {
            tally: self.clone(),
            begun: Some(begun),
        }
    }
}

/// A call that is counted; one that is dropped was given up.
struct Counted {
    tally: Tally,
    begun: Option<Begun>,
}

impl Counted {
    fn end(&mut self, code: Code, bytes: usize) {
        let Some(begun) = self.begun.take() else {
            return;
        };
        let now = self.tally.0.runtime.stopwatch();
        let mut calls = self.tally.0.calls.lock();
        calls.received(&begun, bytes);
        calls.end(now, begun, code);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.end(Code::Cancelled, 0);
    }
}

/// A connection whose calls are counted. It stands around all others, so that whatever a call waits for counts.
pub(crate) struct Measured {
    inner: Arc<dyn Connection>,
    tally: Tally,
}

impl Measured {
    pub(crate) fn around(inner: Arc<dyn Connection>, tally: &Tally) -> Arc<dyn Connection> {
        Arc::new(Self {
            inner,
            tally: tally.clone(),
        })
    }
}

impl Connection for Measured {
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        let counted = self.tally.begin(&head, message.len());
        Box::pin(Unary {
            call: self.inner.unary(head, message),
            counted,
        })
    }

    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
        let counted = Shared::new(self.tally.begin(&head, 0));
        let requests = Requests {
            messages,
            counted: counted.clone(),
        };
        Box::new(Streamed {
            call: self.inner.open(head, Box::pin(requests)),
            counted,
        })
    }

    fn is_retiring(&self) -> bool {
        self.inner.is_retiring()
    }

    fn retiring(&self) -> BoxFuture<'static, ()> {
        self.inner.retiring()
    }

    fn heard(&self) -> BoxFuture<'static, ()> {
        self.inner.heard()
    }

    fn max_calls(&self) -> BoxFuture<'static, Option<u32>> {
        self.inner.max_calls()
    }

    fn drain(&self) {
        self.inner.drain();
    }

    fn abort(&self, status: Status) {
        self.inner.abort(status);
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        self.inner.closed()
    }

    fn dispense(&self, name: &str) -> BoxFuture<'static, Result<Option<Channel>, DispenseFailure>> {
        self.inner.dispense(name)
    }

    fn sub_channels(&self) -> Option<Arc<dyn SubChannels>> {
        self.inner.sub_channels()
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        self.inner.as_any()
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

struct Unary {
    call: BoxFuture<'static, Result<Reply<Bytes>, Status>>,
    counted: Counted,
}

impl Future for Unary {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.call.as_mut().poll(cx));
        match &answer {
            Ok(reply) => self.counted.end(Code::Ok, reply.message.len()),
            Err(status) => self.counted.end(status.code(), 0),
        }
        Poll::Ready(answer)
    }
}

/// What the two sides of a streaming call share: under the lock of its tally, as its figures.
#[derive(Clone)]
struct Shared {
    tally: Tally,
    /// Present until the call has ended.
    begun: Arc<Mutex<Option<Begun>>>,
}

impl Shared {
    fn new(mut counted: Counted) -> Self {
        Self {
            tally: counted.tally.clone(),
            begun: Arc::new(Mutex::new(Rank::Call, counted.begun.take())),
        }
    }

    fn sent(&self, bytes: usize) {
        let mut calls = self.tally.0.calls.lock();
        if let Some(begun) = &*self.begun.lock() {
            calls.sent(begun, bytes);
        }
    }

    fn received(&self, bytes: usize) {
        let mut calls = self.tally.0.calls.lock();
        if let Some(begun) = &*self.begun.lock() {
            calls.received(begun, bytes);
        }
    }

    fn end(&self, code: Code) {
        let now = self.tally.0.runtime.stopwatch();
        let mut calls = self.tally.0.calls.lock();
        if let Some(begun) = self.begun.lock().take() {
            calls.end(now, begun, code);
        }
    }
}

struct Requests {
    messages: MessageStream,
    counted: Shared,
}

impl Stream for Requests {
    type Item = Result<OutMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.messages.as_mut().poll_next(cx));
        if let Some(Ok(message)) = &item {
            self.counted.sent(message.len());
        }
        Poll::Ready(item)
    }
}

struct Streamed {
    call: Box<dyn Call>,
    counted: Shared,
}

impl Call for Streamed {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        let headers = self.call.poll_headers(cx);
        if let Poll::Ready(Err(status)) = &headers {
            // Who asks for these may not ask for anything else.
            self.counted.end(status.code());
        }
        headers
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let message = ready!(self.call.poll_message(cx));
        match &message {
            Some(Ok(message)) => self.counted.received(message.len()),
            Some(Err(status)) => self.counted.end(status.code()),
            None => self.counted.end(Code::Ok),
        }
        Poll::Ready(message)
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.call.trailers()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // Also where the transport still has the requests.
        self.counted.end(Code::Cancelled);
    }
}
