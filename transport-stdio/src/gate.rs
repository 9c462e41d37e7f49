//! Whether a server takes more calls, and whether handlers of it still run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use outboard_core::lock::{Mutex, Rank, assert_unlocked};

use crate::wakers::Clones;

/// The handlers of one server and whether it takes more.
#[derive(Debug)]
pub(crate) struct Gate {
    running: AtomicUsize,
    stopped: AtomicBool,
    aborted: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            running: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
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
        self.stopped.store(true, Ordering::SeqCst);
        self.tell();
    }

    /// Whether calls in progress are to end.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::SeqCst)
    }

    /// Ready when the server has stopped and no handler runs.
    pub(crate) fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waker = Clones::one(cx.waker());
        let mut wakers = self.wakers.lock();
        if self.stopped.load(Ordering::SeqCst) && self.running.load(Ordering::SeqCst) == 0 {
            return Poll::Ready(());
        }
        waker.remember_in(&mut wakers);
        Poll::Pending
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    fn tell(&self) {
        if self.stopped.load(Ordering::SeqCst) {
            let wakers = {
                let mut wakers = self.wakers.lock();
                std::mem::take(&mut *wakers)
            };
            assert_unlocked("a waker");
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// Counts a handler as running.
#[derive(Debug)]
pub(crate) struct Running(Arc<Gate>);

impl Running {
    pub(crate) fn new(gate: &Arc<Gate>) -> Self {
        gate.running.fetch_add(1, Ordering::SeqCst);
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
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.tell();
    }
}
