//! Dialling ids: waiting for the announcement, then connecting.

use std::io;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use outboard_core::broker as machine;
use outboard_core::endpoint::Endpoint;
use outboard_core::rpc::{Channel, ConnectionConfig};
use outboard_core::rt::BoxByteStream;

use super::state::{Dial, Inside};
use super::{Broker, BrokerError};
use crate::time;

/// How long connecting to an announced address may take; as in Go's gRPC.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

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
        let io = self.connect(id, &endpoint).await?;
        let parts = &self.0.parts;
        let config = ConnectionConfig {
            authority: endpoint.authority(),
            ..parts.config.clone()
        };
        Ok(Channel::new(parts.transport.connect(
            &parts.runtime,
            io,
            config,
        )))
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

    async fn connect(&self, id: u32, endpoint: &Endpoint) -> Result<BoxByteStream, BrokerError> {
        let parts = &self.0.parts;
        // The system itself gives up an address that does not answer after minutes.
        let limit = time::sleep(&parts.runtime, CONNECT_WITHIN);
        let connected = match select(parts.runtime.connect(endpoint), limit).await {
            Either::Left((connected, _)) => connected,
            Either::Right(((), _)) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it did not answer within {CONNECT_WITHIN:?}"),
            )),
        };
        connected.map_err(|error| BrokerError::Connect {
            id,
            endpoint: endpoint.to_string(),
            fault: endpoint.connect_fault(error),
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
