//! What messages cost.

use outboard_core::rpc::OutMessage;
use outboard_mux::{Cost, Overdrawn};

use super::limits::MESSAGE_COST;
use super::violation::Violation;

/// The credit a whole message of `len` bytes costs.
pub(super) fn cost(len: usize) -> u64 {
    len as u64 + u64::from(MESSAGE_COST)
}

/// A message that waits to be sent. It counts beside its bytes, so that a flood of empty ones is held up
/// too.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) message: OutMessage,
    pub(super) len: usize,
}

impl Outbound {
    pub(super) fn new(message: OutMessage) -> Self {
        let len = message.len();
        Self { message, len }
    }
}

impl Cost for Outbound {
    fn cost(&self) -> u64 {
        cost(self.len)
    }
}

/// More messages than credit.
pub(super) fn exceeded(overdrawn: Overdrawn, stream: u32, scope: &'static str) -> Violation {
    let Overdrawn { cost, left } = overdrawn;
    Violation::CreditExceeded {
        stream,
        cost,
        left,
        scope,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_messages_cost_too() {
        assert_eq!((cost(0), cost(936)), (64, 1_000));
        assert_eq!(Outbound::new(OutMessage::copy_from(b"abc")).cost(), 67);
    }
}
