//! Whether a server takes more calls, and whether handlers of it still run.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use outboard_core::lock::atomic::{AtomicBool, AtomicUsize, Ordering};
use outboard_core::lock::{Mutex, Rank, assert_unlocked};

use crate::wakers::Clones;

/// The handlers of one server and whether it takes more.
#[derive(Debug)]
pub(crate) struct Gate {
    /// How many handlers run, each as one [`HANDLER`], and whether the server has [`STOPPED`]. In one
    /// place, so that the later one of the stop and the end of the last handler knows that it is, by
    /// the order of this alone: it wakes who waits for both.
    state: AtomicUsize,
    aborted: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

const STOPPED: usize = 1;
const HANDLER: usize = 2;

impl Default for Gate {
    fn default() -> Self {
        Self {
            state: AtomicUsize::new(0),
            aborted: AtomicBool::new(false),
            wakers: Mutex::new(Rank::Wakers, Vec::new()),
        }
    }
}

impl Gate {
    /// No more calls; with `abort`, those in progress end too.
    pub(crate) fn stop(&self, abort: bool) {
        if abort {
            self.aborted.store(true, Ordering::SeqCst);
        }
        if self.state.fetch_or(STOPPED, Ordering::SeqCst) < HANDLER {
            self.tell();
        }
    }

    /// Whether calls in progress are to end.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::SeqCst)
    }

    /// Ready when the server has stopped and no handler runs.
    pub(crate) fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waker = Clones::one(cx.waker());
        let mut wakers = self.wakers.lock();
        if self.state.load(Ordering::SeqCst) == STOPPED {
            return Poll::Ready(());
        }
        waker.remember_in(&mut wakers);
        Poll::Pending
    }

    pub(crate) fn running(&self) -> usize {
        self.state.load(Ordering::SeqCst) / HANDLER
    }

    /// The server has stopped and no handler runs.
    fn tell(&self) {
        let wakers = {
            let mut wakers = self.wakers.lock();
            std::mem::take(&mut *wakers)
        };
        assert_unlocked("a waker");
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Counts a handler as running.
#[derive(Debug)]
pub(crate) struct Running(Arc<Gate>);

impl Running {
    pub(crate) fn new(gate: &Arc<Gate>) -> Self {
        gate.state.fetch_add(HANDLER, Ordering::SeqCst);
        Self(Arc::clone(gate))
    }
}

impl Running {
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(HANDLER, Ordering::SeqCst) == HANDLER | STOPPED {
            self.0.tell();
        }
    }
}
