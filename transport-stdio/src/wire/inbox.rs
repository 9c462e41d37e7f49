//! Messages that came and were not taken yet.

use bytes::Bytes;
use outboard_mux::{Cost, Queue};

use super::flow::cost;

/// The messages of one stream, in order.
///
/// What a peer sends in tiny messages must not take many times the credit that it costs: so short
/// ones lie in the queue itself.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: Queue<Inbound>,
}

/// The longest message in the queue itself, in bytes: no longer than what it takes to refer to one
/// elsewhere.
const SHORT: usize = 30;

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
        self.queue.push(inbound);
    }

    /// A message that came in chunks.
    pub(super) fn push_large(&mut self, bytes: Bytes) {
        self.queue.push(Inbound::Elsewhere { bytes, large: true });
    }

    pub(super) fn pop(&mut self) -> Option<Taken> {
        self.queue.pop().map(Inbound::taken)
    }

    /// Drops all, and gives the credit that they held.
    pub(super) fn clear(&mut self) -> u64 {
        self.queue.clear()
    }
}

impl Cost for Inbound {
    fn cost(&self) -> u64 {
        match self {
            Self::Short { len, .. } => cost((*len).into()),
            Self::Elsewhere { large: true, .. } => 0,
            Self::Elsewhere { bytes, .. } => cost(bytes.len()),
        }
    }
}

impl Inbound {
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
    fn a_place_in_the_queue_is_smaller_than_what_it_costs() {
        assert!(size_of::<Inbound>() <= 40);
    }
}
