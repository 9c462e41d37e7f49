//! The restarts that count against the budget.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::policy::Budget;

/// The restarts of the last while, as many as the budget allows.
#[derive(Clone, Debug)]
pub(super) struct Spent {
    budget: Budget,
    times: VecDeque<Instant>,
}

impl Spent {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            times: VecDeque::new(),
        }
    }

    /// Takes note of a restart, if there may be another.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        if self.budget.restarts == u32::MAX {
            return true;
        }
        let within = self.budget.within;
        while let Some(first) = self.times.front()
            && within != Duration::MAX
            && now.saturating_duration_since(*first) >= within
        {
            self.times.pop_front();
        }
        if self.times.len() >= self.budget.restarts as usize {
            return false;
        }
        self.times.push_back(now);
        true
    }

    pub(super) fn start_over(&mut self) {
        self.times.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_within_the_window_and_no_more() {
        let mut now = Instant::now();
        let second = Duration::from_secs(1);
        let mut spent = Spent::new(Budget::new(3, 10 * second));
        for _ in 0..3 {
            assert!(spent.spend(now));
            now += second;
        }
        assert!(!spent.spend(now));
        assert!(!spent.spend(now + 6 * second), "the first is 9 s old");
        now += 7 * second;
        assert!(spent.spend(now), "the first is 10 s old");
        assert!(!spent.spend(now));
        spent.start_over();
        assert!(spent.spend(now));
    }

    #[test]
    fn none_and_any_number_are_budgets_too() {
        let now = Instant::now();
        assert!(!Spent::new(Budget::new(0, Duration::MAX)).spend(now));
        let mut any = Spent::new(Budget::new(u32::MAX, Duration::MAX));
        assert!((0..1000).all(|_| any.spend(now)));
        assert!(any.times.is_empty(), "nothing grows");
        let mut for_good = Spent::new(Budget::new(1, Duration::MAX));
        assert!(for_good.spend(now));
        assert!(!for_good.spend(now + Duration::from_secs(1 << 40)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_back() {
        let now = Instant::now() + Duration::from_secs(100);
        let mut spent = Spent::new(Budget::new(1, Duration::from_secs(10)));
        assert!(spent.spend(now));
        assert!(!spent.spend(now - Duration::from_secs(50)));
    }
}
