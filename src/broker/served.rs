//! The handle of an interface being served through the broker.

use super::Broker;

/// An interface being served to the other side. Dropping it stops that: no further connection is
/// taken, calls in flight are finished, the socket is removed.
#[derive(Debug)]
#[must_use = "dropping this stops serving"]
pub struct Served {
    broker: Broker,
    id: u32,
}

impl Served {
    pub(super) fn new(broker: Broker, id: u32) -> Self {
        Self { broker, id }
    }

    /// The number to send to the other side, in a message of the application's own.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.broker.stop_serving(self.id);
    }
}
