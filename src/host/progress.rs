//! How far what a plugin prints has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use outboard_core::lock::{Mutex, Rank};

/// How far the user's writers are with what the plugin prints.
#[derive(Default)]
pub(super) struct Progress {
    /// Pieces begun with, and done with.
    begun: AtomicU64,
    done: AtomicU64,
    /// The time for the last output is over: what still comes is counted and dropped.
    is_over: AtomicBool,
    lost: AtomicU64,
}

impl Progress {
    /// Begins with a piece, unless the time for that is over.
    pub(super) fn begin(&self, length: usize) -> bool {
        if self.is_over.load(Ordering::Relaxed) {
            self.lost.fetch_add(length as u64, Ordering::Relaxed);
            return false;
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The piece has been handed on.
    pub(super) fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that stays the same while nothing comes, and whether a writer is at work.
    pub(super) fn progress(&self) -> (u64, bool) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.begun.load(Ordering::Relaxed) != done)
    }

    /// How many pieces a writer has yet to take.
    pub(super) fn waiting(&self) -> u64 {
        let done = self.done.load(Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed).saturating_sub(done)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// How many bytes were dropped.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// What came of a plugin's stderr over its connection and the driver has yet to take for evidence:
/// the last of it.
pub(super) struct Said(Mutex<(Vec<u8>, Option<Waker>)>);

impl Default for Said {
    fn default() -> Self {
        Self(Mutex::new(Rank::Driver, (Vec::new(), None)))
    }
}

impl Said {
    /// Bytes kept, far more than the evidence has. What is dropped it would have dropped, too.
    const LIMIT: usize = 64 * 1024;

    pub(super) fn push(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        let (said, waker) = &mut *state;
        if said.len() + bytes.len() > Self::LIMIT {
            said.clear();
            said.push(b'\n');
        }
        said.extend_from_slice(&bytes[bytes.len().saturating_sub(Self::LIMIT)..]);
        let waker = waker.take();
        drop(state);
        wake(waker);
    }

    /// Ready with what has come since. Wakes the task that asked last.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        let mut state = self.0.lock();
        let (said, waker) = &mut *state;
        if !said.is_empty() {
            return Poll::Ready(std::mem::take(said));
        }
        let earlier = waker.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }
}

/// The last lines of a plugin's log, for errors of calls that are cut off without a reason.
#[cfg(feature = "netrpc")]
pub(super) struct LastLines(Mutex<Vec<u8>>);

#[cfg(feature = "netrpc")]
impl Default for LastLines {
    fn default() -> Self {
        Self(Mutex::new(Rank::Driver, Vec::new()))
    }
}

#[cfg(feature = "netrpc")]
impl LastLines {
    /// Bytes kept: a few lines.
    const LIMIT: usize = 4096;
    const LINES: usize = 3;

    pub(super) fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        kept.extend_from_slice(&bytes[bytes.len().saturating_sub(Self::LIMIT)..]);
        let over = kept.len().saturating_sub(Self::LIMIT);
        kept.drain(..over);
    }

    /// The last of them, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        let kept = self.0.lock().clone();
        let text = String::from_utf8_lossy(&kept);
        let lines = text.lines().rev().map(str::trim_end);
        let mut last: Vec<String> = lines
            .filter(|line| !line.is_empty())
            .take(Self::LINES)
            .map(str::to_owned)
            .collect();
        last.reverse();
        last
    }
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
