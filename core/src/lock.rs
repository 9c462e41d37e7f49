//! The locks of outboard's crates, which debug builds watch.
//!
//! Code of others (a service, a waker, a runtime's `spawn`) may come back into outboard, or drop
//! what lets go of something in it. Under a lock of ours that is a deadlock that shows once in a
//! thousand runs. So two rules hold everywhere, and a build with debug assertions panics where one
//! is broken, on the first run and without a second thread:
//!
//! - locks are taken in the order of their [`Rank`]s, one of each rank at a time;
//! - nothing of others is called, polled or dropped while any is held: the places where that
//!   happens say so with [`assert_unlocked`], or hold a [`Watched`].
//!
//! In release builds all of this is a [`std::sync::Mutex`]. The page `docs/locks.md` has the list.
//!
//! With `--cfg outboard_model` the locks and atomics are loom's, for the models in which every order
//! of steps of several threads is tried (`.ci/models`). The ranks are not watched there: its threads
//! share one of the system's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};

#[cfg(outboard_model)]
use loom::sync;
#[cfg(not(outboard_model))]
use std::sync;

/// The atomics beside the locks.
pub mod atomic {
    pub use super::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
}

/// Which lock it is, in the order of taking: while one is held, only those further down may be
/// taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Rank {
    /// The state of a broker.
    Broker,
    /// The state of a stable connection: which one is current, who waits for the next.
    Link,
    /// What a driver and the handles of a host or plugin share.
    Driver,
    /// A session of calls over the pipes of a plugin, or the calling side of an HTTP/2 connection.
    Session,
    /// One half of a call.
    Call,
    /// The bytes of a connection: the runtime's IO objects are polled under this one and under
    /// [`Session`](Self::Session), and nothing else is.
    Bytes,
    /// The streams of a yamux session: what stands above a stream uses it under one of those before,
    /// and the session's own connection is read and written under this one.
    Streams,
    /// Lists of wakers.
    Wakers,
    /// What the process as a whole has one of, such as its streams.
    Process,
    /// What a plugin has printed and logged and nobody has taken yet.
    Backlog,
    /// An IO object of a runtime.
    Source,
    /// The tables of a runtime's reactor.
    Reactor,
}

#[cfg(all(debug_assertions, not(outboard_model)))]
mod watch {
    use super::Rank;
    use std::cell::Cell;
    use std::marker::PhantomData;

    thread_local! {
        /// The ranks held by this thread, a bit for each.
        static HELD: Cell<u32> = const { Cell::new(0) };
    }

    const ALL: [Rank; 12] = [
        Rank::Broker,
        Rank::Link,
        Rank::Driver,
        Rank::Session,
        Rank::Call,
        Rank::Bytes,
        Rank::Streams,
        Rank::Wakers,
        Rank::Process,
        Rank::Backlog,
        Rank::Source,
        Rank::Reactor,
    ];

    fn names(held: u32) -> Vec<Rank> {
        ALL.into_iter()
            .filter(|rank| held & rank.bit() != 0)
            .collect()
    }

    impl Rank {
        const fn bit(self) -> u32 {
            1 << self as u8
        }
    }

    /// The thread's ranks; none while the thread ends.
    fn held() -> u32 {
        HELD.try_with(Cell::get).unwrap_or(0)
    }

    /// Not `Send`, as a lock's guard.
    pub(super) struct Held(Rank, PhantomData<*const ()>);

    impl Held {
        #[track_caller]
        pub(super) fn new(rank: Rank) -> Self {
            let before = held();
            // A thread that panics already is not to be aborted for this.
            assert!(
                before < rank.bit() || std::thread::panicking(),
                "the lock {rank:?} is taken while this thread holds {:?}",
                names(before)
            );
            let _ending = HELD.try_with(|held| held.set(before | rank.bit()));
            Self(rank, PhantomData)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let _ending = HELD.try_with(|held| held.set(held.get() & !self.0.bit()));
        }
    }

    #[track_caller]
    pub(super) fn assert_unlocked(what: &str) {
        let held = held();
        assert!(
            held == 0 || std::thread::panicking(),
            "{what} runs while this thread holds {:?}",
            names(held)
        );
    }
}

#[cfg(not(all(debug_assertions, not(outboard_model))))]
mod watch {
    use super::Rank;

    pub(super) struct Held;

    impl Held {
        #[inline(always)]
        pub(super) fn new(_: Rank) -> Self {
            Self
        }
    }
}

/// Says that code of others (`what`, for the message) is called, polled or dropped here.
///
/// # Panics
/// With debug assertions, if this thread holds a [`Mutex`] of this module.
#[inline(always)]
#[track_caller]
pub fn assert_unlocked(what: &str) {
    #[cfg(all(debug_assertions, not(outboard_model)))]
    watch::assert_unlocked(what);
    #[cfg(not(all(debug_assertions, not(outboard_model))))]
    let _ = what;
}

/// A field for what belongs to others, such as a table of services: the whole must not be dropped
/// under a lock, which debug builds assert. Takes no space.
#[derive(Clone, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it holds nothing")]
pub struct Watched;

#[cfg(debug_assertions)]
impl Drop for Watched {
    fn drop(&mut self) {
        assert_unlocked("the drop of what belongs to others");
    }
}

/// That a lock of this rank is held, until dropped: for a lock that cannot be a [`Mutex`], such as
/// one with a condition variable. Take it before the lock, and drop it after.
#[must_use = "it is held until this is dropped"]
pub struct Held {
    _watch: watch::Held,
}

