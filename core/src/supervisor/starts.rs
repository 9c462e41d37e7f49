//! How many plugins of a program start at once.

use std::collections::{BTreeSet, VecDeque};

/// Who starts, and who waits for a place, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Starts {
    at_once: usize,
    last: u64,
    starting: BTreeSet<u64>,
    waiting: VecDeque<u64>,
}

impl Starts {
    /// With room for so many at once; zero is taken for one.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self {
            at_once: at_once.max(1),
            last: 0,
            starting: BTreeSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// One more wants to start: its number, by which it asks whether it [may](Self::may_start), and which it
    /// [gives back](Self::leave).
    pub fn ask(&mut self) -> u64 {
        self.last += 1;
        if self.starting.len() < self.at_once {
            self.starting.insert(self.last);
        } else {
            self.waiting.push_back(self.last);
        }
        self.last
    }

    /// Whether the one of this number has a place.
    #[must_use]
    pub fn may_start(&self, number: u64) -> bool {
        self.starting.contains(&number)
    }

    /// The one of this number has started, or does not want to any more. Gives the number of the one that has
    /// its place now.
    pub fn leave(&mut self, number: u64) -> Option<u64> {
        if !self.starting.remove(&number) {
            self.waiting.retain(|other| *other != number);
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.starting.insert(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_go_to_those_who_wait_in_their_order() {
        let mut starts = Starts::new(2);
        let numbers = [(); 5].map(|()| starts.ask());
        let [a, b, c, d, e] = numbers;
        let may = |starts: &Starts| numbers.map(|number| starts.may_start(number));
        assert_eq!(may(&starts), [true, true, false, false, false]);
        assert_eq!(starts.leave(d), None, "it waited");
        assert_eq!(starts.leave(b), Some(c));
        assert_eq!(starts.leave(a), Some(e));
        assert_eq!(may(&starts), [false, false, true, false, true]);
        assert_eq!((starts.leave(a), starts.leave(c)), (None, None));
        assert!({
            let one = starts.ask();
            starts.may_start(one)
        });
    }

    #[test]
    fn zero_is_one() {
        let mut starts = Starts::new(0);
        let (one, two) = (starts.ask(), starts.ask());
        assert_eq!(
            (starts.may_start(one), starts.may_start(two)),
            (true, false)
        );
        assert_eq!(starts.leave(one), Some(two));
    }

    proptest! {
        #[test]
        fn there_are_never_more_and_no_place_is_left_empty(
            at_once in 1usize..4,
            leaves in proptest::collection::vec(any::<Option<u8>>(), 0..60),
        ) {
            let mut starts = Starts::new(at_once);
            let mut all = Vec::new();
            for leave in leaves {
                match leave {
                    Some(which) if !all.is_empty() => {
                        let number = all.remove(usize::from(which) % all.len());
                        if let Some(next) = starts.leave(number) {
                            prop_assert!(all.contains(&next));
                        }
                    }
                    _ => all.push(starts.ask()),
                }
                let count = all.iter().filter(|number| starts.may_start(**number)).count();
                prop_assert_eq!(count, all.len().min(at_once));
            }
        }
    }
}
