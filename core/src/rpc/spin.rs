//! Looking again for a while before sleeping: when that is worth it, as a machine.

use std::time::{Duration, Instant};

/// Decides whether who has nothing to read looks again at once instead of letting its thread sleep.
///
/// Waking a processor that sleeps takes longer than many an answer: some 35 microseconds on virtual
/// machines. Where the other side runs on another processor, looking again for a time of that order
/// finds the answer sooner, and costs less processor time than the sleep and the wake-up. Where it
/// shares the processor, looking again only keeps it from running. So this watches what comes of
/// it: each wait that was in vain makes the number of waits that are not tried before the next sixteen
/// times as large, and each success halves it again. A success is tried again at once, so that many
/// in a row are soon back at no pause at all, while one by chance (the system may let the other side
/// run meanwhile) costs a single wait more. Less than four successes in five turn it off.
///
/// ```text
///            bytes                     time is up
/// Awake <------------- Looking -----------------------> Asleep
///   |                     ^                               |
///   +---- idle, tried ----+      bytes                    |
///   ^                                                     |
///   +-----------------------------------------------------+
/// ```
#[derive(Clone, Debug)]
pub struct Spin {
    limit: Duration,
    phase: Phase,
    /// The exponent of the pause after the next wait in vain.
    misses: u32,
    /// How many waits more are not tried.
    pause: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// There was something to read.
    Awake,
    /// Nothing has come so far. Until then; for ever if the clock does not count so far.
    Looking(Option<Instant>),
    /// Nothing has come in time, or it was not tried.
    Asleep,
}

/// What a wait in vain weighs, where a success weighs one. (Measured: with equal weights a shared
/// processor, where every second wait succeeds, is never left alone.)
const MISS: u32 = 4;

/// At the most one wait in 2^10 is tried: what is lost with those is too little to be
/// measured, and a peer that has moved to another processor is found again soon.
const MOST_MISSES: u32 = 10;

impl Spin {
    /// Looks for at most `limit` at a time; zero never looks, [`Duration::MAX`] never stops.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self {
            limit,
            phase: Phase::Awake,
            misses: 0,
            pause: 0,
        }
    }

    /// Whether this ever looks again; if not there is no need to ask, or to read the clock.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !self.limit.is_zero()
    }

    /// Bytes have been read.
    pub fn handle_bytes(&mut self) {
        if let Phase::Looking(_) = self.phase {
            self.misses = self.misses.saturating_sub(1);
        }
        self.phase = Phase::Awake;
    }

    /// There is nothing to read. Whether to look again at once.
    pub fn handle_idle(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Asleep => false,
            Phase::Looking(until) if until.is_none_or(|until| now < until) => true,
            Phase::Looking(_) => {
                self.misses = (self.misses + MISS).min(MOST_MISSES);
                self.pause = (1 << self.misses) - 1;
                self.phase = Phase::Asleep;
                false
            }
            Phase::Awake if self.is_on() && self.pause == 0 => {
                self.phase = Phase::Looking(now.checked_add(self.limit));
                true
            }
            Phase::Awake => {
                self.pause = self.pause.saturating_sub(1);
                self.phase = Phase::Asleep;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(20);

    /// Waits that end after this time each; how many of them looked.
    fn waits(spin: &mut Spin, now: &mut Instant, length: Duration, count: usize) -> usize {
        let mut looked = 0;
        for _ in 0..count {
            let end = *now + length;
            let mut looking = spin.handle_idle(*now);
            looked += usize::from(looking);
            while looking && *now < end {
                *now += Duration::from_micros(1);
                looking = spin.handle_idle(*now);
            }
            *now = end;
            spin.handle_bytes();
        }
        looked
    }

    fn start() -> Instant {
        // The core reads no clock; any instant does.
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    #[test]
    fn short_waits_are_all_looked_through() {
        let (mut spin, mut now) = (Spin::new(LIMIT), start());
        let short = Duration::from_micros(5);
        assert_eq!(waits(&mut spin, &mut now, short, 1000), 1000);
    }

    #[test]
    fn long_waits_turn_it_off_and_short_ones_on_again() {
        let (mut spin, mut now) = (Spin::new(LIMIT), start());
        let long = Duration::from_millis(1);
        let looked = waits(&mut spin, &mut now, long, 100_000);
        assert!((50..200).contains(&looked), "{looked}");
        let short = Duration::from_micros(5);
        let looked = waits(&mut spin, &mut now, short, 10_000);
        assert!(looked >= 8_900, "{looked}");
    }

    #[test]
    fn a_wait_looks_no_longer_than_the_limit() {
        let (mut spin, now) = (Spin::new(LIMIT), start());
        assert!(spin.handle_idle(now));
        assert!(spin.handle_idle(now + LIMIT / 2));
        assert!(!spin.handle_idle(now + LIMIT));
        assert!(!spin.handle_idle(now), "asleep until bytes come");
    }

    #[test]
    fn without_a_limit_it_never_looks() {
        let (mut spin, mut now) = (Spin::new(Duration::ZERO), start());
        assert!(!spin.is_on());
        let short = Duration::from_micros(5);
        assert_eq!(waits(&mut spin, &mut now, short, 100), 0);
    }

    #[test]
    fn any_limit_will_do() {
        let (mut spin, now) = (Spin::new(Duration::MAX), start());
        assert!(spin.handle_idle(now));
        assert!(spin.handle_idle(now + Duration::from_secs(1 << 30)));
        spin.handle_bytes();
        assert!(spin.handle_idle(now));
    }
}
