//! Dialling ids: waiting for the announcement, then connecting.

use std::sync::Arc;

use futures_channel::oneshot;
use outboard_core::broker as machine;
use outboard_core::endpoint::Endpoint;
use outboard_core::rpc::Channel;

use super::state::{Dial, Inside};
use super::{Broker, BrokerError, redial};

impl Broker {
    /// A channel to what the other side serves under `id`; see [`dial`](Self::dial).
    ///
    /// # Errors
    /// As [`dial`](Self::dial).
    pub async fn dial_channel(&self, id: u32) -> Result<Channel, BrokerError> {
        loop {
            let begun = {
                let mut state = self.lock();
                if let Some(closed) = state.machine.closed() {
                    return Err(closed.clone().into());
                }
                match &mut state.inside {
                    Inside::Sockets => break,
                    Inside::Channels(channels) => {
                        let channels = channels.clone();
                        drop(state);
                        let config = self.0.parts.config.clone();
                        return Ok(Channel::new(channels.dial(id, config)));
                    }
                    Inside::Beginning(early) => {
                        let (known, begun) = oneshot::channel();
                        early.dials.push(known);
                        begun
                    }
                }
            };
            // The other end is only ever dropped.
            let _known = begun.await;
        }
        let endpoint = self.announced(id).await?;
        let runtime = Arc::clone(&self.0.parts.runtime);
        let io = match redial::connect(runtime, endpoint.clone()).await {
            Ok(io) => io,
            Err(fault) => {
                let endpoint = endpoint.to_string();
                return Err(BrokerError::Connect {
                    id,
                    endpoint,
                    fault,
                });
            }
        };
        Ok(Channel::new(self.keep_dialled(id, endpoint, io)))
    }

    /// Where the other side serves `id`.
    async fn announced(&self, id: u32) -> Result<Endpoint, machine::BrokerError> {
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
            broker: self,
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
struct GiveUp<'a> {
    broker: &'a Broker,
    id: u32,
    ticket: u64,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        let now = self.broker.0.parts.runtime.now();
        let mut state = self.broker.lock();
        let is_ours = |dial: &Dial| dial.ticket == self.ticket;
        if !state.dials.get(&self.id).is_some_and(is_ours) {
            return;
        }
        let dial = state.dials.remove(&self.id);
        state.machine.cancel_dial(now, self.id);
        self.broker.settle(state);
        drop(dial);
    }
}
