//! Where a handler is polled first: in the connection's own task, or in one of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::turn::Turn;

/// How long a handler may compute before its first `await` and still be polled in the connection's
/// task. A task of its own costs a few microseconds: a handler that takes longer than this loses
/// nothing by one.
const QUICK: Duration = Duration::from_micros(100);

/// How many calls of a method must be quick, one after another, after one was not.
const PROBATION: u32 = 32;

/// What is known of how long the handlers of one method compute before they first wait.
///
/// Polling a handler in the task that has read its request saves a task and a wake-up, which is much
/// for a handler that answers at once. But that task also reads and writes for all the other calls:
/// while a handler computes there, its siblings, health checks and cancellations stand still. How long
/// a handler takes is only known afterwards. So a method begins in tasks of its own, moves into the
/// connection's once a call has shown that it is quick, and out again for 32 calls with each that was
/// not. All connections of a server share what was learned.
///
/// A handler that is slow once in a while, after calls that were quick, holds its siblings up that
/// once.
#[derive(Debug)]
pub struct Pace {
    /// How many quick calls are missing.
    missing: AtomicU32,
}

impl Pace {
    /// Of a method that was never called.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            missing: AtomicU32::new(1),
        }
    }

    /// Whether its handlers are expected to be quick.
    #[must_use]
    #[inline]
    pub fn is_quick(&self) -> bool {
        self.missing.load(Ordering::Relaxed) == 0
    }

    /// Whether the next handler is to be polled in this turn of the connection's task, in which the time
    /// of handlers is counted. If not, it is to become a task without a poll, whose first poll is
    /// reported with [`took`](Self::took).
    #[must_use]
    #[inline]
    pub fn fits(&self, turn: &Turn) -> bool {
        turn.has_time() && self.is_quick()
    }

    /// A handler was polled in this turn, since the turn began or went on, or the one before it ended.
    #[inline]
    pub fn polled(&self, turn: &mut Turn, now: Instant) {
        self.took(turn.lap(now));
    }

    /// A handler has computed for this long before it waited or answered.
    #[inline]
    pub fn took(&self, time: Duration) {
        let missing = self.missing.load(Ordering::Relaxed);
        let after = if time > QUICK {
            PROBATION
        } else {
            missing.saturating_sub(1)
        };
        // Written only when there is news, since the threads of all connections read it. One that
        // gets lost between two threads is made up for by the next call.
        if after != missing {
            self.missing.store(after, Ordering::Relaxed);
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICKLY: Duration = Duration::from_micros(2);
    const SLOWLY: Duration = Duration::from_millis(200);

    #[test]
    fn a_method_is_a_task_until_it_was_quick_and_again_after_it_was_slow() {
        let pace = Pace::new();
        let turn = Turn::new();
        assert!(!pace.fits(&turn), "nobody knows");
        pace.took(QUICKLY);
        assert!(pace.fits(&turn));
        pace.took(SLOWLY);
        for _ in 0..PROBATION {
            assert!(!pace.fits(&turn));
            pace.took(QUICKLY);
        }
        assert!(pace.fits(&turn));
    }

    #[test]
    fn a_slow_call_starts_the_probation_over() {
        let pace = Pace::new();
        pace.took(SLOWLY);
        (1..PROBATION).for_each(|_| pace.took(QUICKLY));
        pace.took(SLOWLY);
        (1..PROBATION).for_each(|_| pace.took(QUICKLY));
        assert!(!pace.is_quick());
        pace.took(QUICKLY);
        assert!(pace.is_quick());
    }

    #[test]
    fn each_handler_of_a_turn_counts_for_itself_and_all_for_the_turn() {
        let (quick, slow) = (Pace::new(), Pace::new());
        quick.took(QUICKLY);
        slow.took(QUICKLY);
        let mut now = Instant::now();
        let mut turn = Turn::new();
        let mut polled = 0;
        while quick.fits(&turn) {
            now += SLOWLY;
            turn.resume(now);
            now += QUICK;
            quick.polled(&mut turn, now);
            polled += 1;
        }
        assert_eq!(polled, 5, "half a millisecond");
        assert!(quick.is_quick(), "not its fault");
        let mut turn = Turn::new();
        turn.resume(now);
        now += QUICK + QUICKLY;
        slow.polled(&mut turn, now);
        assert!(!slow.fits(&turn));
        assert!(quick.fits(&turn));
    }
}
