//! Who is told that bytes can be read or written.

use std::sync::Arc;
use std::task::{Wake, Waker};

use outboard_core::lock::atomic::{AtomicBool, Ordering};
use outboard_core::lock::{Mutex, Rank};

/// A waker of somebody else that can be passed on under a lock: its own code, which `clone` would
/// run, is not asked for that.
#[derive(Debug)]
pub(crate) struct Shared(Waker);

impl Shared {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self(waker))
    }

    pub(crate) fn inner(&self) -> &Waker {
        &self.0
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Clones of a waker, made before a lock is taken, for whoever finds under the lock that it has to
/// be remembered. What is not used is dropped with this, after the lock.
#[derive(Debug)]
pub(crate) struct Clones<'a> {
    of: &'a Waker,
    made: [Option<Waker>; 3],
}

impl<'a> Clones<'a> {
    /// For one place to remember it in.
    pub(crate) fn one(of: &'a Waker) -> Self {
        let made = [Some(of.clone()), None, None];
        Self { of, made }
    }

    /// For two places.
    pub(crate) fn two(of: &'a Waker) -> Self {
        let made = [Some(of.clone()), Some(of.clone()), None];
        Self { of, made }
    }

    pub(crate) fn original(&self) -> &'a Waker {
        self.of
    }

    pub(crate) fn take(&mut self) -> Waker {
        let made = self.made.iter_mut().find_map(Option::take);
        debug_assert!(made.is_some(), "as many clones as places were asked for");
        made.unwrap_or_else(|| self.of.clone())
    }

    /// Takes back what was remembered and is not needed now, if it is a clone of the same waker and
    /// there is room; gives it to be dropped elsewhere if not.
    #[must_use = "it is to be dropped after the lock"]
    pub(crate) fn put_back(&mut self, waker: Option<Waker>) -> Option<Waker> {
        let room = self.made.iter_mut().find(|slot| slot.is_none());
        match (waker, room) {
            (Some(waker), Some(room)) if waker.will_wake(self.of) => {
                *room = Some(waker);
                None
            }
            (waker, _) => waker,
        }
    }

    /// Puts one into a list of wakers that does not have it.
    pub(crate) fn remember_in(&mut self, wakers: &mut Vec<Waker>) {
        if !wakers.iter().any(|known| known.will_wake(self.of)) {
            wakers.push(self.take());
        }
    }
}

/// The waker that is left with the stream of bytes.
///
/// It wakes the driver, which always finds out what came. It may also wake, and first, a caller who
/// waits for the only call there is: the caller then reads the answer itself and is not woken
/// through the driver. If the caller does not come to read, because it waits for something else
/// meanwhile, nothing is lost.
///
/// While the stream of bytes is in use, which is under the session's lock, it only takes note: a
/// stream may wake whom it lets wait, and so would run code of the executor under the lock.
#[derive(Debug)]
pub(crate) struct IoWaker {
    waiting: Mutex<Waiting>,
    /// The caller has been woken and has not looked yet.
    caller_woken: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    driver: Option<Arc<Shared>>,
    caller: Option<Waker>,
    /// The stream of bytes is in use.
    held: bool,
    /// Woken meanwhile.
    woken: bool,
}

impl Default for IoWaker {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Rank::Wakers, Waiting::default()),
            caller_woken: AtomicBool::new(false),
        }
    }
}

impl IoWaker {
    /// The driver is woken by this from now on; gives the waker that it replaces.
    #[must_use = "it is to be dropped where its task may be dropped with it"]
    pub(crate) fn set_driver(&self, waker: Arc<Shared>) -> Option<Arc<Shared>> {
        self.waiting.lock().driver.replace(waker)
    }

    /// A caller is woken by this at the next event; gives the waker that it replaces.
    #[must_use = "it is to be dropped where its task may be dropped with it"]
    pub(crate) fn set_caller(&self, waker: Waker) -> Option<Waker> {
        self.waiting.lock().caller.replace(waker)
    }

    /// No caller is woken, until one is set again.
    pub(crate) fn take_caller(&self) -> Option<Waker> {
        self.waiting.lock().caller.take()
    }

    /// Whether a caller has been woken since this was asked last.
    pub(crate) fn take_caller_woken(&self) -> bool {
        self.caller_woken.swap(false, Ordering::AcqRel)
    }

    /// The stream of bytes is used from now on. Gives the caller, who is not woken by what its own
    /// or another's reading does.
    pub(crate) fn hold(&self) -> Option<Waker> {
        let mut waiting = self.waiting.lock();
        waiting.held = true;
        waiting.caller.take()
    }

    /// The stream of bytes is not used any more. Whether it has woken this meanwhile.
    #[must_use = "the driver is to be woken then"]
    pub(crate) fn let_go(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.held = false;
        std::mem::take(&mut waiting.woken)
    }
}

impl Wake for IoWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut waiting = self.waiting.lock();
        if waiting.held {
            waiting.woken = true;
            return;
        }
        let (caller, driver) = (waiting.caller.take(), waiting.driver.clone());
        drop(waiting);
        if let Some(caller) = caller {
            self.caller_woken.store(true, Ordering::Release);
            caller.wake();
        }
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

#[cfg(all(test, not(outboard_model)))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn while_the_stream_is_used_wake_ups_wait() {
        let counted = Arc::new(Counted::default());
        let count = || counted.0.load(Ordering::SeqCst);
        let io = Arc::new(IoWaker::default());
        let driver = Shared::new(Waker::from(Arc::clone(&counted)));
        assert!(io.set_driver(driver).is_none());
        io.wake_by_ref();
        assert_eq!(count(), 1);
        assert!(io.hold().is_none());
        io.wake_by_ref();
        io.wake_by_ref();
        assert_eq!(count(), 1);
        assert!(io.let_go(), "to be made up for");
        io.hold();
        assert!(!io.let_go());
        io.wake_by_ref();
        assert_eq!(count(), 2);
    }

    #[test]
    fn clones_are_made_before_and_used_once() {
        let waker = Waker::from(Arc::new(Counted::default()));
        let mut clones = Clones::two(&waker);
        let mut list = Vec::new();
        clones.remember_in(&mut list);
        clones.remember_in(&mut list);
        assert_eq!(list.len(), 1, "it is there already");
        assert!(clones.take().will_wake(&waker));
    }
}
