//! Something that is told once, to any number of those who wait for it.
//!
//! Those of the libraries wake under a lock of their own, which whoever is woken or dropped there may
//! come back to.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::lock::{Mutex, Rank};

/// Who tells. Its drop tells that there is nothing to tell.
///
/// Wakers are woken and dropped under no lock.
pub struct Teller<T>(Arc<Mutex<State<T>>>);

/// Who waits. `None` if there was nothing to tell.
///
/// It may be polled again after it was ready, and is ready then. Dropping it loses nothing.
pub struct Told<T> {
    state: Arc<Mutex<State<T>>>,
    /// Its place among those who wait.
    place: Option<NonZeroU64>,
}

enum State<T> {
    Waited {
        by: BTreeMap<NonZeroU64, Waker>,
        places: u64,
    },
    Over(Option<T>),
}

impl<T> Teller<T> {
    /// One that has told nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let waited = State::Waited {
            by: BTreeMap::new(),
            places: 0,
        };
        Self(Arc::new(Mutex::new(Rank::Wakers, waited)))
    }

    /// What resolves when it is told.
    #[must_use]
    pub fn told(&self) -> Told<T> {
        Told {
            state: Arc::clone(&self.0),
            place: None,
        }
    }

    /// What is told first counts.
    pub fn tell(&self, value: T) {
        self.settle(Some(value));
    }

    /// What was told, if anything was.
    #[must_use]
    pub fn value(&self) -> Option<T>
    where
        T: Clone,
    {
        match &*self.0.lock() {
            State::Waited { .. } => None,
            State::Over(value) => value.clone(),
        }
    }

    fn settle(&self, value: Option<T>) {
        let mut state = self.0.lock();
        if matches!(&*state, State::Over(_)) {
            return;
        }
        let before = std::mem::replace(&mut *state, State::Over(value));
        drop(state);
        if let State::Waited { by, .. } = before {
            by.into_values().for_each(Waker::wake);
        }
    }
}

impl<T> Default for Teller<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Teller<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_over = self.told().is_over();
        f.debug_struct("Teller").field("is_over", &is_over).finish()
    }
}

impl<T> fmt::Debug for Told<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_over = self.is_over();
        f.debug_struct("Told").field("is_over", &is_over).finish()
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

impl<T> Told<T> {
    /// Whether it is ready.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(&*self.state.lock(), State::Over(_))
    }
}

impl<T> Clone for Told<T> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            place: None,
        }
    }
}

impl<T: Clone> Future for Told<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let mut state = this.state.lock();
        let (by, places) = match &mut *state {
            State::Waited { by, places } => (by, places),
            State::Over(value) => return Poll::Ready(value.clone()),
        };
        let place = *this.place.get_or_insert_with(|| {
            let next = NonZeroU64::MIN.saturating_add(*places);
            *places += 1;
            next
        });
        let earlier = by.insert(place, cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }
}

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.state.lock();
        let waker = match &mut *state {
            State::Waited { by, .. } => by.remove(&place),
            State::Over(_) => None,
        };
        drop(state);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Asks again when it is woken, and when it is dropped.
    struct Asks {
        told: Told<u32>,
        answered: Arc<AtomicUsize>,
    }

    impl Asks {
        fn ask(&self) {
            let mut told = self.told.clone();
            let mut cx = Context::from_waker(Waker::noop());
            if Pin::new(&mut told).poll(&mut cx) == Poll::Ready(Some(7)) {
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    impl Wake for Asks {
        fn wake(self: Arc<Self>) {
            self.ask();
        }
    }

    impl Drop for Asks {
        fn drop(&mut self) {
            self.ask();
        }
    }

    fn poll<T: Clone>(told: &mut Told<T>, waker: &Waker) -> Poll<Option<T>> {
        Pin::new(told).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn who_is_woken_or_dropped_may_ask_again() {
        let teller = Teller::new();
        let answered = Arc::new(AtomicUsize::new(0));
        let asks = || {
            Waker::from(Arc::new(Asks {
                told: teller.told(),
                answered: Arc::clone(&answered),
            }))
        };
        let mut told = teller.told();
        assert_eq!(poll(&mut told, &asks()), Poll::Pending);
        // Takes the place of the one before, which is dropped.
        assert_eq!(poll(&mut told, &asks()), Poll::Pending);
        let mut given_up = teller.told();
        assert_eq!(poll(&mut given_up, &asks()), Poll::Pending);
        drop(given_up);
        assert_eq!(answered.load(Ordering::Relaxed), 0);
        teller.tell(7);
        assert_eq!(answered.load(Ordering::Relaxed), 2, "woken and dropped");
        assert_eq!(poll(&mut told, Waker::noop()), Poll::Ready(Some(7)));
        assert_eq!(poll(&mut told, Waker::noop()), Poll::Ready(Some(7)));
    }

    #[test]
    fn the_first_counts_and_a_drop_tells_that_there_is_nothing() {
        let teller = Teller::new();
        assert_eq!((teller.value(), teller.told().is_over()), (None, false));
        teller.tell(1);
        teller.tell(2);
        assert_eq!((teller.value(), teller.told().is_over()), (Some(1), true));
        let mut told = teller.told();
        drop(teller);
        assert_eq!(poll(&mut told, Waker::noop()), Poll::Ready(Some(1)));
        let teller = Teller::<u32>::new();
        let mut told = teller.told();
        assert_eq!(poll(&mut told, Waker::noop()), Poll::Pending);
        drop(teller);
        assert_eq!(poll(&mut told, Waker::noop()), Poll::Ready(None));
    }
}
