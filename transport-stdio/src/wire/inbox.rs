//! Messages that came and were not taken yet.

use std::collections::VecDeque;

use bytes::Bytes;

use super::flow::cost;

/// The messages of one stream, in order.
///
/// What a peer sends in tiny messages must not take many times the credit that it costs: so short
/// ones lie in the queue itself, the queue grows by quarters, and shrinks when it is empty. Where there
/// is one message in all, as on either side of most calls, there is no queue.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Before all in the queue.
    first: Option<Inbound>,
    queue: VecDeque<Inbound>,
}

/// The longest message in the queue itself, in bytes: no longer than what it takes to refer to one
/// elsewhere.
const SHORT: usize = 30;
/// A queue that grew longer than this is given back when it is empty.
const KEEP: usize = 16;

#[derive(Debug)]
enum Inbound {
    Short {
        len: u8,
        bytes: [u8; SHORT],
    },
    Elsewhere {
        bytes: Bytes,
        /// It came in chunks, and holds a slot in place of credit.
        large: bool,
    },
}

/// A message, and the credit it held; none for large ones.
pub(super) type Taken = (Bytes, u64);

impl Inbox {
    /// A message that came in a frame; `owned` gives it in memory of its own.
    pub(super) fn push(&mut self, message: &[u8], owned: impl FnOnce() -> Bytes) {
        let mut bytes = [0; SHORT];
        let inbound = match (bytes.get_mut(..message.len()), u8::try_from(message.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(message);
                Inbound::Short { len, bytes }
            }
            (_, _) => Inbound::Elsewhere {
                bytes: owned(),
                large: false,
            },
        };
        self.add(inbound);
    }

    /// A message that came in chunks.
    pub(super) fn push_large(&mut self, bytes: Bytes) {
        self.add(Inbound::Elsewhere { bytes, large: true });
    }

    fn add(&mut self, inbound: Inbound) {
        if self.first.is_none() && self.queue.is_empty() {
            self.first = Some(inbound);
            return;
        }
        if self.queue.len() == self.queue.capacity() {
            let more = (self.queue.len() / 4).max(4);
            self.queue.reserve_exact(more);
        }
        self.queue.push_back(inbound);
    }

    pub(super) fn pop(&mut self) -> Option<Taken> {
        if let Some(inbound) = self.first.take() {
            return Some(inbound.taken());
        }
        let inbound = self.queue.pop_front()?;
        if self.queue.is_empty() && self.queue.capacity() > KEEP {
            self.queue = VecDeque::new();
        }
        Some(inbound.taken())
    }

    /// Drops all, and gives the credit that they held.
    pub(super) fn clear(&mut self) -> u64 {
        let all = self.first.iter().chain(&self.queue);
        let held = all.map(Inbound::cost).sum();
        self.first = None;
        self.queue.clear();
        if self.queue.capacity() > KEEP {
            self.queue = VecDeque::new();
        }
        held
    }
}

impl Inbound {
    fn cost(&self) -> u64 {
        match self {
            Self::Short { len, .. } => cost((*len).into()),
            Self::Elsewhere { large: true, .. } => 0,
            Self::Elsewhere { bytes, .. } => cost(bytes.len()),
        }
    }

    fn taken(self) -> Taken {
        let held = self.cost();
        let bytes = match self {
            Self::Short { len, bytes } => {
                Bytes::copy_from_slice(bytes.get(..len.into()).unwrap_or_default())
            }
            Self::Elsewhere { bytes, .. } => bytes,
        };
        (bytes, held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_in_order_with_what_they_cost() {
        let mut inbox = Inbox::default();
        let lengths = [0, 1, SHORT, SHORT + 1, 1_000];
        for length in lengths {
            let message = vec![length as u8; length];
            inbox.push(&message, || Bytes::from(message.clone()));
        }
        inbox.push_large(Bytes::from_static(b"large"));
        for length in lengths {
            let expected = (Bytes::from(vec![length as u8; length]), cost(length));
            assert_eq!(inbox.pop(), Some(expected));
        }
        assert_eq!(inbox.pop(), Some((Bytes::from_static(b"large"), 0)));
        assert_eq!(inbox.pop(), None);
    }

    #[test]
    fn an_empty_queue_does_not_keep_its_memory() {
        let mut inbox = Inbox::default();
        for _ in 0..1_000 {
            inbox.push(b"x", || Bytes::from_static(b"x"));
        }
        assert!(inbox.queue.capacity() < 1_300, "{}", inbox.queue.capacity());
        for _ in 0..1_000 {
            assert!(inbox.pop().is_some());
        }
        assert!(inbox.queue.capacity() <= KEEP);
        for _ in 0..1_000 {
            inbox.push(b"x", || Bytes::from_static(b"x"));
        }
        assert_eq!(inbox.clear(), 1_000 * cost(1));
        assert!(inbox.queue.capacity() <= KEEP);
    }

    #[test]
    fn a_place_in_the_queue_is_smaller_than_what_it_costs() {
        assert!(size_of::<Inbound>() <= 40);
    }
}
