//! The requests of a call, on their way out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::{Reason, SendStream};
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::guard::{Panicked, Whose};
use outboard_core::rpc::{Gone, OutMessage, Outlet, Pump, Pumped, Status};
use outboard_core::rt::SharedRuntime;
use outboard_core::turn::Turn;

use super::Shared;
use crate::outgoing::Outgoing;
use crate::panic::tell_panic;

/// Sends what `pump` has: in a task, unless that is there already, as the one message of a
/// server-streaming call is.
pub(super) fn send(shared: &Arc<Shared>, stream: SendStream<Bytes>, pump: Pump) -> Arc<Half> {
    let half = Half::new(stream);
    let mut sending = RequestTask {
        half: Arc::clone(&half),
        pump,
        is_over: false,
        outlet: RequestOutlet {
            shared: Arc::clone(shared),
            outgoing: Outgoing::default(),
            stream: None,
        },
    };
    let first = Pin::new(&mut sending).poll(&mut Context::from_waker(Waker::noop()));
    if first.is_pending() {
        shared.runtime.spawn(Box::pin(sending));
    }
    half
}

/// The sending half, shared by the call and the pump that feeds it.
pub(super) struct Half {
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
    fn new(stream: SendStream<Bytes>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(
                Rank::Call,
                HalfState {
                    stream: Some(stream),
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

    /// Why this side cancelled the call, if its messages failed.
    pub(super) fn take_failed(&self) -> Option<Status> {
        self.state().failed.take()
    }

    /// This side cancels the call, for this reason.
    fn fail(&self, mut stream: SendStream<Bytes>, status: Status) {
        let mut state = self.state();
        if let Some(reason) = state.stopped {
            drop(state);
            return stream.send_reset(reason);
        }
        state.failed = Some(status);
        drop(state);
        // Wakes the reader, which then finds the status.
        stream.send_reset(Reason::CANCEL);
    }

    /// Ends the call on the wire, if it has not ended there, and stops the pump.
    pub(super) fn stop(&self, reason: Reason) {
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
struct RequestTask {
    half: Arc<Half>,
    pump: Pump,
    outlet: RequestOutlet,
    is_over: bool,
}

/// What HTTP/2 offers to whoever sends requests.
struct RequestOutlet {
    shared: Arc<Shared>,
    outgoing: Outgoing,
    /// Here while the task is polled, so that the caller's code never runs under the lock.
    stream: Option<SendStream<Bytes>>,
}

impl RequestOutlet {
    /// Ready when the end of the messages has been sent with the last of them.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match &mut self.stream {
            Some(stream) => self.outgoing.poll_sent(cx, stream, true),
            None => Poll::Ready(Err(Gone)),
        }
    }
}

impl Outlet for RequestOutlet {
    fn runtime(&self) -> &SharedRuntime {
        &self.shared.runtime
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match &mut self.stream {
            Some(stream) => self.outgoing.poll_sent(cx, stream, false),
            None => Poll::Ready(Err(Gone)),
        }
    }

    fn send(&mut self, message: OutMessage) -> Result<(), Status> {
        self.outgoing.push(message, self.shared.limit)
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        match &mut self.stream {
            Some(stream) => self.outgoing.poll_idle(cx, stream),
            None => Poll::Ready(Gone),
        }
    }

    fn tell_panic(whose: Whose<'_>, panicked: &Panicked) {
        tell_panic(whose, panicked);
    }
}

impl RequestTask {
    /// Ready when nothing more is to be sent; with why this side cancels the call, if it does.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        match ready!(self.pump.poll(&mut self.outlet, &mut Turn::new(), cx)) {
            Pumped::All => self.outlet.poll_end(cx).map(|_| None),
            Pumped::Failed(status) => Poll::Ready(Some(status)),
            Pumped::Gone => Poll::Ready(None),
        }
    }
}

impl RequestTask {
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.half.pump.register(cx.waker());
        let Some(stream) = self.half.state().stream.take() else {
            return Poll::Ready(());
        };
        self.outlet.stream = Some(stream);
        let sent = self.poll_sent(cx);
        let Some(mut stream) = self.outlet.stream.take() else {
            return Poll::Ready(());
        };
        let mut state = self.half.state();
        if let Some(reason) = state.stopped {
            drop(state);
            stream.send_reset(reason);
            return Poll::Ready(());
        }
        if let Poll::Ready(Some(status)) = sent {
            drop(state);
            self.half.fail(stream, status);
            return Poll::Ready(());
        }
        state.stream = Some(stream);
        sent.map(drop)
    }
}

impl Future for RequestTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_all(cx);
        self.is_over = polled.is_ready();
        polled
    }
}

/// A task that is dropped before its end, by a runtime that shuts down, ends its call.
impl Drop for RequestTask {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.half.state();
        let Some(mut stream) = state.stream.take() else {
            return;
        };
        drop(state);
        // What the call is told of the end of the connection says more, as does an answer.
        let mut cx = Context::from_waker(Waker::noop());
        if stream.poll_reset(&mut cx).is_pending() {
            self.half.fail(stream, Pump::dropped());
        }
    }
}
