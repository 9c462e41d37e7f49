//! What a session may be made to keep and to do by its peer, over all of its streams together.
//!
//! Nothing here refuses a call: a stream whose turn it is not is not read, so that its window closes and its
//! peer waits. Streams and instances that are too many are refused, as nobody waits for those.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use outboard_core::lock::{Mutex, Rank};

/// How much may be there at once. (Choices; Go has no bounds.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Calls that run.
    pub(crate) calls: usize,
    /// Bytes of arguments that come or that calls have, without what is [free](Self::free) of each.
    pub(crate) bytes: usize,
    /// Bytes of each argument that are not counted: the numbers of calls and of streams bound those. So
    /// small calls go on while large ones wait, and with them what large ones may be waiting for.
    pub(crate) free: usize,
}

/// Those of a session.
pub(crate) const BOUNDS: Bounds = Bounds {
    calls: 4096,
    bytes: 64 << 20,
    free: 16 << 10,
};

/// What the calls of several streams hold together. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Load(Arc<Shared>);

struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: usize,
    /// Bytes that are counted of arguments of calls that run.
    running: usize,
    /// Bytes that are counted of arguments whose end has not come.
    coming: usize,
    /// The one argument that may go on coming although there is too much.
    exempt: Option<u64>,
    streams: u64,
    waiting: BTreeMap<u64, Waker>,
}

/// One of the streams: the argument that comes on it.
pub(crate) struct Coming {
    load: Load,
    stream: u64,
    counted: usize,
}

/// A call that runs, with its argument.
pub(crate) struct Running {
    load: Load,
    counted: usize,
}

impl Load {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Shared {
            bounds,
            state: Mutex::new(Rank::Wakers, State::default()),
        }))
    }

    /// One stream more.
    pub(crate) fn stream(&self) -> Coming {
        let mut state = self.0.state.lock();
        state.streams += 1;
        let stream = state.streams;
        drop(state);
        Coming {
            load: self.clone(),
            stream,
            counted: 0,
        }
    }

    /// Changes something for the better: all who wait look whether they may go on. They are no more than
    /// there are streams.
    fn lighten(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state.lock();
        change(&mut state);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
    }
}

impl Coming {
    /// Waits until one more call may run.
    pub(crate) fn poll_call(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll(cx, |state, bounds| state.calls < bounds.calls)
    }

    /// Waits until more of the argument may be read, of which `kept` bytes are there.
    ///
    /// If nothing but what comes is there, and it is too much, one of them goes on all the same: otherwise
    /// none would ever be whole.
    pub(crate) fn poll_more(&mut self, kept: usize, cx: &Context<'_>) -> Poll<()> {
        let counted = kept.saturating_sub(self.load.0.bounds.free);
        let before = std::mem::replace(&mut self.counted, counted);
        let stream = self.stream;
        self.poll(cx, |state, bounds| {
            state.coming = state.coming - before + counted;
            if counted == 0 || state.running + state.coming <= bounds.bytes {
                return true;
            }
            let may = state.running == 0 && state.exempt.is_none_or(|exempt| exempt == stream);
            if may {
                state.exempt = Some(stream);
            }
            may
        })
    }

