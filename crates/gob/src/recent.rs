//! What was looked up last: a stream carries few types again and again, and finding one of eight among
//! eight is quicker than hashing.

const KEPT: usize = 8;

/// The last few of what was found for keys.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    entries: Vec<(K, V)>,
    /// Which goes when there are enough.
    oldest: usize,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            oldest: 0,
        }
    }
}

impl<K: Copy + Eq, V: Copy> Recent<K, V> {
    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<V> {
        let entry = self.entries.iter().find(|entry| entry.0 == key)?;
        Some(entry.1)
    }

    /// Keeps what was found for a key that is not kept.
    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.entries.len() < KEPT {
            self.entries.push((key, value));
            return;
        }
        self.entries[self.oldest] = (key, value);
        self.oldest = (self.oldest + 1) % KEPT;
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.oldest = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes() {
        let mut recent = Recent::default();
        for key in 0..KEPT + 2 {
            recent.put(key, key * 10);
        }
        assert_eq!((recent.get(0), recent.get(1)), (None, None));
        for key in 2..KEPT + 2 {
            assert_eq!(recent.get(key), Some(key * 10));
        }
        recent.clear();
        assert_eq!(recent.get(5), None);
    }
}
