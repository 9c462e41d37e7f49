//! The broker with a listener per id: announcements, boxes, dials that wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{BrokerAction, BrokerError, BrokerEvent, ConnInfo, MAX_PENDING, Shared};
use crate::endpoint::{Endpoint, EndpointError};
use crate::fault::Fault;
use crate::queue::KeyedQueue;
use crate::text::excerpt;
use crate::timer::TimerKind;

/// The longest network name and address taken from the peer, in bytes: a unix path has at most 107
/// and a host name 253.
const MAX_ADDRESS: usize = 1024;

/// Bytes of an overlong address that an error quotes.
const QUOTED: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Listeners {
    accepting: BTreeMap<u32, Accepting>,
    /// Announcements nobody has dialled yet. A bad one is an answer as well.
    boxes: KeyedQueue<u32, Result<Endpoint, EndpointError>>,
    /// Dials that wait for their announcement.
    dials: BTreeSet<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Accepting {
    /// Waiting for the listener.
    Opening,
    Announced(ConnInfo),
}

impl Listeners {
    pub(super) fn accept(&mut self, shared: &mut Shared, id: u32) {
        self.accepting.insert(id, Accepting::Opening);
        shared.actions.push_back(BrokerAction::Listen { id });
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
            shared.timers.disarm(TimerKind::Announcement(id));
            connect(shared, id, announced);
        } else {
            self.dials.insert(id);
            shared.arm(TimerKind::Dial(id), now);
        }
        Ok(())
    }

    pub(super) fn cancel_dial(&mut self, shared: &mut Shared, id: u32) {
        if self.dials.remove(&id) {
            shared.timers.disarm(TimerKind::Dial(id));
        }
    }

    pub(super) fn on_message(&mut self, shared: &mut Shared, now: Instant, message: ConnInfo) {
        let id = message.service_id;
        if message.knock.is_some() {
            shared.ignore();
            return;
        }
        if self.dials.remove(&id) {
            shared.timers.disarm(TimerKind::Dial(id));
            connect(shared, id, read(&message));
        } else if self.boxes.contains(&id) {
            // One announcement serves one dial, and the first stays until it is taken or too old.
            shared.ignore();
        } else {
            if self.boxes.len() >= MAX_PENDING
                && let Some((oldest, _)) = self.boxes.pop()
            {
                shared.timers.disarm(TimerKind::Announcement(oldest));
                shared.ignore();
            }
            self.boxes.push(id, read(&message));
            shared.arm(TimerKind::Announcement(id), now);
        }
    }

    pub(super) fn on_listening(&mut self, shared: &mut Shared, id: u32, endpoint: &Endpoint) {
        match self.accepting.get_mut(&id) {
            Some(state @ Accepting::Opening) => {
                let message = ConnInfo {
                    service_id: id,
                    network: endpoint.network().to_owned(),
                    address: endpoint.address(),
                    knock: None,
                };
                *state = Accepting::Announced(message.clone());
                shared.outbox.push_back(message);
            }
            Some(Accepting::Announced(_)) => {}
            // Closed while it was being made; said again, in case it did not exist the first time.
            None => shared.stop_listening(id),
        }
    }

    /// Says everything again: what was under way when the stream was lost may not have arrived, and
    /// the peer takes no notice of what it knows.
    pub(super) fn on_reopened(&self, shared: &mut Shared) {
        shared.outbox.clear();
        let announced = self.accepting.values().filter_map(|state| match state {
            Accepting::Opening => None,
            Accepting::Announced(message) => Some(message.clone()),
        });
        shared.outbox.extend(announced);
    }

    pub(super) fn on_listen_failed(&mut self, shared: &mut Shared, id: u32, fault: Fault) {
        if self.accepting.get(&id) == Some(&Accepting::Opening) {
            self.accepting.remove(&id);
            let error = BrokerError::Listen { id, fault };
            shared
                .events
                .push_back(BrokerEvent::AcceptFailed { id, error });
        }
    }

    pub(super) fn on_timer(&mut self, shared: &mut Shared, kind: TimerKind) {
        match kind {
            TimerKind::Announcement(id) => {
                self.boxes.remove(&id);
            }
            TimerKind::Dial(id) => {
                if self.dials.remove(&id) {
                    shared.dial_timed_out(id);
                }
            }
            // Not of this machine.
            TimerKind::Start
            | TimerKind::Reconnect
            | TimerKind::Unreachable
            | TimerKind::Evidence
            | TimerKind::ShutdownGrace
            | TimerKind::Reap
            | TimerKind::LastOutput
            | TimerKind::Silence
            | TimerKind::PipeDrain
            | TimerKind::FirstConnection
            | TimerKind::Drain
            | TimerKind::Open(_)
            | TimerKind::Knock(_)
            | TimerKind::Stream(_) => {}
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
