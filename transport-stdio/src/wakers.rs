//! Who is told that bytes can be read or written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The waker that is left with the stream of bytes.
///
/// It wakes the driver, which always finds out what came. It may also wake, and first, a caller who
/// waits for the only call there is: the caller then reads the answer itself and is not woken
/// through the driver. If the caller does not come to read, because it waits for something else
/// meanwhile, nothing is lost.
#[derive(Debug, Default)]
pub(crate) struct IoWaker {
    waiting: Mutex<Waiting>,
    /// The caller has been woken and has not looked yet.
    caller_woken: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    driver: Option<Waker>,
    caller: Option<Waker>,
}

impl IoWaker {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under the lock can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The driver is woken by this from now on; gives the waker that it replaces.
    #[must_use = "it is to be dropped where its task may be dropped with it"]
    pub(crate) fn set_driver(&self, waker: &Waker) -> Option<Waker> {
        self.waiting().driver.replace(waker.clone())
    }

    /// A caller is woken by this at the next event; gives the waker that it replaces.
    #[must_use = "it is to be dropped where its task may be dropped with it"]
    pub(crate) fn set_caller(&self, waker: Waker) -> Option<Waker> {
        self.waiting().caller.replace(waker)
    }

    /// No caller is woken, until one is set again.
    pub(crate) fn take_caller(&self) -> Option<Waker> {
        self.waiting().caller.take()
    }

    /// Whether a caller has been woken since this was asked last.
    pub(crate) fn take_caller_woken(&self) -> bool {
        self.caller_woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for IoWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut waiting = self.waiting();
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
