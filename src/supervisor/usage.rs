//! Which calls are in flight, and when the last one ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::SharedRuntime;

/// The calls of a plugin that is stopped when there are none. Clones are the same.
#[derive(Clone)]
pub(super) struct Usage(Arc<Counts>);

struct Counts {
    runtime: SharedRuntime,
    in_flight: AtomicUsize,
    last: Mutex<Option<Instant>>,
}

/// A call in flight, or one that waits to be.
pub(super) struct Used(Usage);

impl Usage {
    pub(super) fn new(runtime: &SharedRuntime) -> Self {
        Self(Arc::new(Counts {
            runtime: Arc::clone(runtime),
            in_flight: AtomicUsize::new(0),
            last: Mutex::new(Rank::Driver, None),
        }))
    }

    pub(super) fn begin(&self) -> Used {
        self.0.in_flight.fetch_add(1, Ordering::SeqCst);
        Used(self.clone())
    }

    /// Whether there is no call now and was none since then.
    pub(super) fn is_unused(&self, since: Instant) -> bool {
        self.0.in_flight.load(Ordering::SeqCst) == 0 && self.last().is_none_or(|last| last <= since)
    }

    /// When the last call ended; `None` while there is one.
    pub(super) fn since(&self) -> Option<Instant> {
        let none = self.0.in_flight.load(Ordering::SeqCst) == 0;
        none.then(|| self.last()).flatten()
    }

    fn last(&self) -> Option<Instant> {
        *self.0.last.lock()
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let counts = &self.0.0;
        let now = counts.runtime.now();
        *counts.last.lock() = Some(now);
        counts.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
