//! Streaming calls over a stable connection.
//!
//! A call that is made at once is the inside's own. One that has to wait is made by whoever brings
//! the next connection, polled or not. Where that is the connection of a process, which may turn out to have ended,
//! it waits there, and comes home to wait for the next process.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{Call, CallHead, Connection, MessageStream, Metadata, Status, Untaken};

use super::{Kind, Patience, Shared, Stable, Stage, State};

/// Where a call that waits and those who make it or give it up meet.
pub(super) struct Slot(Mutex<SlotState>);

struct SlotState {
    progress: Progress,
    waker: Option<Waker>,
    lent: Option<Lent>,
}

/// What a call that waits in the connection of a process is to that of all processes.
struct Lent {
    /// Where it goes on waiting if the process has ended.
    home: Weak<Shared>,
    /// The process's, as calls hold it.
    by: Arc<dyn Connection>,
}

enum Progress {
    Waiting(CallHead, MessageStream),
    Made(Box<dyn Call>),
    Failed(Status),
    /// Being made, or its caller has lost interest or got it.
    Taken,
}

impl Slot {
    fn new(head: CallHead, messages: MessageStream, lent: Option<Lent>) -> Arc<Self> {
        let state = SlotState {
            progress: Progress::Waiting(head, messages),
            waker: None,
            lent,
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
                let call: Box<dyn Call> = match self.take_lent() {
                    Some(lent) => Box::new(Holding {
                        call,
                        by: Some(lent.by),
                    }),
                    None => call,
                };
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

    fn take_lent(&self) -> Option<Lent> {
        self.0.lock().lent.take()
    }

    fn is_lent(&self) -> bool {
        self.0.lock().lent.is_some()
    }

    /// The connection that it waits in has ended: fails it, or has it wait where it came from.
    pub(super) fn give_back(self: &Arc<Self>, status: Status) {
        let home = self.take_lent().and_then(|lent| lent.home.upgrade());
        match home {
            Some(home) => come_home(&home, self),
            None => self.fail(status.unsent()),
        }
    }

    /// Has its caller look at it again.
    fn wake(&self) {
        let waker = self.0.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
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
    /// That of the process in whose connection it waits first.
    lent_to: Option<Arc<Shared>>,
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
        let state = shared.state.lock();
        let (inside, epoch) = match &state.stage {
            Stage::Up(inside) | Stage::Last(inside) => (Arc::clone(inside), state.epoch),
            Stage::Waiting => {
                let deadline = head.deadline;
                let slot = Slot::new(head, messages, None);
                park(state, &slot);
                return Ok(Waited::new(shared, None, slot, deadline));
            }
            Stage::Gone(status, _) => {
                let status = status.clone().unsent();
                drop(state);
                return Err(Box::new(Untaken::new(status, head, messages)));
            }
        };
        drop(state);
        if shared.kind != Kind::OfPeer
            && let Some(process) = inside.as_any().and_then(|any| any.downcast_ref())
        {
            let deadline = head.deadline;
            match wait_in(process, shared, &inside, head, messages) {
                Ok(slot) => {
                    let lent_to = Some(Arc::clone(&process.0));
                    return Ok(Waited::new(shared, lent_to, slot, deadline));
                }
                Err(call) => (head, messages) = *call,
            }
        }
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

/// Has a call wait for the next connection.
fn park(mut state: MutexGuard<'_, State>, slot: &Arc<Slot>) {
    // Those whose callers have lost interest are swept out before the list grows.
    if state.streaming.len() == state.streaming.capacity() {
        state.streaming.retain(|slot| slot.strong_count() > 0);
    }
    state.streaming.push_back(Arc::downgrade(slot));
    let wanted = state.wanted.take();
    drop(state);
    if let Some(wanted) = wanted {
        wanted.wake();
    }
}

/// Has a call wait in the connection of a process, if calls wait there; `home` is that of all processes, which has
/// this one inside as `by`.
fn wait_in(
    process: &Stable,
    home: &Arc<Shared>,
    by: &Arc<dyn Connection>,
    head: CallHead,
    messages: MessageStream,
) -> Result<Arc<Slot>, Box<(CallHead, MessageStream)>> {
    let state = process.0.state.lock();
    if !matches!(state.stage, Stage::Waiting) {
        drop(state);
        return Err(Box::new((head, messages)));
    }
    let lent = Lent {
        home: Arc::downgrade(home),
        by: Arc::clone(by),
    };
    let slot = Slot::new(head, messages, Some(lent));
    park(state, &slot);
    Ok(slot)
}

/// A call that has waited in the connection of a process which has ended is made on the next, or waits for it.
fn come_home(home: &Arc<Shared>, slot: &Arc<Slot>) {
    let mut refusals = 0;
    loop {
        let state = home.state.lock();
        let (inside, epoch) = match &state.stage {
            Stage::Up(inside) | Stage::Last(inside) => (Arc::clone(inside), state.epoch),
            Stage::Waiting => {
                park(state, slot);
                // There is another limit to its patience from now on.
                return slot.wake();
            }
            Stage::Gone(status, _) => {
                let status = status.clone().unsent();
                drop(state);
                return slot.fail(status);
            }
        };
        drop(state);
        if slot.start(&inside) {
            return;
        }
        if !home.once_more(&inside, epoch, &mut refusals) {
            let text = "no connection of the plugin takes this call";
            return slot.fail(Status::connection_lost(text).unsent());
        }
    }
}

fn failed(shared: &Arc<Shared>, status: Status) -> Box<dyn Call> {
    let slot = Arc::new(Slot(Mutex::new(
        Rank::Call,
        SlotState {
            progress: Progress::Taken,
            waker: None,
            lent: None,
        },
    )));
    let mut waited = Waited::new(shared, None, slot, None);
    waited.outcome = Outcome::Failed(status);
    waited
}

impl Waited {
    fn new(
        shared: &Arc<Shared>,
        lent_to: Option<Arc<Shared>>,
        slot: Arc<Slot>,
        deadline: Option<Instant>,
    ) -> Box<Self> {
        Box::new(Self {
            shared: Arc::clone(shared),
            lent_to,
            slot,
            deadline,
            patience: Patience::default(),
            outcome: Outcome::None,
        })
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.outcome, Outcome::None) {
            return Poll::Ready(());
        }
        self.outcome = match self.slot.poll(cx) {
            Poll::Ready(Ok(call)) => Outcome::Call(call),
            Poll::Ready(Err(status)) => Outcome::Failed(status),
            Poll::Pending => {
                let lent_to = self.lent_to.as_ref().filter(|_| self.slot.is_lent());
                let waits_in = lent_to.unwrap_or(&self.shared);
                let late = ready!(self.patience.poll(waits_in, self.deadline, cx));
                match self.slot.take() {
                    // Made at the last moment: its own deadline will end it.
                    Progress::Made(call) => Outcome::Call(call),
                    Progress::Failed(status) => Outcome::Failed(status),
                    Progress::Waiting(..) => Outcome::Failed(late),
                    // It is being made right now, by another thread.
                    Progress::Taken => Outcome::Failed(late.maybe_sent()),
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

/// A call that holds the connection of its process until its end, as those do that have not waited.
struct Holding {
    call: Box<dyn Call>,
    by: Option<Arc<dyn Connection>>,
}

impl Call for Holding {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        self.call.poll_headers(cx)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let message = self.call.poll_message(cx);
        if let Poll::Ready(None | Some(Err(_))) = &message {
            self.by = None;
        }
        message
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.call.trailers()
    }
}
