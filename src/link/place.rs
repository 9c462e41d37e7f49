//! A place among those who wait for the next connection.

use std::sync::Arc;
use std::task::Context;

use super::{Shared, Way};

/// Where somebody goes who needs a connection, and that it waits if it does.
pub(super) struct Place {
    shared: Arc<Shared>,
    ticket: Option<u64>,
}

impl Place {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            ticket: None,
        }
    }

    /// Where to go. With [`Way::Wait`] the task is woken when that may have changed.
    pub(super) fn way(&mut self, cx: &Context<'_>) -> Way {
        let mut state = self.shared.state.lock();
        let way = self.shared.way(&state);
        let earlier = match (&way, self.ticket) {
            (Way::Wait, None) => {
                state.tickets += 1;
                let ticket = state.tickets;
                self.ticket = Some(ticket);
                state.waiting.insert(ticket, cx.waker().clone())
            }
            (Way::Wait, Some(ticket)) => state.waiting.insert(ticket, cx.waker().clone()),
            (Way::To(..) | Way::Nowhere(_), ticket) => {
                self.ticket = None;
                ticket.and_then(|ticket| state.waiting.remove(&ticket))
            }
        };
        let wanted = match way {
            Way::Wait => state.wanted.take(),
            Way::To(..) | Way::Nowhere(_) => None,
        };
        drop(state);
        drop(earlier);
        if let Some(wanted) = wanted {
            wanted.wake();
        }
        way
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waker = self.shared.state.lock().waiting.remove(&ticket);
            drop(waker);
        }
    }
}