impl Held {
    /// A lock of this rank is being taken.
    ///
    /// # Panics
    /// With debug assertions, if this thread holds one of the same or a later rank.
    #[inline(always)]
    #[track_caller]
    pub fn new(rank: Rank) -> Self {
        Self {
            _watch: watch::Held::new(rank),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// A [`std::sync::Mutex`] that debug builds watch; see the [module](self). A panic under it does
/// not poison it: what it guards must make sense at any time, or belong to one task alone.
pub struct Mutex<T> {
    rank: Rank,
    inner: sync::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A lock of this rank around `value`.
    #[cfg(not(outboard_model))]
    pub const fn new(rank: Rank, value: T) -> Self {
        Self {
            rank,
            inner: sync::Mutex::new(value),
        }
    }

    /// A lock of this rank around `value`.
    #[cfg(outboard_model)]
    pub fn new(rank: Rank, value: T) -> Self {
        Self {
            rank,
            inner: sync::Mutex::new(value),
        }
    }

    /// Waits for the lock and takes it.
    ///
    /// # Panics
    /// With debug assertions, if this thread holds a lock of the same or a later rank.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let held = Held::new(self.rank);
        MutexGuard {
            guard: self.inner.lock().unwrap_or_else(PoisonError::into_inner),
            _held: held,
        }
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Panics
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = Held::new(self.rank);
        let guard = match self.inner.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { guard, _held: held })
    }

    /// The value, which nobody else can have locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    /// Leaves the value out: showing it would take the lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("rank", &self.rank)
            .finish_non_exhaustive()
    }
}

/// A [`Mutex`] that is held until this is dropped.
#[must_use = "the lock is held until this is dropped"]
pub struct MutexGuard<'a, T> {
    // In this order: held until after it was given back.
    guard: sync::MutexGuard<'a, T>,
    _held: Held,
}

impl<'a, T> MutexGuard<'a, T> {
    /// Has `wait` wait with the guard of the standard library, for those who have a condition
    /// variable. It counts as held meanwhile: this thread does nothing else.
    pub fn wait(
        self,
        wait: impl FnOnce(sync::MutexGuard<'a, T>) -> sync::MutexGuard<'a, T>,
    ) -> Self {
        let Self { guard, _held } = self;
        Self {
            guard: wait(guard),
            _held,
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::guard::catch_panic;

    #[test]
    fn a_panic_under_the_lock_leaves_the_value() {
        let mut lock = Mutex::new(Rank::Broker, 1);
        let panicked = catch_panic(|| {
            *lock.lock() = 2;
            let _guard = lock.lock();
            panic!("under it");
        });
        assert!(panicked.is_err());
        assert_eq!(*lock.lock(), 2);
        *lock.get_mut() += 1;
        assert_eq!(lock.into_inner(), 3);
    }

    #[test]
    fn a_condition_can_be_waited_for() {
        let lock = Mutex::new(Rank::Driver, 1);
        let guard = lock.lock().wait(|mut guard| {
            *guard += 1;
            guard
        });
        assert_eq!(*guard, 2);
    }

    #[cfg(debug_assertions)]
    mod watched {
        use super::*;

        /// What it panics with. `catch_panic` itself asserts that nothing is locked.
        fn message(work: impl FnOnce()) -> String {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let panic = panic.expect_err("it is refused");
            panic.downcast_ref::<String>().expect("a text").clone()
        }

        #[test]
        fn locks_are_taken_in_the_order_of_their_ranks() {
            let broker = Mutex::new(Rank::Broker, ());
            let session = Mutex::new(Rank::Session, ());
            let other = Mutex::new(Rank::Session, ());
            drop((broker.lock(), session.lock()));
            let text = message(|| drop((session.lock(), broker.lock())));
            assert_eq!(
                text,
                "the lock Broker is taken while this thread holds [Session]"
            );
            let text = message(|| drop((session.lock(), other.lock())));
            assert!(text.contains("Session is taken"), "two of one rank: {text}");
            let text = message(|| drop((session.lock(), session.lock())));
            assert!(
                text.contains("Session is taken"),
                "instead of a hang: {text}"
            );
            // Whatever was refused has left nothing behind.
            assert_unlocked("this");
            drop(broker.lock());
        }

        #[test]
        fn guards_may_be_dropped_in_any_order() {
            let broker = Mutex::new(Rank::Broker, ());
            let session = Mutex::new(Rank::Session, ());
            let outer = broker.lock();
            let inner = session.lock();
            drop(outer);
            message(|| drop(broker.lock()));
            drop(inner);
            drop(broker.lock());
        }

        #[test]
        fn code_of_others_runs_without_any() {
            let lock = Mutex::new(Rank::Reactor, ());
            let guard = lock.lock();
            let text = message(|| assert_unlocked("a handler"));
            assert_eq!(text, "a handler runs while this thread holds [Reactor]");
            let text = message(|| drop(Watched));
            assert!(text.contains("the drop of"), "{text}");
            let text = message(|| drop(catch_panic(|| ())));
            assert!(text.contains("[Reactor]"), "{text}");
            // Another thread holds none.
            std::thread::scope(|scope| {
                scope.spawn(|| assert_unlocked("there"));
            });
            drop(guard);
            assert_unlocked("a handler");
        }

        #[test]
        fn a_router_is_dropped_without_any() {
            let lock = Mutex::new(Rank::Broker, ());
            let router = crate::rpc::Router::new();
            let text = message(|| {
                let _guard = lock.lock();
                drop(router);
            });
            assert!(text.contains("the drop of"), "{text}");
        }

        #[test]
        fn another_kind_of_lock_can_say_that_it_is_held() {
            let held = Held::new(Rank::Driver);
            let text = message(|| drop(Mutex::new(Rank::Broker, ()).lock()));
            assert!(text.contains("[Driver]"), "{text}");
            drop(held);
            drop(Mutex::new(Rank::Broker, ()).lock());
        }
    }
}
