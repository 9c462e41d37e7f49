//! Where a handler is polled first: in the connection's own task, or in one of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a handler may compute before its first `await` and still be polled in the connection's
/// task. A task of its own costs a few microseconds: a handler that takes longer than this loses
/// nothing by one.
const QUICK: Duration = Duration::from_micros(100);

/// How many calls of a method must be quick, one after another, after one was not.
const PROBATION: u32 = 32;

/// How long the handlers of one turn of a connection may take together; the rest of what came with
/// them become tasks.
const TURN: Duration = Duration::from_micros(500);

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
    pub fn is_quick(&self) -> bool {
        self.missing.load(Ordering::Relaxed) == 0
    }

    /// A handler has computed for this long before it waited or answered.
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

/// One turn of a connection's task, in which it polls handlers.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    spent: Duration,
    last: Instant,
}

impl Turn {
    /// Begins now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            spent: Duration::ZERO,
            last: now,
        }
    }

    /// Goes on now, after something else.
    pub fn resume(&mut self, now: Instant) {
        self.last = now;
    }

    /// Whether the next handler is to be polled in this turn. If not, it is to become a task without
    /// a poll, whose first poll is reported with [`Pace::took`].
    #[must_use]
    pub fn takes(&self, pace: &Pace) -> bool {
        self.spent < TURN && pace.is_quick()
    }

    /// A handler was polled, since the turn began or went on, or the one before it ended.
    pub fn polled(&mut self, pace: &Pace, now: Instant) {
        let time = now.saturating_duration_since(self.last);
        pace.took(time);
        self.spent += time;
        self.last = now;
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
        let turn = Turn::new(Instant::now());
        assert!(!turn.takes(&pace), "nobody knows");
        pace.took(QUICKLY);
        assert!(turn.takes(&pace));
        pace.took(SLOWLY);
        for _ in 0..PROBATION {
            assert!(!turn.takes(&pace));
            pace.took(QUICKLY);
        }
        assert!(turn.takes(&pace));
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
        let mut turn = Turn::new(now);
        let mut polled = 0;
        while turn.takes(&quick) {
            now += SLOWLY;
            turn.resume(now);
            now += QUICK;
            turn.polled(&quick, now);
            polled += 1;
        }
        assert_eq!(polled, 5, "half a millisecond");
        assert!(quick.is_quick(), "not its fault");
        let mut turn = Turn::new(now);
        now += QUICK + QUICKLY;
        turn.polled(&slow, now);
        assert!(!turn.takes(&slow));
        assert!(turn.takes(&quick));
    }
}
