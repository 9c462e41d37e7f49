//! Calls with streams of messages.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{Call, CallHead, MessageStream, Metadata, Status, Untaken};

use super::Shared;
use super::receiving::Receiving;
use crate::call::{Deadline, Failure, connection_gone};
use crate::outgoing::{Outgoing, Sent, Side};

/// The sending half, shared by the call and the pump that feeds it.
struct Half {
    state: Mutex<HalfState>,
    pump: AtomicWaker,
}

struct HalfState {
    /// None once the call is over.
    stream: Option<SendStream<Bytes>>,
    /// Why this side cancelled the call, if its messages failed.
    failed: Option<Status>,
    /// The call is over: whoever holds the stream resets it with this.
    stopped: Option<Reason>,
}

impl Half {
    fn new(stream: Option<SendStream<Bytes>>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(
                Rank::Call,
                HalfState {
                    stream,
                    failed: None,
                    stopped: None,
                },
            ),
            pump: AtomicWaker::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, HalfState> {
        self.state.lock()
    }

    /// Ends the call on the wire, if it has not ended there, and stops the pump.
    fn stop(&self, reason: Reason) {
        let mut state = self.state();
        if state.stopped.is_some() {
            return;
        }
        state.stopped = Some(reason);
        let stream = state.stream.take();
        drop(state);
        // None while the pump is sending: then the pump resets it.
        if let Some(mut stream) = stream {
            stream.send_reset(reason);
        }
        self.pump.wake();
    }
}

/// Pulls the caller's messages and sends them, polled or not.
struct Pump {
    half: Arc<Half>,
    outgoing: Outgoing,
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { half, outgoing } = &mut *self;
        half.pump.register(cx.waker());
        // Taken out so that the caller's code never runs under the lock.
        let Some(mut stream) = half.state().stream.take() else {
            return Poll::Ready(());
        };
        let sent = outgoing.poll_send(cx, &mut stream, true);
        let mut state = half.state();
        if let Some(reason) = state.stopped {
            drop(state);
            stream.send_reset(reason);
            return Poll::Ready(());
        }
        match sent {
            Poll::Ready(Sent::Failed(status)) => {
                state.failed = Some(status);
                drop(state);
                // Wakes the reader, which then finds the status.
                stream.send_reset(Reason::CANCEL);
                Poll::Ready(())
            }
            Poll::Ready(Sent::All | Sent::Gone) => {
                state.stream = Some(stream);
                Poll::Ready(())
            }
            Poll::Pending => {
                state.stream = Some(stream);
                Poll::Pending
            }
        }
    }
}

/// The caller's end.
struct StreamingCall {
    receiving: Receiving,
    half: Arc<Half>,
}

pub(super) fn open(shared: &Arc<Shared>, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
    let deadline = deadline(shared, &head);
    match shared.start(&head, deadline) {
        Ok(started) => begin(shared, deadline, started, head, messages),
        Err(failure) => fail(shared, deadline, failure),
    }
}

pub(super) fn try_open(
    shared: &Arc<Shared>,
    head: CallHead,
    messages: MessageStream,
) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
    let deadline = deadline(shared, &head);
    match shared.start(&head, deadline) {
        Ok(started) => Ok(begin(shared, deadline, started, head, messages)),
        Err(failure @ Failure::Call(_)) => Ok(fail(shared, deadline, failure)),
        Err(Failure::Untaken(status)) => Err(untaken(status, head, messages)),
        Err(Failure::Connection) => Err(untaken(connection_gone(), head, messages)),
    }
}

fn untaken(status: Status, head: CallHead, message: MessageStream) -> Box<Untaken<MessageStream>> {
    Box::new(Untaken {
        status,
        head,
        message,
    })
}

fn deadline(shared: &Shared, head: &CallHead) -> Option<Instant> {
    // The clock is read only for calls that have a limit.
    if head.timeout.is_some() || head.deadline.is_some() {
        head.deadline_from(shared.runtime.now())
    } else {
        None
    }
}

fn begin(
    shared: &Arc<Shared>,
    deadline: Option<Instant>,
    (response, stream): (ResponseFuture, SendStream<Bytes>),
    head: CallHead,
    messages: MessageStream,
) -> Box<dyn Call> {
    let half = Half::new(Some(stream));
    let mut pump = Pump {
        half: Arc::clone(&half),
        outgoing: Outgoing::new(Side::Caller, head.path, messages, shared.limit),
    };
    // The one message of a server-streaming call is there already: no task for that.
    let first = Pin::new(&mut pump).poll(&mut Context::from_waker(Waker::noop()));
    if first.is_pending() {
        shared.runtime.spawn(Box::pin(pump));
    }
    let deadline = Deadline::new(deadline);
    let receiving = Receiving::new(Arc::clone(shared), deadline, response);
    Box::new(StreamingCall { receiving, half })
}

fn fail(shared: &Arc<Shared>, deadline: Option<Instant>, failure: Failure) -> Box<dyn Call> {
    let deadline = Deadline::new(deadline);
    Box::new(StreamingCall {
        receiving: Receiving::failed(Arc::clone(shared), deadline, failure),
        half: Half::new(None),
    })
}

impl StreamingCall {
    /// Puts right why the call failed, and lets the wire know if it was this side.
    fn settle(&self, status: Status) -> Status {
        let failed = self.half.state().failed.take();
        self.half.stop(Reason::CANCEL);
        failed.unwrap_or(status)
    }
}

impl Call for StreamingCall {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        if self.receiving.poll_headers(cx).is_pending() {
            return Poll::Pending;
        }
        if self.receiving.is_ended()
            && let Some(status) = self.half.state().failed.clone()
        {
            return Poll::Ready(Err(status));
        }
        self.receiving.poll_headers(cx)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let polled = self.receiving.poll_message(cx);
        polled.map(|message| match message {
            Some(Ok(message)) => Some(Ok(message)),
            Some(Err(status)) => Some(Err(self.settle(status))),
            None => {
                // The peer wants no more; grpc-go's client says so with the same code.
                self.half.stop(Reason::NO_ERROR);
                None
            }
        })
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.receiving.trailers()
    }
}

impl Drop for StreamingCall {
    fn drop(&mut self) {
        self.half.stop(Reason::CANCEL);
    }
}