    fn poll(&self, cx: &Context<'_>, may: impl FnOnce(&mut State, Bounds) -> bool) -> Poll<()> {
        let mut state = self.load.0.state.lock();
        if may(&mut state, self.load.0.bounds) {
            let waker = state.waiting.remove(&self.stream);
            drop(state);
            drop(waker);
            return Poll::Ready(());
        }
        let earlier = state.waiting.insert(self.stream, cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// What came was no argument, or nobody keeps it.
    pub(crate) fn forget(&mut self) {
        let (stream, counted) = (self.stream, std::mem::take(&mut self.counted));
        if counted > 0 {
            self.load.lighten(|state| state.gone(stream, counted));
        }
    }

    /// A call begins with an argument of this size.
    pub(crate) fn begin(&mut self, size: usize) -> Running {
        let counted = size.saturating_sub(self.load.0.bounds.free);
        let before = std::mem::take(&mut self.counted);
        let mut state = self.load.0.state.lock();
        state.gone(self.stream, before);
        state.calls += 1;
        state.running += counted;
        drop(state);
        Running {
            load: self.load.clone(),
            counted,
        }
    }
}

impl State {
    /// What came on this stream comes no more.
    fn gone(&mut self, stream: u64, counted: usize) {
        self.coming -= counted;
        self.exempt.take_if(|exempt| *exempt == stream);
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let (stream, counted) = (self.stream, self.counted);
        let mut waker = None;
        self.load.lighten(|state| {
            waker = state.waiting.remove(&stream);
            state.gone(stream, counted);
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.load.lighten(|state| {
            state.calls -= 1;
            state.running -= self.counted;
        });
    }
}

/// Places of which there are so many. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Places {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// One of them, until it is dropped.
pub(crate) struct Place(Places);

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        let taken = Arc::new(AtomicUsize::new(0));
        Self { taken, most }
    }

    /// How many there are.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// `None` if all are taken.
    pub(crate) fn take(&self) -> Option<Place> {
        let more = |taken: usize| (taken < self.most).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    const SMALL: Bounds = Bounds {
        calls: 3,
        bytes: 100,
        free: 10,
    };

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn may(poll: Poll<()>) -> bool {
        poll.is_ready()
    }

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn nothing_is_left(load: &Load) {
        let state = load.0.state.lock();
        let sums = (state.calls, state.running, state.coming);
        assert_eq!(sums, (0, 0, 0));
        assert!(state.exempt.is_none() && state.waiting.is_empty());
    }

    #[test]
    fn calls_are_counted_over_all_streams() {
        let load = Load::new(SMALL);
        let (mut one, mut other) = (load.stream(), load.stream());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut calls = vec![one.begin(1), other.begin(1)];
        assert!(may(one.poll_call(&cx())));
        calls.push(one.begin(1));
        assert!(!may(one.poll_call(&cx())));
        assert!(!may(other.poll_call(&Context::from_waker(&waker))));
        calls.pop();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(may(other.poll_call(&cx())));
        drop((calls, one, other));
        nothing_is_left(&load);
    }

    #[test]
    fn large_arguments_wait_and_small_ones_do_not() {
        let load = Load::new(SMALL);
        let (mut one, mut other) = (load.stream(), load.stream());
        assert!(may(one.poll_more(90, &cx())));
        let call = one.begin(105);
        assert!(may(other.poll_more(15, &cx())), "5 of them count: 100");
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(!may(other.poll_more(16, &Context::from_waker(&waker))));
        // What is within what is free goes on, whatever there is.
        let mut third = load.stream();
        assert!(may(third.poll_more(10, &cx())));
        drop(third.begin(10));
        assert!(!may(other.poll_more(16, &Context::from_waker(&waker))));
        let before = woken.0.load(Ordering::Relaxed);
        drop(call);
        assert_eq!(woken.0.load(Ordering::Relaxed), before + 1);
        assert!(may(other.poll_more(16, &cx())));
        other.forget();
        drop((one, other, third));
        nothing_is_left(&load);
    }

    #[test]
    fn one_alone_always_goes_through() {
        let load = Load::new(SMALL);
        let mut one = load.stream();
        for kept in [50, 150, 100_000] {
            assert!(may(one.poll_more(kept, &cx())));
        }
        let call = one.begin(100_000);
        assert!(!may(one.poll_more(200, &cx())), "one at a time");
        drop(call);
        assert!(may(one.poll_more(200, &cx())));
        drop(one);
        nothing_is_left(&load);
    }

    #[test]
    fn of_several_that_are_too_much_together_one_goes_on_at_a_time() {
        let load = Load::new(SMALL);
        let mut streams: Vec<_> = (0..3).map(|_| load.stream()).collect();
        for stream in &mut streams {
            // 50 count of each.
            let _may_or_not = stream.poll_more(60, &cx());
        }
        let go_on = |streams: &mut [Coming]| -> Vec<bool> {
            let each = streams.iter_mut();
            each.map(|stream| may(stream.poll_more(60, &cx())))
                .collect()
        };
        assert_eq!(go_on(&mut streams), [false, false, true]);
        let call = streams[2].begin(60);
        assert_eq!(go_on(&mut streams[..2]), [false, false], "it runs");
        drop(call);
        assert_eq!(go_on(&mut streams[..2]), [true, true]);
        // One whose stream ends makes room for the next.
        assert_eq!(go_on(&mut streams), [true, true, true]);
        assert_eq!(go_on(&mut streams), [false, false, true]);
        streams.pop();
        assert_eq!(go_on(&mut streams), [true, true]);
        streams.clear();
        nothing_is_left(&load);
    }

    #[test]
    fn places_come_back() {
        let places = Places::new(2);
        let taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(taken.len(), places.most());
        drop(taken);
        assert!(places.take().is_some());
    }
}
