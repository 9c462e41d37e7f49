//! How many plugins start at once.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use outboard_core::lock::{Mutex, Rank};
use outboard_core::supervisor::Starts;

/// How many plugins start at once, of all whose hosts are given it
/// ([`Host::start_limit`](crate::Host::start_limit)). Clones are the same limit.
///
/// ```no_run
/// # use outboard::{Host, StartLimit, Supervision, Tokio};
/// # fn example(hosts: Vec<Host>) {
/// let limit = StartLimit::new(4);
/// let plugins: Vec<_> = hosts
///     .into_iter()
///     .map(|host| host.start_limit(&limit).supervise(Supervision::new(), Tokio::current()))
///     .collect();
/// # }
/// ```
#[derive(Clone)]
pub struct StartLimit(Arc<Mutex<Places>>);

struct Places {
    starts: Starts,
    waiting: BTreeMap<u64, Waker>,
}

/// A place among those that start, or in the line for one. Dropping it gives it to the next.
pub(crate) struct Place {
    limit: StartLimit,
    number: u64,
}

impl StartLimit {
    /// So many at once; zero is taken for one.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        let places = Places {
            starts: Starts::new(at_once),
            waiting: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(Rank::Wakers, places)))
    }

    /// A place in the line.
    pub(crate) fn ask(&self) -> Place {
        let number = self.0.lock().starts.ask();
        Place {
            limit: self.clone(),
            number,
        }
    }

    /// Waits for a place.
    pub(crate) fn place(&self) -> impl Future<Output = Place> + Send + use<> {
        Waits(Some(self.ask()))
    }
}

impl Place {
    /// Ready once it is one among those that start.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut places = self.limit.0.lock();
        if places.starts.may_start(self.number) {
            return Poll::Ready(());
        }
        let earlier = places.waiting.insert(self.number, cx.waker().clone());
        drop(places);
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.limit.0.lock();
        let own = places.waiting.remove(&self.number);
        let next = places.starts.leave(self.number);
        let waker = next.and_then(|next| places.waiting.remove(&next));
        drop(places);
        drop(own);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Waits(Option<Place>);

impl Future for Waits {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        let ready = self
            .0
            .as_ref()
            .is_some_and(|place| place.poll(cx).is_ready());
        match ready.then(|| self.0.take()).flatten() {
            Some(place) => Poll::Ready(place),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for StartLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starts = self.0.lock().starts.clone();
        f.debug_tuple("StartLimit").field(&starts).finish()
    }
}
