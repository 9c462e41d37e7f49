//! Streams that wait for something, in the order in which they came.

use std::collections::VecDeque;

/// How many keys of streams that are gone are of no account.
const SLACK: usize = 16;

/// Whether a stream stands in a [`Line`]. It is kept with the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// It does not.
    #[default]
    Out,
    /// It does.
    In,
}

impl Place {
    /// Takes the place. Whether the stream was out, and is to be pushed.
    #[inline]
    #[must_use = "the stream is to be pushed then"]
    pub fn enter(&mut self) -> bool {
        std::mem::replace(self, Self::In) == Self::Out
    }

    /// Gives the place up: the stream came up, or the line was cleared.
    #[inline]
    pub fn leave(&mut self) {
        *self = Self::Out;
    }
}

/// Keys of streams in the order in which they came.
///
/// Whoever adds a stream keeps its [`Place`], so that it is in here once at most. A stream that ends
/// while it waits stays until it comes up, or until most of the others have ended too: so the length
/// is bounded by the number of live streams, whatever the peer opens and cancels.
#[derive(Debug)]
pub struct Line<K> {
    keys: VecDeque<K>,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self {
            keys: VecDeque::new(),
        }
    }
}

impl<K> Line<K> {
    /// Adds a stream at the end, where `live` are alive and `is_live` tells which.
    #[inline]
    pub fn push(&mut self, key: K, live: usize, is_live: impl Fn(&K) -> bool) {
        if self.keys.len() > 2 * live + SLACK {
            self.keys.retain(is_live);
        }
        self.keys.push_back(key);
    }

    /// Who is next. It may have ended meanwhile.
    #[inline]
    pub fn pop(&mut self) -> Option<K> {
        self.keys.pop_front()
    }

    /// Nobody waits any more.
    #[inline]
    pub fn clear(&mut self) {
        self.keys.clear();
    }

    /// Whether nobody waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many stand in line, also such as have ended.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever waits comes up in turn and once, and what has ended does not pile up.
        #[test]
        fn all_come_up_in_turn(
            steps in prop::collection::vec((0..4u8, 0..20u32), 0..400),
        ) {
            let mut line = Line::default();
            let mut streams = BTreeMap::new();
            let mut expected = VecDeque::new();
            let mut next = 0;
            for (step, which) in steps {
                match step {
                    0 => {
                        streams.insert(next, Place::default());
                        next += 1;
                    }
                    1 => {
                        if let Some(key) = streams.keys().nth(which as usize).copied() {
                            streams.remove(&key);
                            expected.retain(|other| *other != key);
                        }
                    }
                    2 => {
                        let live = streams.len();
                        let key = streams.keys().nth(which as usize).copied();
                        if let Some(key) = key
                            && streams.get_mut(&key).is_some_and(Place::enter)
                        {
                            line.push(key, live, |key| streams.contains_key(key));
                            expected.push_back(key);
                        }
                    }
                    _ => {
                        let came = std::iter::from_fn(|| line.pop()).find(|key| streams.contains_key(key));
                        prop_assert_eq!(came, expected.pop_front());
                        if let Some(place) = came.and_then(|key| streams.get_mut(&key)) {
                            place.leave();
                        }
                    }
                }
                prop_assert!(line.len() >= expected.len());
            }
        }
    }

    #[test]
    fn streams_that_end_in_line_do_not_pile_up() {
        let mut line = Line::default();
        for key in 0..10_000 {
            line.push(key, 0, |_| false);
            assert!(line.len() <= SLACK + 1);
        }
        line.clear();
        assert!(line.is_empty() && line.pop().is_none());
    }
}
