//! Which large messages may come: one of each stream at a time, and no more than there are slots.
//!
//! A slot is taken by the grant and freed when the message was taken out or dropped. A stream that
//! nobody reads holds one, however many messages its sender has for it.

use super::mux::Mux;
use super::stream::Key;

impl Mux {
    /// The peer announced a large message.
    pub(super) fn large_announced(&mut self, key: Key) {
        self.want_slot(key);
        self.fill_slots();
    }

    /// The announced message will not come, or not whole.
    pub(super) fn drop_large(&mut self, key: Key) {
        let large = self
            .stream_mut(key)
            .and_then(|stream| stream.large_in.take());
        if large.is_some_and(|large| large.granted) {
            self.free_slot(key);
        }
    }

    /// A large message of the stream was taken or dropped: the next one may come.
    pub(super) fn free_slot(&mut self, key: Key) {
        let Some(stream) = self.stream_mut(key) else {
            return;
        };
        if !std::mem::take(&mut stream.holds_slot) {
            return;
        }
        self.slots_used = self.slots_used.saturating_sub(1);
        self.want_slot(key);
        self.fill_slots();
    }

    /// Puts the stream in line for a slot, if it has a message for it.
    fn want_slot(&mut self, key: Key) {
        let Some(stream) = self.stream_mut(key) else {
            return;
        };
        let announced = stream.large_in.as_ref().is_some_and(|l| !l.granted);
        if announced && !stream.deaf && !stream.holds_slot && !stream.waits_slot {
            stream.waits_slot = true;
            self.slot_queue.push(key, &self.ours, &self.theirs);
        }
    }

    fn fill_slots(&mut self) {
        while self.slots_used < self.config.large_slots {
            let Some(key) = self.slot_queue.pop() else {
                return;
            };
            self.take_slot(key);
        }
    }

    /// Lets the announced message of the stream come, if it still can.
    fn take_slot(&mut self, key: Key) {
        let Some(stream) = self.stream_mut(key) else {
            return;
        };
        stream.waits_slot = false;
        if stream.deaf {
            return;
        }
        let Some(large) = stream.large_in.as_mut().filter(|large| !large.granted) else {
            return;
        };
        large.granted = true;
        stream.grant_due = true;
        stream.holds_slot = true;
        self.slots_used += 1;
        self.queue(key);
    }
}
