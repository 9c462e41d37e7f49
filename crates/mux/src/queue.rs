//! What waits on one stream.

use std::collections::VecDeque;

/// What something that waits costs its stream: of a window, or of the room for what is to be sent.
pub trait Cost {
    /// The cost, in the unit that the protocol counts in, which is bytes with or without a surcharge.
    /// It must not change while the value waits.
    fn cost(&self) -> u64;
}

/// A queue that grew longer than this gives its memory back when it is empty.
const KEEP: usize = 16;

/// Values in order, and what they cost together.
///
/// Small values must not take many times what they cost, so the queue grows by quarters and shrinks
/// when it is empty. Where there is one value in all, as on either side of most calls, there is no
/// memory beside the queue's own.
#[derive(Debug)]
pub struct Queue<T> {
    /// Before all others.
    first: Option<T>,
    rest: VecDeque<T>,
    cost: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
            cost: 0,
        }
    }
}

impl<T: Cost> Queue<T> {
    /// Adds a value at the end. It is taken however much there is: ask
    /// [`has_room`](Self::has_room) before making one.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.cost += value.cost();
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(value);
            return;
        }
        if self.rest.len() == self.rest.capacity() {
            let more = (self.rest.len() / 4).max(4);
            self.rest.reserve_exact(more);
        }
        self.rest.push_back(value);
    }

    /// The value that is next.
    #[inline]
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.first.as_ref().or_else(|| self.rest.front())
    }

    /// Takes the value that is next.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let value = match self.first.take() {
            Some(value) => value,
            None => {
                let value = self.rest.pop_front()?;
                self.shrink();
                value
            }
        };
        self.cost -= value.cost();
        Some(value)
    }

    /// Drops all, and gives what they cost.
    #[inline]
    pub fn clear(&mut self) -> u64 {
        self.first = None;
        self.rest.clear();
        self.shrink();
        std::mem::take(&mut self.cost)
    }

    /// What all values cost together.
    #[inline]
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Whether less waits than `most`, so that another value should be made.
    #[inline]
    #[must_use]
    pub fn has_room(&self, most: u64) -> bool {
        self.cost < most
    }

    /// The number of values.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    fn shrink(&mut self) {
        if self.rest.is_empty() && self.rest.capacity() > KEEP {
            self.rest = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Cost for u32 {
        fn cost(&self) -> u64 {
            u64::from(*self) + 1
        }
    }

    #[test]
    fn an_empty_queue_does_not_keep_its_memory() {
        let mut queue = Queue::default();
        for number in 0..1_000u32 {
            queue.push(number);
        }
        assert!(queue.rest.capacity() < 1_300, "{}", queue.rest.capacity());
        while queue.pop().is_some() {}
        assert!(queue.rest.capacity() <= KEEP);
        for _ in 0..1_000 {
            queue.push(0);
        }
        assert_eq!(queue.clear(), 1_000);
        assert!(queue.rest.capacity() <= KEEP);
    }

    #[test]
    fn one_value_takes_no_memory_of_its_own() {
        let mut queue = Queue::default();
        for number in 0..100u32 {
            queue.push(number);
            assert_eq!(queue.pop(), Some(number));
            assert_eq!(queue.rest.capacity(), 0);
        }
    }

    proptest! {
        /// It is a queue, and its cost that of what is in it.
        #[test]
        fn values_come_out_in_order_and_the_cost_adds_up(
            steps in prop::collection::vec((0..10u8, any::<u32>()), 0..200),
        ) {
            let mut queue = Queue::default();
            let mut expected = VecDeque::new();
            for (step, value) in steps {
                match step {
                    0..5 => {
                        queue.push(value);
                        expected.push_back(value);
                    }
                    5..9 => prop_assert_eq!(queue.pop(), expected.pop_front()),
                    _ => {
                        let cost: u64 = expected.drain(..).map(|value| value.cost()).sum();
                        prop_assert_eq!(queue.clear(), cost);
                    }
                }
                let cost: u64 = expected.iter().map(Cost::cost).sum();
                prop_assert_eq!(queue.cost(), cost);
                prop_assert_eq!(queue.front(), expected.front());
                prop_assert_eq!((queue.len(), queue.is_empty()), (expected.len(), expected.is_empty()));
                prop_assert!(queue.has_room(cost + 1) && !queue.has_room(cost));
            }
        }
    }
}
