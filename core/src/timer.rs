//! The table that holds a machine's timers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The armed timers of one machine, by the kinds that it has itself: at most one of each.
///
/// Finding the next one and arming one take time logarithmic in the number of armed timers.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    deadlines: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            deadlines: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// Arms `kind` to expire `after` from `now`, moving it if it was armed. A time beyond what the
    /// clock can hold never comes: the timer is disarmed, so `Duration::MAX` means "no limit".
    pub fn arm(&mut self, kind: K, now: Instant, after: Duration) {
        self.disarm(kind);
        if let Some(at) = now.checked_add(after) {
            self.deadlines.insert(kind, at);
            self.order.insert((at, kind));
        }
    }

    /// Takes `kind` back, if it is armed.
    pub fn disarm(&mut self, kind: K) {
        if let Some(at) = self.deadlines.remove(&kind) {
            self.order.remove(&(at, kind));
        }
    }

    /// Takes all back.
    pub fn clear(&mut self) {
        self.deadlines.clear();
        self.order.clear();
    }

    /// The earliest.
    #[must_use]
    pub fn next(&self) -> Option<(Instant, K)> {
        self.order.first().copied()
    }

    /// Disarms and gives the earliest timer whose time has come. Since it is disarmed first, acting
    /// on it can fail or arm it again without its being offered twice.
    pub fn pop_expired(&mut self, now: Instant) -> Option<K> {
        let (at, kind) = self.next()?;
        if at > now {
            return None;
        }
        self.disarm(kind);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Kind {
        Once,
        Of(u32),
        Moved,
    }

    #[test]
    fn timers_expire_in_order_and_once() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::default();
        timers.arm(Kind::Once, start, 2 * second);
        timers.arm(Kind::Of(7), start, second);
        timers.arm(Kind::Moved, start, 9 * second);
        timers.arm(Kind::Moved, start, 3 * second);
        assert_eq!(timers.next(), Some((start + second, Kind::Of(7))));
        assert_eq!(timers.pop_expired(start), None);
        let late = start + 3 * second;
        assert_eq!(timers.pop_expired(late), Some(Kind::Of(7)));
        assert_eq!(timers.pop_expired(late), Some(Kind::Once));
        assert_eq!(timers.pop_expired(late), Some(Kind::Moved));
        assert_eq!(timers.pop_expired(late), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_time_that_never_comes_is_not_armed() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(Kind::Once, start, Duration::from_secs(1));
        timers.arm(Kind::Once, start, Duration::MAX);
        assert_eq!(timers.next(), None);
    }
}
