//! Wake-ups of others that wait until a lock is given back.
//!
//! A transport uses its stream of bytes under a lock, and a stream may have somebody to wake whom it was
//! not polled by: an end of a [pair in memory](crate::memory) wakes who waits at the other one. What
//! runs then is code of others, which has no business under a lock. So the stream leaves it to [`wake`],
//! and the transport uses the stream within [`Later::keep`].

use std::cell::Cell;
use std::fmt;
use std::task::Waker;

use crate::lock::assert_unlocked;

thread_local! {
    static KEEPING: Cell<Keeping> = const { Cell::new(Keeping { on: false, kept: 0 }) };

    /// Of all that keep on this thread, the innermost last.
    static KEPT: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
}

/// What the innermost [`Later::keep`] of the thread does. It is apart from the wakers, since there are
/// hardly ever any: to look at this costs next to nothing.
#[derive(Clone, Copy)]
struct Keeping {
    on: bool,
    kept: usize,
}

/// Wakes `waker`: at once, or, where a transport uses a stream of bytes, as soon as it has given its
/// locks back.
pub fn wake(waker: Waker) {
    let keeping = KEEPING.get();
    let mut waker = Some(waker);
    if keeping.on {
        // Where the thread ends, nothing is kept.
        let _ending = KEPT.try_with(|cell| {
            let mut kept = cell.take();
            kept.extend(waker.take());
            cell.set(kept);
            KEEPING.set(Keeping {
                on: true,
                kept: keeping.kept + 1,
            });
        });
    }
    if let Some(waker) = waker {
        assert_unlocked("a waker");
        waker.wake();
    }
}

/// Wake-ups that wait. Dropping it makes up for them.
#[derive(Default)]
pub struct Later(Vec<Waker>);

impl Later {
    /// Runs `work`, within which those to [`wake`] are kept in here.
    #[inline]
    pub fn keep<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let inner = Keeping { on: true, kept: 0 };
        let _end = End {
            outer: KEEPING.replace(inner),
            later: self,
        };
        work()
    }

    /// The last so many that were kept.
    fn take_over(&mut self, count: usize) {
        let _ending = KEPT.try_with(|cell| {
            let mut kept = cell.take();
            let before = kept.len().saturating_sub(count);
            self.0.extend(kept.drain(before..));
            cell.set(kept);
        });
    }

    /// Whether nobody is to be woken.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those who are to be woken, by whom it is passed to.
    #[inline]
    #[must_use = "they wait to be woken"]
    pub fn into_wakers(mut self) -> Vec<Waker> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Later {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            assert_unlocked("a waker");
            self.0.drain(..).for_each(Waker::wake);
        }
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Later").field(&self.0.len()).finish()
    }
}

/// Ends a [`Later::keep`], also when that panics.
struct End<'a> {
    later: &'a mut Later,
    outer: Keeping,
}

impl Drop for End<'_> {
    #[inline]
    fn drop(&mut self) {
        let kept = KEEPING.replace(self.outer).kept;
        if kept > 0 {
            self.later.take_over(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::lock::{Mutex, Rank};

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            assert_unlocked("a waker");
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counted() -> (Waker, impl Fn() -> usize) {
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        (waker, move || counted.0.load(Ordering::SeqCst))
    }

    #[test]
    fn who_is_woken_under_a_lock_is_woken_after_it() {
        let (waker, count) = counted();
        wake(waker.clone());
        assert_eq!(count(), 1);
        let lock = Mutex::new(Rank::Session, ());
        let mut later = Later::default();
        for _ in 0..2 {
            let _held = lock.lock();
            later.keep(|| wake(waker.clone()));
        }
        assert_eq!(count(), 1);
        drop(later);
        assert_eq!(count(), 3);
        wake(waker);
        assert_eq!(count(), 4, "nothing is kept any more");
    }

    #[test]
    fn each_keeps_its_own() {
        let (waker, count) = counted();
        let (mut outer, mut inner) = (Later::default(), Later::default());
        outer.keep(|| {
            inner.keep(|| wake(waker.clone()));
            wake(waker.clone());
        });
        let wakers = inner.into_wakers();
        assert_eq!((wakers.len(), count()), (1, 0));
        drop(outer);
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_panic_loses_nobody() {
        let (waker, count) = counted();
        let mut later = Later::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            later.keep(|| {
                wake(waker.clone());
                panic!("the stream has a fault");
            });
        }));
        assert!(panicked.is_err());
        drop(later);
        assert_eq!(count(), 1);
        wake(waker);
        assert_eq!(count(), 2, "nothing is kept any more");
    }
}
