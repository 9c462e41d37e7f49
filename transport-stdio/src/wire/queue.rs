//! Streams that wait for something, in the order in which they came.

use std::collections::VecDeque;

use super::stream::{Key, Table};

/// How many keys of streams that are gone are of no account.
const SLACK: usize = 16;

/// Whoever adds a stream keeps a flag on it, so that it is in here once at most. A stream that
/// ends while it waits stays until it comes up, or until most of the others have ended too: so the
/// length is bounded by the number of live streams, whatever the peer opens and cancels.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    keys: VecDeque<Key>,
}

impl Waiting {
    pub(super) fn push(&mut self, key: Key, ours: &Table, theirs: &Table) {
        if self.keys.len() > 2 * (ours.live() + theirs.live()) + SLACK {
            let table = |key: &Key| if key.ours { ours } else { theirs };
            self.keys.retain(|key| table(key).get(*key).is_some());
        }
        self.keys.push_back(key);
    }

    pub(super) fn pop(&mut self) -> Option<Key> {
        self.keys.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}
