//! Credit: what may be sent, what may come, and when to give credit back.

use super::violation::Violation;

/// What a message costs beside its bytes, so that empty messages cannot pile up without limit:
/// about what a receiver spends to keep one in a queue.
pub const MESSAGE_COST: u32 = 64;

/// The credit a whole message of `len` bytes costs.
pub(super) fn cost(len: usize) -> u64 {
    len as u64 + u64::from(MESSAGE_COST)
}

/// The credit the peer has given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendWindow {
    left: u64,
}

impl SendWindow {
    pub(super) fn new(left: u32) -> Self {
        Self { left: left.into() }
    }

    pub(super) fn allows(self, cost: u64) -> bool {
        cost <= self.left
    }

    pub(super) fn spend(&mut self, cost: u64) {
        self.left = self.left.saturating_sub(cost);
    }

    pub(super) fn add(&mut self, amount: u32, stream: u32) -> Result<(), Violation> {
        self.left += u64::from(amount);
        if self.left > i32::MAX as u64 {
            return Err(Violation::CreditOverflow { stream });
        }
        Ok(())
    }
}

/// The credit this side has given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReceiveWindow {
    size: u64,
    /// What the peer may still send.
    left: u64,
    /// What was taken out and not given back yet.
    owed: u64,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> Self {
        Self {
            size: size.into(),
            left: size.into(),
            owed: 0,
        }
    }

    /// A message came.
    pub(super) fn receive(
        &mut self,
        cost: u64,
        stream: u32,
        scope: &'static str,
    ) -> Result<(), Violation> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Violation::CreditExceeded {
                stream,
                cost,
                left: self.left,
                scope,
            }),
        }
    }

    /// A message was taken out of the queue. Whether it is time to give credit back: half a
    /// window at a time keeps credit frames rare and the sender going.
    pub(super) fn take(&mut self, cost: u64) -> bool {
        self.owed += cost;
        self.owed * 2 >= self.size
    }

    /// Whether credit should be given back now.
    pub(super) fn due(self) -> bool {
        self.owed > 0 && self.owed * 2 >= self.size
    }

    /// Gives back what is owed.
    pub(super) fn give_back(&mut self) -> u32 {
        let amount = std::mem::take(&mut self.owed);
        self.left += amount;
        u32::try_from(amount).unwrap_or(u32::MAX)
    }

    /// What the peer's messages occupy: received and not yet given back.
    pub(super) fn in_use(self) -> u64 {
        self.size
            .saturating_sub(self.left)
            .saturating_sub(self.owed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_goes_round() {
        let mut send = SendWindow::new(1_000);
        let mut receive = ReceiveWindow::new(1_000);
        assert!(send.allows(cost(936)) && !send.allows(cost(937)));
        send.spend(cost(336));
        receive.receive(cost(336), 1, "stream").expect("in credit");
        assert!(!receive.take(cost(336)));
        send.spend(cost(36));
        receive.receive(cost(36), 1, "stream").expect("in credit");
        assert_eq!(receive.in_use(), 100);
        assert!(receive.take(cost(36)) && receive.due());
        send.add(receive.give_back(), 1).expect("fits");
        assert!(send.allows(1_000) && !send.allows(1_001));
        assert!(!receive.due());
    }

    #[test]
    fn overdrafts_and_overflows_are_violations() {
        let mut receive = ReceiveWindow::new(100);
        assert!(receive.receive(101, 1, "stream").is_err());
        let mut send = SendWindow::new(i32::MAX as u32);
        assert!(send.add(1, 1).is_err());
    }
}
