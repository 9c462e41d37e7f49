//! What is to be written on a stream. Values are encoded one after another, as the encoder knows what it has
//! defined, and under no lock: how a value is encoded is its owner's code.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use outboard_core::fault::Fault;
use outboard_core::lock::{Mutex, Rank};
use outboard_gob::{Encoder, Error, Limits};

/// From how many unwritten bytes on nothing further is encoded. (A choice: several times what a write of
/// the system takes, little enough to keep.)
const FULL: usize = 256 * 1024;

/// What is kept of a buffer that has been written. (A choice.)
pub(crate) const KEPT: usize = 64 * 1024;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Mutex<State>>);

struct State {
    /// With the encoder and what is unwritten, while nobody uses it.
    desk: Option<Desk>,
    /// Those who wait for the desk. All of them look when it is free: it is held for no longer than a
    /// value is encoded, and one that is not polled must not keep it from others.
    waiting: BTreeMap<u64, Waker>,
    tickets: u64,
    writer: Option<Waker>,
    stage: Stage,
}

#[derive(Clone)]
enum Stage {
    Open,
    /// What is there is still to be written.
    Closing,
    Failed(Fault),
}

struct Desk {
    encoder: Encoder,
    out: Vec<u8>,
}

/// The desk, for one value. It is given back on drop.
pub(crate) struct AtDesk {
    desk: Option<Desk>,
    outbox: Outbox,
}

/// A place among those who wait for the desk.
#[derive(Default)]
pub(crate) struct Ticket(Option<u64>);

impl Outbox {
    pub(crate) fn new(limits: Limits) -> Self {
        let desk = Desk {
            encoder: Encoder::with_limits(limits),
            out: Vec::new(),
        };
        let state = State {
            desk: Some(desk),
            waiting: BTreeMap::new(),
            tickets: 0,
            writer: None,
            stage: Stage::Open,
        };
        Self(Arc::new(Mutex::new(Rank::Call, state)))
    }

    /// The desk, once it is free and there is room.
    pub(crate) fn poll_desk(
        &self,
        ticket: &mut Ticket,
        cx: &Context<'_>,
    ) -> Poll<Result<AtDesk, Fault>> {
        let mut state = self.0.lock();
        match &state.stage {
            Stage::Open => {}
            Stage::Closing => return Poll::Ready(Err(Fault::other("this side has closed it"))),
            Stage::Failed(fault) => return Poll::Ready(Err(fault.clone())),
        }
        if let Some(desk) = state.desk.take_if(|desk| desk.out.len() < FULL) {
            let waker = ticket.0.take().and_then(|own| state.waiting.remove(&own));
            drop(state);
            drop(waker);
            return Poll::Ready(Ok(AtDesk {
                desk: Some(desk),
                outbox: self.clone(),
            }));
        }
        let own = *ticket.0.get_or_insert_with(|| {
            state.tickets += 1;
            state.tickets
        });
        let earlier = state.waiting.insert(own, cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// Whoever has this waits no more.
    pub(crate) fn leave(&self, ticket: &mut Ticket) {
        let Some(own) = ticket.0.take() else { return };
        let mut state = self.0.lock();
        let waker = state.waiting.remove(&own);
        drop(state);
        drop(waker);
    }

    /// What is to be written next, in place of `spare`, which is empty. `None` once there is nothing and
    /// nothing will be.
    pub(crate) async fn take(&self, mut spare: Vec<u8>) -> Option<Vec<u8>> {
        poll_fn(|cx| self.poll_take(&mut spare, cx)).await
    }

    fn poll_take(&self, spare: &mut Vec<u8>, cx: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut state = self.0.lock();
        if let Stage::Failed(_) = state.stage {
            return Poll::Ready(None);
        }
        let closing = matches!(state.stage, Stage::Closing);
        if let Some(desk) = &mut state.desk {
            if !desk.out.is_empty() {
                let taken = std::mem::replace(&mut desk.out, std::mem::take(spare));
                let free = state.those_in_line();
                drop(state);
                free.into_iter().for_each(Waker::wake);
                return Poll::Ready(Some(taken));
            }
            if closing {
                return Poll::Ready(None);
            }
        }
        let earlier = keep(&mut state.writer, cx);
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// Ready once nothing is to be written any more, not even what was taken.
    pub(crate) fn poll_failed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if let Stage::Failed(_) = state.stage {
            return Poll::Ready(());
        }
        let earlier = keep(&mut state.writer, cx);
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// Ready once nothing more is encoded.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if !matches!(state.stage, Stage::Open) {
            return Poll::Ready(());
        }
        let earlier = keep(&mut state.writer, cx);
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// Whether nothing is to be written any more, not even what was taken.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.0.lock().stage, Stage::Failed(_))
    }

    /// Whether nothing more is encoded.
    pub(crate) fn is_closed(&self) -> bool {
        !matches!(self.0.lock().stage, Stage::Open)
    }

    /// Nothing more is encoded; what is there is written.
    pub(crate) fn close(&self) {
        self.end(Stage::Closing);
    }

    /// Nothing is written any more.
    pub(crate) fn fail(&self, fault: Fault) {
        self.end(Stage::Failed(fault));
    }

    fn end(&self, stage: Stage) {
        let mut state = self.0.lock();
        match (&state.stage, &stage) {
            (Stage::Open, _) | (Stage::Closing, Stage::Failed(_)) => state.stage = stage,
            (Stage::Closing | Stage::Failed(_), _) => {}
        }
        let waiting = std::mem::take(&mut state.waiting);
        let writer = state.writer.take();
        drop(state);
        waiting.into_values().for_each(Waker::wake);
        wake(writer);
    }
}

impl State {
    /// Those who are to look whether the desk is free, if it is.
    fn those_in_line(&mut self) -> Vec<Waker> {
        let desk = self.desk.as_ref();
        match desk.is_some_and(|desk| desk.out.len() < FULL) {
            true => self.waiting.values().cloned().collect(),
            false => Vec::new(),
        }
    }
}

/// Has whoever polls woken. Gives the waker whose place it takes, which is dropped under no lock.
fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match slot {
        Some(known) if known.will_wake(cx.waker()) => None,
        slot => slot.replace(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl AtDesk {
    /// Appends all that `values` encodes, or nothing if it fails.
    pub(crate) fn write<R>(
        &mut self,
        values: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let desk = self.desk.as_mut().expect("there until it is given back");
        desk.encoder.together(&mut desk.out, values)
    }
}

impl Drop for AtDesk {
    fn drop(&mut self) {
        let mut state = self.outbox.0.lock();
        let desk = self.desk.take();
        let has_work = desk.as_ref().is_some_and(|desk| !desk.out.is_empty());
        state.desk = desk;
        let closing = !matches!(state.stage, Stage::Open);
        let writer = state.writer.take_if(|_| has_work || closing);
        let free = state.those_in_line();
        drop(state);
        wake(writer);
        free.into_iter().for_each(Waker::wake);
    }
}
