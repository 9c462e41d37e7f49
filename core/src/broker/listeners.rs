//! The broker with a listener per id: announcements, boxes, dials that wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{BrokerAction, BrokerError, ConnInfo, ListenersTimer, MAX_PENDING, Shared};
use crate::endpoint::{Endpoint, EndpointError};
use crate::queue::KeyedQueue;
use crate::text::excerpt;
use crate::timer::Timers;

/// The longest network name and address taken from the peer, in bytes: a unix path has at most 107
/// and a host name 253.
const MAX_ADDRESS: usize = 1024;

/// Bytes of an overlong address that an error quotes.
const QUOTED: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// How each served id is announced.
    accepting: BTreeMap<u32, Option<ConnInfo>>,
    /// Announcements nobody has dialled yet. A bad one is an answer as well.
    boxes: KeyedQueue<u32, Result<Endpoint, EndpointError>>,
    /// Dials that wait for their announcement.
    dials: BTreeSet<u32>,
    timers: Timers<ListenersTimer>,
}

impl Listeners {
    pub(super) fn accept(&mut self, shared: &mut Shared, id: u32, at: Option<&Endpoint>) {
        let message = at.map(|endpoint| ConnInfo {
            service_id: id,
            network: endpoint.network().to_owned(),
            address: endpoint.address(),
            knock: None,
        });
        shared.outbox.extend(message.clone());
        self.accepting.insert(id, message);
    }

    pub(super) fn close_id(&mut self, shared: &mut Shared, id: u32) {
        if self.accepting.remove(&id).is_some() {
            shared.outbox.retain(|message| message.service_id != id);
            shared.stop_listening(id);
        }
    }

    pub(super) fn dial(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        id: u32,
    ) -> Result<(), BrokerError> {
        if self.dials.contains(&id) {
            return Err(BrokerError::AlreadyDialling { id });
        }
        if let Some(announced) = self.boxes.remove(&id) {
            self.timers.disarm(ListenersTimer::Announcement(id));
            connect(shared, id, announced);
        } else {
            self.dials.insert(id);
            self.timers
                .arm(ListenersTimer::Dial(id), now, shared.config.timeout);
        }
        Ok(())
    }

    pub(super) fn cancel_dial(&mut self, id: u32) {
        if self.dials.remove(&id) {
            self.timers.disarm(ListenersTimer::Dial(id));
        }
    }

    pub(super) fn on_message(&mut self, shared: &mut Shared, now: Instant, message: ConnInfo) {
        let id = message.service_id;
        if message.knock.is_some() {
            shared.ignore();
            return;
        }
        if self.dials.remove(&id) {
            self.timers.disarm(ListenersTimer::Dial(id));
            connect(shared, id, read(&message));
        } else if self.boxes.contains(&id) {
            // One announcement serves one dial, and the first stays until it is taken or too old.
            shared.ignore();
        } else {
            if self.boxes.len() >= MAX_PENDING
                && let Some((oldest, _)) = self.boxes.pop()
            {
                self.timers.disarm(ListenersTimer::Announcement(oldest));
                shared.ignore();
            }
            self.boxes.push(id, read(&message));
            self.timers
                .arm(ListenersTimer::Announcement(id), now, shared.config.timeout);
        }
    }

    /// Says everything again: what was under way when the stream was lost may not have arrived, and
    /// the peer takes no notice of what it knows.
    pub(super) fn on_reopened(&self, shared: &mut Shared) {
        shared.outbox.clear();
        let announced = self.accepting.values().flatten().cloned();
        shared.outbox.extend(announced);
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, ListenersTimer)> {
        self.timers.next()
    }

    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            self.on_timer(shared, kind);
        }
    }

    fn on_timer(&mut self, shared: &mut Shared, kind: ListenersTimer) {
        match kind {
            ListenersTimer::Announcement(id) => {
                self.boxes.remove(&id);
            }
            ListenersTimer::Dial(id) => {
                if self.dials.remove(&id) {
                    shared.dial_timed_out(id);
                }
            }
        }
    }

    pub(super) fn is_accepting(&self, id: u32) -> bool {
        self.accepting.contains_key(&id)
    }

    pub(super) fn pending(&self) -> usize {
        self.boxes.len()
    }

    /// The ids being dialled, and those being accepted.
    pub(super) fn into_ids(self) -> (Vec<u32>, Vec<u32>) {
        (
            self.dials.into_iter().collect(),
            self.accepting.into_keys().collect(),
        )
    }
}

fn connect(shared: &mut Shared, id: u32, announced: Result<Endpoint, EndpointError>) {
    match announced {
        Ok(endpoint) => shared
            .actions
            .push_back(BrokerAction::Connect { id, endpoint }),
        Err(reason) => shared.dial_failed(id, BrokerError::BadAnnouncement { id, reason }),
    }
}

/// Reads an announcement; the result holds no more than [`MAX_ADDRESS`] bytes of the peer's.
fn read(message: &ConnInfo) -> Result<Endpoint, EndpointError> {
    let (network, address) = (&message.network, &message.address);
    if network.len() > QUOTED {
        let network = excerpt(network.as_bytes(), QUOTED);
        return Err(EndpointError::UnknownNetwork { network });
    }
    if address.len() > MAX_ADDRESS {
        let address = excerpt(address.as_bytes(), QUOTED);
        return Err(EndpointError::BadTcpAddress { address });
    }
    Endpoint::parse(network, address)
}
