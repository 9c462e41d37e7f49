//! Who the streams of an id are for.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::BoxByteStream;

use crate::error::BrokerError;
use crate::load::{Place, Places};

/// Where the streams of an id go.
pub(super) enum Hand {
    Once(Arc<Slot>),
    Served(Served),
}

/// Who takes the streams of an id.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) take: TakeStream,
    /// Where each of them needs a place: in the session, and of this id.
    pub(super) places: Option<[Places; 2]>,
}

impl Served {
    /// What one stream more needs. `None` if it is one too many.
    pub(super) fn places(&self) -> Option<Vec<Place>> {
        let places = self.places.iter().flatten();
        places.map(Places::take).collect()
    }
}

/// Takes one of them, with its places, which it keeps for as long as that.
pub(super) type TakeStream = Arc<dyn Fn(BoxByteStream, Vec<Place>) + Send + Sync>;

/// Where one stream meets who waits for it.
pub(super) struct Slot(Mutex<SlotState>);

#[derive(Default)]
struct SlotState {
    outcome: Option<Result<BoxByteStream, BrokerError>>,
    waker: Option<Waker>,
}

impl Slot {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Rank::Wakers, SlotState::default())))
    }

    pub(super) fn put(&self, outcome: Result<BoxByteStream, BrokerError>) {
        let mut state = self.0.lock();
        let earlier = state.outcome.replace(outcome);
        let waker = state.waker.take();
        drop(state);
        drop(earlier);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Result<BoxByteStream, BrokerError>> {
        let mut state = self.0.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        let earlier = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }
}
