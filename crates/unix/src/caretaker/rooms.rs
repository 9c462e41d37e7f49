//! Which directories a caretaker has in charge: a table of fixed size, since its process cannot allocate.

/// The longest path: sockets in the directory have one of at most 107 bytes.
pub(super) const LONGEST: usize = 107;

/// How many there can be; more are not taken note of, and are left to what is swept by later launches.
const MANY: usize = 4096;

/// What a host says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Expect,
    Keep,
    Forget,
}

impl Word {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Expect => b'?',
            Self::Keep => b'+',
            Self::Forget => b'-',
        }
    }

    pub(super) const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'?' => Some(Self::Expect),
            b'+' => Some(Self::Keep),
            b'-' => Some(Self::Forget),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Room {
    /// Ends with a NUL. An empty one is free.
    path: [u8; LONGEST + 1],
    /// It is the host's, with all that is in it.
    kept: bool,
}

impl Room {
    const FREE: Self = Self {
        path: [0; LONGEST + 1],
        kept: false,
    };

    fn is(&self, path: &[u8]) -> bool {
        self.path.starts_with(path) && self.path.get(path.len()) == Some(&0)
    }
}

pub(super) struct Rooms {
    rooms: [Room; MANY],
    /// Behind it all are free.
    used: usize,
}

impl Rooms {
    pub(super) const fn new() -> Self {
        Self {
            rooms: [Room::FREE; MANY],
            used: 0,
        }
    }

    pub(super) fn told(&mut self, word: Word, path: &[u8]) {
        if path.is_empty() || path.len() > LONGEST {
            return;
        }
        let known = self.rooms[..self.used]
            .iter()
            .position(|room| room.is(path));
        match (word, known) {
            (Word::Forget, Some(at)) => self.free(at),
            (Word::Forget, None) => {}
            (word, Some(at)) => self.rooms[at].kept |= word == Word::Keep,
            (word, None) => {
                if let Some(room) = self.rooms.get_mut(self.used) {
                    *room = Room::FREE;
                    room.path[..path.len()].copy_from_slice(path);
                    room.kept = word == Word::Keep;
                    self.used += 1;
                }
            }
        }
    }

    /// Has `remove` remove each: its path, which ends with a NUL, and whether all that is in it is to go,
    /// too. What it says is gone is forgotten. Whether any is left.
    pub(super) fn clear(&mut self, mut remove: impl FnMut(&[u8], bool) -> bool) -> bool {
        let mut at = self.used;
        while let Some(before) = at.checked_sub(1) {
            at = before;
            let Room { path, kept } = &self.rooms[at];
            if remove(path, *kept) {
                self.free(at);
            }
        }
        self.used > 0
    }

    fn free(&mut self, at: usize) {
        self.used -= 1;
        self.rooms.swap(at, self.used);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_have_their_byte() {
        for word in [Word::Expect, Word::Keep, Word::Forget] {
            assert_eq!(Word::of(word.byte()), Some(word));
        }
        assert_eq!(Word::of(0), None);
    }

    #[test]
    fn what_there_is_no_room_for_is_left_and_harms_nothing() {
        let mut rooms = Box::new(Rooms::new());
        for number in 0..MANY + 10 {
            rooms.told(Word::Keep, number.to_string().as_bytes());
        }
        rooms.told(Word::Keep, b"");
        rooms.told(Word::Keep, &[b'x'; LONGEST + 1]);
        let mut cleared = 0;
        assert!(!rooms.clear(|_, _| {
            cleared += 1;
            true
        }));
        assert_eq!(cleared, MANY);
    }

    proptest! {
        #[test]
        fn it_knows_what_it_was_told(said in proptest::collection::vec((0_u8..3, 0_u8..9), 0..60)) {
            let mut rooms = Box::new(Rooms::new());
            let mut model = BTreeMap::new();
            for (word, path) in said {
                let word = [Word::Expect, Word::Keep, Word::Forget][usize::from(word)];
                // Each is the beginning of the next.
                let path = vec![b'a'; usize::from(path) + 1];
                rooms.told(word, &path);
                match word {
                    Word::Forget => drop(model.remove(&path)),
                    word => *model.entry(path).or_insert(false) |= word == Word::Keep,
                }
            }
            let mut seen = BTreeMap::new();
            let left = rooms.clear(|path, kept| {
                let end = path.iter().position(|byte| *byte == 0).expect("an end");
                assert!(seen.insert(path[..end].to_vec(), kept).is_none());
                !kept
            });
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(left, model.values().any(|kept| *kept));
        }
    }
}
