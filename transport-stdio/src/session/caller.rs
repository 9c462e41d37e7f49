//! A caller that waits alone and reads its answer itself; see [`IoWaker`](crate::wakers::IoWaker).

use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;

use super::{State, Wait, waiter};
use crate::driver::read_as_caller;
use crate::wakers::Clones;
use crate::wire::Key;

impl State {
    /// The reply of a unary call, or a wake-up when it comes. Takes two clones.
    pub(crate) fn poll_reply<T>(
        &mut self,
        key: Key,
        waker: &mut Clones<'_>,
        take: impl Fn(&mut Self, Key) -> Option<T>,
    ) -> Option<T> {
        if let Some(reply) = take(self, key) {
            return Some(reply);
        }
        if self.io_waker.take_caller_woken() {
            // What is read here need not wake who reads it.
            let own = waiter(&mut self.ours, key).read.take();
            self.old_wakers.extend(waker.put_back(own));
            read_as_caller(self);
            if let Some(reply) = take(self, key) {
                return Some(reply);
            }
        }
        self.wait_for_reply(key, waker);
        None
    }

    /// Wakes who waits for the reply of a unary call when it comes. Takes two clones.
    pub(crate) fn wait_for_reply(&mut self, key: Key, waker: &mut Clones<'_>) {
        self.wait(key, Wait::Read, waker);
        if self.unary == 1 && self.is_beside_driver(waker.original()) {
            self.restore_caller(Some(waker.take()));
        }
    }

    /// Whether the caller is on the driver's thread but no task of the same executor, so most
    /// likely the future that a single-threaded runtime was given to block on. Waking that from a
    /// task costs such a runtime a further look at its events; another task it does not. If the
    /// guess is wrong, no more than a little time is lost.
    fn is_beside_driver(&self, caller: &Waker) -> bool {
        let Some(driver) = &self.driver else {
            return false;
        };
        !std::ptr::eq(driver.inner().vtable(), caller.vtable())
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

    /// Uses the stream of bytes, with the waker that is left with it. Whom the stream wakes
    /// meanwhile is woken after the lock.
    pub(crate) fn use_io<T>(&mut self, work: impl FnOnce(&mut Self, &mut Context<'_>) -> T) -> T {
        let caller = self.io_waker.hold();
        let waker = Waker::from(Arc::clone(&self.io_waker));
        let value = work(self, &mut Context::from_waker(&waker));
        if self.io_waker.let_go() {
            self.wake_driver();
        }
        self.restore_caller(caller);
        value
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
