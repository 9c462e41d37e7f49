//! Credit: what may be sent, what may come, and when to give credit back.

/// More was sent than there was credit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cost of {cost} with credit for {left}")]
pub struct Overdrawn {
    /// What it would have cost.
    pub cost: u64,
    /// The credit that was left.
    pub left: u64,
}

/// More credit was given than the protocol can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("credit grew past {most}")]
pub struct Overflow {
    /// The most credit that there can be.
    pub most: u64,
}

/// The credit that the peer has given, for a stream or for the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendWindow {
    left: u64,
}

impl SendWindow {
    /// A window of this size.
    #[inline]
    #[must_use]
    pub fn new(left: u32) -> Self {
        Self { left: left.into() }
    }

    /// What may still be sent.
    #[inline]
    #[must_use]
    pub fn left(self) -> u64 {
        self.left
    }

    /// Whether there is credit for as much.
    #[inline]
    #[must_use]
    pub fn allows(self, cost: u64) -> bool {
        cost <= self.left
    }

    /// Something was sent. Ask [`allows`](Self::allows) first: more than there is leaves nothing.
    #[inline]
    pub fn spend(&mut self, cost: u64) {
        self.left = self.left.saturating_sub(cost);
    }

    /// The peer gives more credit, up to `most` altogether.
    ///
    /// # Errors
    /// [`Overflow`] if it would be more; nothing is changed then.
    #[inline]
    pub fn add(&mut self, amount: u32, most: u32) -> Result<(), Overflow> {
        let (left, most) = (self.left + u64::from(amount), u64::from(most));
        if left > most {
            return Err(Overflow { most });
        }
        self.left = left;
        Ok(())
    }
}

/// The credit that this side has given, for a stream or for the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceiveWindow {
    size: u64,
    /// What the peer may still send.
    left: u64,
    /// What was taken out and not given back yet.
    owed: u64,
}

impl ReceiveWindow {
    /// A window of this size.
    #[inline]
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self {
            size: size.into(),
            left: size.into(),
            owed: 0,
        }
    }

    /// Something came.
    ///
    /// # Errors
    /// [`Overdrawn`] if it is more than the peer had credit for; nothing is changed then.
    #[inline]
    pub fn receive(&mut self, cost: u64) -> Result<(), Overdrawn> {
        let left = self.left;
        self.left = left.checked_sub(cost).ok_or(Overdrawn { cost, left })?;
        Ok(())
    }

    /// What had come was taken out. Whether it is time to give credit back: half a window at a time
    /// keeps the frames for that rare and the sender going.
    #[inline]
    pub fn take(&mut self, cost: u64) -> bool {
        self.owed += cost;
        self.is_due()
    }

    /// Whether credit should be given back now.
    #[inline]
    #[must_use]
    pub fn is_due(self) -> bool {
        self.owed > 0 && self.owed * 2 >= self.size
    }

    /// Gives back what is owed: the difference that the peer is to be told.
    #[inline]
    pub fn give_back(&mut self) -> u32 {
        // What is owed came within a window of 32 bits.
        let amount = u32::try_from(self.owed).unwrap_or(u32::MAX);
        self.owed -= u64::from(amount);
        self.left += u64::from(amount);
        amount
    }

    /// Makes the window larger by `more`, which the peer is told with what is owed.
    #[inline]
    pub fn grow(&mut self, more: u32) {
        self.size += u64::from(more);
        self.owed += u64::from(more);
    }

    /// The size.
    #[inline]
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// What the peer's bytes occupy: received and not taken out.
    #[inline]
    #[must_use]
    pub fn in_use(self) -> u64 {
        self.size
            .saturating_sub(self.left)
            .saturating_sub(self.owed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const MOST: u32 = i32::MAX as u32;

    #[test]
    fn credit_goes_round() {
        let mut send = SendWindow::new(1_000);
        let mut receive = ReceiveWindow::new(1_000);
        assert!(send.allows(1_000) && !send.allows(1_001));
        send.spend(400);
        receive.receive(400).expect("in credit");
        assert!(!receive.take(400));
        send.spend(100);
        receive.receive(100).expect("in credit");
        assert_eq!(receive.in_use(), 100);
        assert!(receive.take(100) && receive.is_due());
        send.add(receive.give_back(), MOST).expect("fits");
        assert!(send.allows(1_000) && !send.allows(1_001));
        assert!(!receive.is_due());
    }

    #[test]
    fn what_is_too_much_changes_nothing() {
        let mut receive = ReceiveWindow::new(100);
        let overdrawn = Overdrawn {
            cost: 101,
            left: 100,
        };
        assert_eq!(receive.receive(101), Err(overdrawn));
        assert_eq!(receive.receive(100), Ok(()));
        let mut send = SendWindow::new(MOST);
        let overflow = Overflow { most: MOST.into() };
        assert_eq!(send.add(1, MOST), Err(overflow));
        assert_eq!(send.left(), MOST.into());
        // Windows of all 32 bits, as yamux has them.
        let mut send = SendWindow::new(256 * 1024);
        assert_eq!(send.add(u32::MAX - 256 * 1024, u32::MAX), Ok(()));
        assert!(send.add(1, u32::MAX).is_err());
    }

    proptest! {
        /// Two sides that keep to their windows agree about them: what is left with the sender, on
        /// the way, kept, owed and on the way back is always the whole, and the sender never waits
        /// while all was taken.
        #[test]
        fn nothing_is_lost_or_made(
            size in 1..10_000u32,
            steps in prop::collection::vec((any::<bool>(), 1..5_000u64), 0..200),
        ) {
            let (mut send, mut receive) = (SendWindow::new(size), ReceiveWindow::new(size));
            let mut kept = VecDeque::new();
            for (sends, cost) in steps {
                if sends && send.allows(cost) {
                    send.spend(cost);
                    prop_assert_eq!(receive.receive(cost), Ok(()));
                    kept.push_back(cost);
                } else if let Some(cost) = kept.pop_front()
                    && receive.take(cost)
                {
                    send.add(receive.give_back(), MOST).expect("fits");
                    prop_assert!(!receive.is_due());
                }
                let held: u64 = kept.iter().sum();
                prop_assert_eq!(receive.in_use(), held);
                if held == 0 {
                    prop_assert!(send.left() * 2 > u64::from(size) || size == 1 && send.left() == 1);
                }
            }
        }
    }
}
