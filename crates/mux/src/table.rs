//! Streams by handles.

/// Stands for a stream. It stays safe to use after the stream's end: places are used again, but not
/// with the same generation, of which there are 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    index: u32,
    generation: u32,
}

impl Handle {
    /// The place in the table.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    stream: Option<T>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            generation: 0,
            stream: None,
        }
    }
}

/// The streams of one side of a connection. It is as large as it was when most of them were alive.
#[derive(Debug)]
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Places that [`insert`](Self::insert) may use again.
    free: Vec<u32>,
    live: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            live: 0,
        }
    }
}

impl<T> Table<T> {
    /// The number of streams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The stream, if it has not ended.
    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(handle.index())?;
        slot.stream
            .as_ref()
            .filter(|_| slot.generation == handle.generation)
    }

    /// The stream, if it has not ended.
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let slot = self.slots.get_mut(handle.index())?;
        slot.stream
            .as_mut()
            .filter(|_| slot.generation == handle.generation)
    }

    /// The handle of the stream in this place, if there is one.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<Handle> {
        let slot = self.slots.get(index as usize)?;
        slot.stream.as_ref().map(|_| Handle {
            index,
            generation: slot.generation,
        })
    }

    /// All streams, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(index, slot)| {
            let generation = slot.generation;
            Some((Handle { index, generation }, slot.stream.as_ref()?))
        })
    }

    /// Adds a stream wherever there is a place. Not to be mixed with [`insert_at`](Self::insert_at).
    ///
    /// What `make` gives is made in its place where the compiler can: streams are large.
    #[inline]
    pub fn insert(&mut self, make: impl FnOnce() -> T) -> Handle {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.start(index, make)
    }

    /// Adds a stream in a place that its peer has chosen, which bounds the table to it. `None` if the
    /// place is taken.
    #[inline]
    pub fn insert_at(&mut self, index: u32, make: impl FnOnce() -> T) -> Option<Handle> {
        let len = index as usize + 1;
        if self.slots.len() < len {
            self.slots.resize_with(len, Slot::default);
        }
        if self.at(index).is_some() {
            return None;
        }
        Some(self.start(index, make))
    }

    #[inline]
    fn start(&mut self, index: u32, make: impl FnOnce() -> T) -> Handle {
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            generation = slot.generation;
            slot.stream.get_or_insert_with(make);
            self.live += 1;
        }
        Handle { index, generation }
    }

    /// Ends the stream. Whether it had not ended.
    pub fn remove(&mut self, handle: Handle) -> bool {
        let Some(slot) = self.slots.get_mut(handle.index()) else {
            return false;
        };
        if slot.stream.is_none() || slot.generation != handle.generation {
            return false;
        }
        // Dropped where it lies: streams are large, and this is done for each.
        slot.stream = None;
        slot.generation = slot.generation.wrapping_add(1);
        self.live -= 1;
        true
    }

    /// Ends the stream, and lets [`insert`](Self::insert) use its place again.
    pub fn release(&mut self, handle: Handle) -> bool {
        let removed = self.remove(handle);
        if removed {
            self.free.push(handle.index);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A handle leads to its own stream or to none, however places are used again.
        #[test]
        fn handles_are_never_confused(
            placed in any::<bool>(),
            steps in prop::collection::vec((any::<bool>(), 0..12u32), 0..300),
        ) {
            let mut table = Table::default();
            let mut live = BTreeMap::new();
            let mut over = Vec::new();
            for (number, (adds, which)) in steps.into_iter().enumerate() {
                if adds && placed {
                    let taken = table.at(which).is_some();
                    let handle = table.insert_at(which, || number);
                    prop_assert_eq!(handle.is_none(), taken);
                    live.extend(handle.map(|handle| (handle, number)));
                } else if adds {
                    live.insert(table.insert(|| number), number);
                } else if let Some(handle) = live.keys().nth(which as usize).copied() {
                    live.remove(&handle);
                    let remove = if placed { Table::remove } else { Table::release };
                    prop_assert!(remove(&mut table, handle));
                    prop_assert!(!remove(&mut table, handle), "once");
                    over.push(handle);
                }
                prop_assert_eq!(table.len(), live.len());
                let all: BTreeMap<_, _> = table.iter().map(|(handle, number)| (handle, *number)).collect();
                prop_assert_eq!(&all, &live);
                for (handle, number) in &live {
                    prop_assert_eq!(table.get(*handle), Some(number));
                    prop_assert_eq!(table.at(handle.index), Some(*handle));
                }
                for handle in &over {
                    prop_assert_eq!(table.get(*handle), None);
                    prop_assert_eq!(table.get_mut(*handle), None);
                }
            }
        }
    }

    #[test]
    fn places_are_used_again() {
        let mut table = Table::default();
        for _ in 0..100 {
            let (a, b) = (table.insert(|| 'a'), table.insert(|| 'b'));
            assert!(a.index() < 2 && b.index() < 2);
            assert!(table.release(a) && table.release(b) && table.is_empty());
        }
    }
}
