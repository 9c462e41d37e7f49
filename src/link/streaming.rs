//! Streaming calls over a stable connection.
//!
//! A call that is made at once is the inside's own. One that has to wait is made by whoever brings
//! the next connection, polled or not.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{Call, CallHead, Connection, MessageStream, Metadata, Status, Untaken};

use super::{Patience, Shared, Stage};

/// Where a call that waits and those who make it or give it up meet.
pub(super) struct Slot(Mutex<SlotState>);

struct SlotState {
    progress: Progress,
    waker: Option<Waker>,
}

enum Progress {
    Waiting(CallHead, MessageStream),
    Made(Box<dyn Call>),
    Failed(Status),
    /// Being made, or its caller has lost interest or got it.
    Taken,
}

impl Slot {
    fn new(head: CallHead, messages: MessageStream) -> Arc<Self> {
        let state = SlotState {
            progress: Progress::Waiting(head, messages),
            waker: None,
        };
        Arc::new(Self(Mutex::new(Rank::Call, state)))
    }

    /// Makes the call over this connection. False if that does not take it.
    pub(super) fn start(&self, inside: &Arc<dyn Connection>) -> bool {
        let Some((head, messages)) = self.take_waiting() else {
            return true;
        };
        match inside.try_open(head, messages) {
            Ok(call) => {
                self.put(Progress::Made(call));
                true
            }
            Err(untaken) => {
                let Untaken { head, message, .. } = *untaken;
                self.put(Progress::Waiting(head, message));
                false
            }
        }
    }

    pub(super) fn fail(&self, status: Status) {
        if let Some(waiting) = self.take_waiting() {
            self.put(Progress::Failed(status));
            drop(waiting);
        }
    }

    fn take_waiting(&self) -> Option<(CallHead, MessageStream)> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut state.progress, Progress::Taken) {
            Progress::Waiting(head, messages) => Some((head, messages)),
            progress @ (Progress::Made(_) | Progress::Failed(_) | Progress::Taken) => {
                state.progress = progress;
                None
            }
        }
    }

    fn take(&self) -> Progress {
        std::mem::replace(&mut self.0.lock().progress, Progress::Taken)
    }

    fn put(&self, progress: Progress) {
        let mut state = self.0.lock();
        let before = std::mem::replace(&mut state.progress, progress);
        let waker = state.waker.take();
        drop(state);
        drop(before);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready with the call or its failure.
    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Box<dyn Call>, Status>> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut state.progress, Progress::Taken) {
            Progress::Made(call) => Poll::Ready(Ok(call)),
            Progress::Failed(status) => Poll::Ready(Err(status)),
            progress @ (Progress::Waiting(..) | Progress::Taken) => {
                state.progress = progress;
                let earlier = state.waker.replace(cx.waker().clone());
                drop(state);
                drop(earlier);
                Poll::Pending
            }
        }
    }
}

/// A call that waits for a connection, or has waited.
struct Waited {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    deadline: Option<Instant>,
    patience: Patience,
    outcome: Outcome,
}

enum Outcome {
    None,
    Call(Box<dyn Call>),
    /// To be told once.
    Failed(Status),
    Told,
}

pub(super) fn open(shared: &Arc<Shared>, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
    try_open(shared, head, messages).unwrap_or_else(|untaken| failed(shared, untaken.status))
}

/// Makes the call, or gives it back if no connection takes it and none is to come.
pub(super) fn try_open(
    shared: &Arc<Shared>,
    mut head: CallHead,
    mut messages: MessageStream,
) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
    let mut refusals = 0;
    loop {
        let mut state = shared.state.lock();
        let (inside, epoch) = match &state.stage {
            Stage::Up(inside) | Stage::Last(inside) => (Arc::clone(inside), state.epoch),
            Stage::Waiting => {
                let deadline = head.deadline;
                let slot = Slot::new(head, messages);
                // Those whose callers have lost interest are swept out before the list grows.
                if state.streaming.len() == state.streaming.capacity() {
                    state.streaming.retain(|slot| slot.strong_count() > 0);
                }
                state.streaming.push_back(Arc::downgrade(&slot));
                let wanted = state.wanted.take();
                drop(state);
                if let Some(wanted) = wanted {
                    wanted.wake();
                }
                return Ok(Box::new(Waited {
                    shared: Arc::clone(shared),
                    slot,
                    deadline,
                    patience: Patience::default(),
                    outcome: Outcome::None,
                }));
            }
            Stage::Gone(status, _) => {
                let status = status.clone().unsent();
                drop(state);
                return Err(Box::new(Untaken::new(status, head, messages)));
            }
        };
        drop(state);
        let untaken = match inside.try_open(head, messages) {
            Ok(call) => return Ok(call),
            Err(untaken) => *untaken,
        };
        if !shared.once_more(&inside, epoch, &mut refusals) {
            let Untaken {
                status,
                head,
                message,
                ..
            } = untaken;
            return Err(Box::new(Untaken::new(status.unsent(), head, message)));
        }
        (head, messages) = (untaken.head, untaken.message);
    }
}

fn failed(shared: &Arc<Shared>, status: Status) -> Box<dyn Call> {
    Box::new(Waited {
        shared: Arc::clone(shared),
        slot: Arc::new(Slot(Mutex::new(
            Rank::Call,
            SlotState {
                progress: Progress::Taken,
                waker: None,
            },
        ))),
        deadline: None,
        patience: Patience::default(),
        outcome: Outcome::Failed(status),
    })
}

impl Waited {
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.outcome, Outcome::None) {
            return Poll::Ready(());
        }
        self.outcome = match self.slot.poll(cx) {
            Poll::Ready(Ok(call)) => Outcome::Call(call),
            Poll::Ready(Err(status)) => Outcome::Failed(status),
            Poll::Pending => {
                let late = ready!(self.patience.poll(&self.shared, self.deadline, cx));
                match self.slot.take() {
                    // Made at the last moment: its own deadline will end it.
                    Progress::Made(call) => Outcome::Call(call),
                    Progress::Failed(status) => Outcome::Failed(status),
                    Progress::Waiting(..) | Progress::Taken => Outcome::Failed(late),
                }
            }
        };
        Poll::Ready(())
    }
}

impl Call for Waited {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        if self.poll_outcome(cx).is_pending() {
            return Poll::Pending;
        }
        match &mut self.outcome {
            Outcome::Call(call) => call.poll_headers(cx),
            Outcome::Failed(status) => Poll::Ready(Err(status.clone())),
            Outcome::None | Outcome::Told => Poll::Pending,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.poll_outcome(cx).is_pending() {
            return Poll::Pending;
        }
        if let Outcome::Call(call) = &mut self.outcome {
            return call.poll_message(cx);
        }
        match std::mem::replace(&mut self.outcome, Outcome::Told) {
            Outcome::Failed(status) => Poll::Ready(Some(Err(status))),
            Outcome::None | Outcome::Call(_) | Outcome::Told => Poll::Ready(None),
        }
    }

    fn trailers(&self) -> Option<&Metadata> {
        match &self.outcome {
            Outcome::Call(call) => call.trailers(),
            Outcome::None | Outcome::Failed(_) | Outcome::Told => None,
        }
    }
}

impl Drop for Waited {
    fn drop(&mut self) {
        // The caller's messages go with the caller, also while somebody else holds the slot.
        drop(self.slot.take());
    }
}
