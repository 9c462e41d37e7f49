//! A queue whose entries are found by key.

use std::collections::BTreeMap;

/// First in, first out, and each entry found by its key, with one entry for each key. Every
/// operation takes time logarithmic in the number of entries.
#[derive(Clone, Debug)]
pub struct KeyedQueue<K, V = ()> {
    /// With the place of each in `order`.
    entries: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    /// Entries ever pushed.
    pushed: u64,
}

impl<K: Ord + Clone, V> KeyedQueue<K, V> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            pushed: 0,
        }
    }

    /// Puts an entry at the end. One of this key that was in the queue already leaves it.
    pub fn push(&mut self, key: K, value: V) -> Option<V> {
        let before = self.remove(&key);
        self.order.insert(self.pushed, key.clone());
        self.entries.insert(key, (self.pushed, value));
        self.pushed += 1;
        before
    }

    /// Takes the oldest entry.
    pub fn pop(&mut self) -> Option<(K, V)> {
        let (_, key) = self.order.pop_first()?;
        let (_, value) = self.entries.remove(&key)?;
        Some((key, value))
    }

    /// Takes the entry of this key out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (place, value) = self.entries.remove(key)?;
        self.order.remove(&place);
        Some(value)
    }

    /// Whether there is an entry of this key.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of this key, which keeps its place.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys, the oldest first.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.order.values()
    }
}

impl<K: Ord + Clone, V> Default for KeyedQueue<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_entry_of_a_key_goes_to_the_end() {
        let mut queue = KeyedQueue::new();
        for (key, value) in [("a", 1), ("b", 2), ("a", 3)] {
            queue.push(key, value);
        }
        assert_eq!(queue.keys().collect::<Vec<_>>(), [&"b", &"a"]);
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()],
            [Some(("b", 2)), Some(("a", 3)), None]
        );
    }

    proptest! {
        #[test]
        fn it_is_a_list_that_is_searched(ops in prop::collection::vec((0..4u8, 0..8u8), 0..64)) {
            let mut queue = KeyedQueue::new();
            let mut list: Vec<(u8, usize)> = Vec::new();
            for (step, (op, key)) in ops.into_iter().enumerate() {
                let at = list.iter().position(|(known, _)| *known == key);
                match op {
                    0 | 1 => {
                        let before = at.map(|at| list.remove(at).1);
                        list.push((key, step));
                        prop_assert_eq!(queue.push(key, step), before);
                    }
                    2 => {
                        let first = (!list.is_empty()).then(|| list.remove(0));
                        prop_assert_eq!(queue.pop(), first);
                    }
                    _ => {
                        let value = at.map(|at| list.remove(at).1);
                        prop_assert_eq!(queue.contains(&key), value.is_some());
                        prop_assert_eq!(queue.get_mut(&key).copied(), value);
                        prop_assert_eq!(queue.remove(&key), value);
                    }
                }
                let keys: Vec<_> = list.iter().map(|(key, _)| key).collect();
                prop_assert_eq!(queue.keys().collect::<Vec<_>>(), keys);
                prop_assert_eq!((queue.len(), queue.is_empty()), (list.len(), list.is_empty()));
                prop_assert_eq!(queue.order.len(), queue.entries.len());
            }
        }
    }
}
