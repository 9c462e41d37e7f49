//! Dialling ids: waiting for the other side's answer.

use futures_channel::oneshot;
use outboard_core::broker as machine;

use super::state::Dial;
use super::{Controlled, Kind};

impl<K: Kind> Controlled<K> {
    /// What the other side's answer to a dial of `id` leads to.
    pub(in crate::broker::ways) async fn answered(
        &self,
        id: u32,
    ) -> Result<K::Found, machine::BrokerError> {
        let (ticket, dialled) = {
            let now = self.0.parts.runtime.now();
            let mut state = self.lock();
            state.machine.dial(now, id)?;
            let (answer, dialled) = oneshot::channel();
            state.last_ticket += 1;
            let ticket = state.last_ticket;
            state.dials.insert(id, Dial { ticket, answer });
            self.settle(state);
            (ticket, dialled)
        };
        let give_up = GiveUp {
            way: self,
            id,
            ticket,
        };
        let answered = dialled.await;
        std::mem::forget(give_up);
        answered.unwrap_or_else(|_| {
            Err(machine::BrokerError::Closed {
                reason: "its side is gone".to_owned(),
            })
        })
    }
}

/// Gives up a dial when its future is dropped.
struct GiveUp<'a, K: Kind> {
    way: &'a Controlled<K>,
    id: u32,
    ticket: u64,
}

impl<K: Kind> Drop for GiveUp<'_, K> {
    fn drop(&mut self) {
        let now = self.way.0.parts.runtime.now();
        let mut state = self.way.lock();
        let is_ours = |dial: &Dial<K>| dial.ticket == self.ticket;
        if !state.dials.get(&self.id).is_some_and(is_ours) {
            return;
        }
        let dial = state.dials.remove(&self.id);
        state.machine.cancel_dial(now, self.id);
        self.way.settle(state);
        drop(dial);
    }
}
