//! A caller that waits alone and reads its answer itself; see [`IoWaker`](crate::wakers::IoWaker).

use std::sync::Arc;
use std::task::Waker;
use std::thread;

use super::{State, Wait, waiter};
use crate::driver::read_as_caller;
use crate::wire::Key;

impl State {
    /// The reply of a unary call, or a wake-up when it comes.
    pub(crate) fn poll_reply<T>(
        &mut self,
        key: Key,
        waker: &Waker,
        take: impl Fn(&mut Self, Key) -> Option<T>,
    ) -> Option<T> {
        if let Some(reply) = take(self, key) {
            return Some(reply);
        }
        if self.io_waker.take_caller_woken() {
            // What is read here need not wake who reads it.
            let own = waiter(&mut self.ours, key).read.take();
            self.old_wakers
                .extend(own.filter(|own| !own.will_wake(waker)));
            read_as_caller(self);
            if let Some(reply) = take(self, key) {
                return Some(reply);
            }
        }
        self.wait(key, Wait::Read, waker);
        if self.unary == 1 && self.is_beside_driver(waker) {
            self.restore_caller(Some(waker.clone()));
        }
        None
    }

    /// Whether the caller is on the driver's thread but no task of the same executor, so most
    /// likely the future that a single-threaded runtime was given to block on. Waking that from a
    /// task costs such a runtime a further look at its events; another task it does not. If the
    /// guess is wrong, no more than a little time is lost.
    fn is_beside_driver(&self, caller: &Waker) -> bool {
        let Some(driver) = &self.driver else {
            return false;
        };
        !std::ptr::eq(driver.vtable(), caller.vtable())
            && self.driver_thread == Some(thread::current().id())
    }

    /// Lets the stream of bytes wake this caller, unless there are several by now.
    pub(crate) fn restore_caller(&mut self, caller: Option<Waker>) {
        let old = match caller {
            Some(caller) if self.unary == 1 => self.io_waker.set_caller(caller),
            caller => caller,
        };
        self.old_wakers.extend(old);
    }

    /// What is left with the stream of bytes.
    pub(crate) fn io_waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.io_waker))
    }

    /// A unary call of this side begins or ends.
    pub(crate) fn count_unary(&mut self, begins: bool) {
        if begins {
            self.unary += 1;
        } else {
            self.unary -= 1;
        }
        self.old_wakers.extend(self.io_waker.take_caller());
    }
}
