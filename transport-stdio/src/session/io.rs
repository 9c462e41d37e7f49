//! Whom the stream of bytes wakes: the driver, or one caller; see
//! [`IoWaker`](crate::wakers::IoWaker).

use std::sync::Arc;
use std::task::{Context, Waker};

use outboard_core::later::Later;

use super::{Serves, State};

impl<S: Serves> State<S> {
    /// Uses the stream of bytes, with the waker that is left with it. Whom the stream wakes
    /// meanwhile, be it who waits at its other end, is woken after the lock.
    pub(super) fn use_io<T>(&mut self, work: impl FnOnce(&mut Self, &mut Context<'_>) -> T) -> T {
        let caller = self.io_waker.hold();
        let waker = Waker::from(Arc::clone(&self.io_waker));
        let mut later = Later::default();
        let value = later.keep(|| work(self, &mut Context::from_waker(&waker)));
        self.wakes.append(&mut later.into_wakers());
        if self.io_waker.let_go() {
            self.wake_driver();
        }
        self.restore_caller(caller);
        value
    }

    /// Lets the stream of bytes wake this caller, unless there are several by now.
    pub(super) fn restore_caller(&mut self, caller: Option<Waker>) {
        let old = match caller {
            Some(caller) if self.unary == 1 => self.io_waker.set_caller(caller),
            caller => caller,
        };
        self.old_wakers.extend(old);
    }
}
