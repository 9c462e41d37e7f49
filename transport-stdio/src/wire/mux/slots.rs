//! Which large messages may come: one of each stream at a time, and no more than there are slots.
//!
//! A slot is taken by the grant and freed when the message was taken out or dropped. A stream that
//! nobody reads holds one, however many messages its sender has for it.

use super::{Mux, push};
use crate::wire::key::Key;
use crate::wire::large::Slot;

impl Mux {
    /// Does what a transition of the stream's large messages means for the slots.
    #[inline]
    pub(super) fn settle_slot(&mut self, key: Key, slot: Slot) {
        if slot != Slot::Same {
            self.change_slot(key, slot);
        }
    }

    fn change_slot(&mut self, key: Key, slot: Slot) {
        match slot {
            Slot::Same => return,
            Slot::Wanted => self.want_slot(key),
            Slot::Freed => self.slots_used = self.slots_used.saturating_sub(1),
            Slot::FreedAndWanted => {
                self.slots_used = self.slots_used.saturating_sub(1);
                self.want_slot(key);
            }
        }
        while self.slots_used < self.config.large_slots {
            let Some(key) = self.slot_queue.pop() else {
                return;
            };
            let Some(stream) = self.stream_mut(key) else {
                continue;
            };
            stream.places.slot.leave();
            if stream.large_in.offer_slot() {
                self.slots_used += 1;
                self.queue(key);
            }
        }
    }

    /// Puts the stream in line for a slot.
    fn want_slot(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key)
            && stream.places.slot.enter()
        {
            push(&mut self.slot_queue, key, &self.ours, &self.theirs);
        }
    }

    /// The announced message will not come, or not whole.
    pub(super) fn drop_large(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key) {
            let slot = stream.large_in.cut_short();
            self.settle_slot(key, slot);
        }
    }
}
