//! A caller that waits alone and reads its answer itself; see [`IoWaker`](crate::wakers::IoWaker).
//!
//! Without it the connection's task is woken to read and wakes the caller in turn, which is one more
//! system call for each call that is made alone, and some three per cent of its processor time.

use std::task::Waker;
use std::thread;

use outboard_core::turn::Turn;

use super::exchange::{Step, exchange};
use super::{Serves, State, Wait, waiter};
use crate::wakers::Clones;
use crate::wire::Key;

impl<S: Serves> State<S> {
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

/// Reads for a caller that the stream of bytes has woken. The driver does all that the caller must
/// not, such as starting handlers. It was woken with the caller, but may have run before what is read
/// here came, so it is woken again if there is something to do for it.
fn read_as_caller<S: Serves>(state: &mut State<S>) {
    if state.lost.is_some() || state.closed.is_some() || state.serving.has_work() {
        return;
    }
    let step = exchange(state, &mut Turn::new());
    let waits = matches!(step, Step::Wait) && !state.serving.has_work();
    // A loss is kept in the state: the driver finds it there. If there is more to read, nobody is
    // told of it, as the stream of bytes lets nobody wait.
    if !waits {
        state.wake_driver();
    }
}
