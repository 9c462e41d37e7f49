//! How many records of a log are handed on.

use std::time::{Duration, Instant};

/// Lets so many records through per second, and counts the others.
///
/// A second's worth may come at once. A plugin that logs in a loop would otherwise decide what its
/// host does with its time.
#[derive(Clone, Debug)]
pub struct RateLimit {
    per_second: u32,
    /// What is left of the present second, in records.
    left: u32,
    /// When the present second began; none before the first record.
    began: Option<Instant>,
    dropped: u64,
}

impl RateLimit {
    /// So many records per second; [`u32::MAX`] for no limit.
    #[must_use]
    pub const fn new(per_second: u32) -> Self {
        Self {
            per_second,
            left: per_second,
            began: None,
            dropped: 0,
        }
    }

    /// Whether a record that comes now is handed on; counts it if not.
    pub fn allow(&mut self, now: Instant) -> bool {
        if self.per_second == u32::MAX {
            return true;
        }
        let is_over = |began: Instant| now.saturating_duration_since(began) >= SECOND;
        if self.began.is_none_or(is_over) {
            self.began = Some(now);
            self.left = self.per_second;
        }
        if self.left == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.left -= 1;
        true
    }

    /// When the records dropped so far are to be told of, if there are any.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.dropped > 0).then_some(self.began?.checked_add(SECOND)?)
    }

    /// How many were dropped since this was asked last, once their second is over or with `end`.
    pub fn take_dropped(&mut self, now: Instant, end: bool) -> Option<u64> {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        (self.dropped > 0 && (end || is_due)).then(|| std::mem::take(&mut self.dropped))
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_passes_and_the_rest_is_counted_once() {
        let start = Instant::now();
        let mut limit = RateLimit::new(3);
        let passed = |limit: &mut RateLimit, now| (0..10).filter(|_| limit.allow(now)).count();
        assert_eq!(passed(&mut limit, start), 3);
        assert_eq!(limit.poll_timeout(), Some(start + SECOND));
        assert_eq!(limit.take_dropped(start, false), None, "more may follow");
        assert_eq!(passed(&mut limit, start + SECOND / 2), 0);
        assert_eq!(limit.take_dropped(start + SECOND, false), Some(17));
        assert_eq!(limit.take_dropped(start + SECOND, true), None);
        assert_eq!(limit.poll_timeout(), None);
        assert_eq!(passed(&mut limit, start + SECOND), 3);
        assert_eq!(limit.take_dropped(start + SECOND, true), Some(7), "the end");
    }

    #[test]
    fn nothing_and_everything_are_limits_too() {
        let now = Instant::now();
        assert!(!RateLimit::new(0).allow(now));
        let mut without = RateLimit::new(u32::MAX);
        assert!((0..1000).all(|_| without.allow(now)));
    }
}
