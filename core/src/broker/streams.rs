//! The broker inside one multiplexed connection: knocks, acknowledgements, streams in order.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{BrokerAction, BrokerError, ConnInfo, Control, Knock, MAX_PENDING, Route, Shared};
use crate::queue::KeyedQueue;
use crate::text::excerpt;
use crate::timer::TimerKind;

/// Bytes of a peer's refusal that an error quotes: one or two sentences.
const QUOTED: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Streams {
    // Dialling.
    /// Dials that wait for their turn.
    queued: KeyedQueue<u32>,
    /// The dial whose turn it is.
    turn: Option<(u32, Turn)>,
    /// Knocks that were sent and given up without an answer, by id: a late acknowledgement still
    /// reserves the next stream at the peer.
    abandoned: KeyedQueue<u32, u32>,

    // Accepting.
    accepting: BTreeSet<u32>,
    /// Knocks on ids that nobody accepts yet.
    kept: KeyedQueue<u32>,
    /// Knocks on accepted ids that wait for the stream of the armed one.
    waiting: KeyedQueue<u32>,
    /// The acknowledged knock whose stream must come next.
    armed: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Waiting for the acknowledgement.
    Knocking,
    /// Acknowledged: the stream is being opened.
    Opening,
}

/// Dialling.
impl Streams {
    pub(super) fn dial(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        id: u32,
    ) -> Result<(), BrokerError> {
        if self.queued.contains(&id) || self.turn == Some((id, Turn::Knocking)) {
            return Err(BrokerError::AlreadyDialling { id });
        }
        self.queued.push(id, ());
        if shared.control == Control::Waiting {
            // No dial has its turn before the control stream is up, which may never be.
            shared.arm(TimerKind::Dial(id), now);
        }
        self.next_turn(shared, now);
        Ok(())
    }

    pub(super) fn cancel_dial(&mut self, shared: &mut Shared, now: Instant, id: u32) -> bool {
        let found = if self.turn == Some((id, Turn::Knocking)) {
            self.abandon(shared, id);
            true
        } else {
            self.queued.remove(&id).is_some()
        };
        if found {
            shared.timers.disarm(TimerKind::Dial(id));
            self.next_turn(shared, now);
        }
        found
    }

    pub(super) fn on_control(&mut self, shared: &mut Shared, now: Instant) {
        for &id in self.queued.keys() {
            shared.timers.disarm(TimerKind::Dial(id));
        }
        self.next_turn(shared, now);
    }

    pub(super) fn on_opened(&mut self, shared: &mut Shared, now: Instant, id: u32) {
        if self.turn == Some((id, Turn::Opening)) {
            shared.timers.disarm(TimerKind::Open(id));
            self.turn = None;
            self.next_turn(shared, now);
        }
    }

    fn next_turn(&mut self, shared: &mut Shared, now: Instant) {
        if self.turn.is_some() || shared.control != Control::Up {
            return;
        }
        if let Some((id, ())) = self.queued.pop() {
            self.turn = Some((id, Turn::Knocking));
            shared.outbox.push_back(knock(id));
            shared.arm(TimerKind::Dial(id), now);
        }
    }

    /// Gives up the dial that is knocking.
    fn abandon(&mut self, shared: &mut Shared, id: u32) {
        self.turn = None;
        if take_unsent(shared, &knock(id)) {
            return;
        }
        let count = self.abandoned.remove(&id).unwrap_or(0);
        self.abandoned.push(id, count.saturating_add(1));
        if self.abandoned.len() > MAX_PENDING {
            self.abandoned.pop();
        }
    }

    fn on_answer(&mut self, shared: &mut Shared, now: Instant, id: u32, answer: Option<Knock>) {
        let ack = answer.filter(|answer| answer.knock && answer.ack);
        if self.turn == Some((id, Turn::Knocking)) {
            shared.timers.disarm(TimerKind::Dial(id));
            self.turn = None;
            match ack {
                Some(ack) if ack.error.is_empty() => {
                    self.turn = Some((id, Turn::Opening));
                    shared.actions.push_back(BrokerAction::OpenStream { id });
                    shared.arm(TimerKind::Open(id), now);
                }
                Some(ack) => {
                    let reason = excerpt(ack.error.as_bytes(), QUOTED);
                    shared.dial_failed(id, BrokerError::Refused { id, reason });
                }
                None => shared.dial_failed(id, BrokerError::BadAnswer { id }),
            }
            self.next_turn(shared, now);
            return;
        }
        let abandoned = self.abandoned.get_mut(&id);
        let (Some(count), Some(ack)) = (abandoned, ack) else {
            shared.ignore();
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.abandoned.remove(&id);
        }
        if ack.error.is_empty() {
            shared.actions.push_back(BrokerAction::DiscardStream { id });
        }
    }
}

/// Accepting.
impl Streams {
    pub(super) fn accept(&mut self, shared: &mut Shared, now: Instant, id: u32) {
        self.accepting.insert(id);
        if self.kept.remove(&id).is_some() {
            self.waiting.push(id, ());
            self.arm_next(shared, now);
        }
    }

    pub(super) fn close_id(&mut self, shared: &mut Shared, now: Instant, id: u32) {
        if !self.accepting.remove(&id) {
            return;
        }
        shared.stop_listening(id);
        let refuse = if self.armed == Some(id) && take_unsent(shared, &answer(id, "")) {
            shared.timers.disarm(TimerKind::Stream(id));
            self.armed = None;
            true
        } else {
            false
        };
        let waited = self.waiting.remove(&id).is_some();
        if refuse || waited {
            shared.timers.disarm(TimerKind::Knock(id));
            shared
                .outbox
                .push_back(answer(id, "nobody accepts on this id any more"));
        }
        self.arm_next(shared, now);
    }

    pub(super) fn on_message(&mut self, shared: &mut Shared, now: Instant, message: ConnInfo) {
        let id = message.service_id;
        match message.knock {
            Some(Knock {
                ack: false, knock, ..
            }) => {
                if knock {
                    self.on_knock(shared, now, id);
                } else {
                    shared.ignore();
                }
            }
            other => self.on_answer(shared, now, id, other),
        }
    }

    fn on_knock(&mut self, shared: &mut Shared, now: Instant, id: u32) {
        // One knock of each id is remembered; the dialler knocks again only when it has given up.
        if self.kept.contains(&id) || self.waiting.contains(&id) {
            shared.ignore();
        } else if self.accepting.contains(&id) {
            self.waiting.push(id, ());
            shared.arm(TimerKind::Knock(id), now);
            self.arm_next(shared, now);
        } else {
            if self.kept.len() >= MAX_PENDING
                && let Some((oldest, ())) = self.kept.pop()
            {
                shared.timers.disarm(TimerKind::Knock(oldest));
                shared.ignore();
            }
            self.kept.push(id, ());
            shared.arm(TimerKind::Knock(id), now);
        }
    }

    /// Acknowledges the next knock, unless a stream is still expected for the previous one.
    fn arm_next(&mut self, shared: &mut Shared, now: Instant) {
        if self.armed.is_some() {
            return;
        }
        if let Some((id, ())) = self.waiting.pop() {
            shared.timers.disarm(TimerKind::Knock(id));
            self.armed = Some(id);
            shared.outbox.push_back(answer(id, ""));
            // A dialler that gave up in the meantime may open its stream late, to have it discarded.
            // Should it then meet the next armed id, two services would be swapped, which is worse
            // than making others wait: hence twice the time.
            let wait = shared.config.timeout.saturating_mul(2);
            shared.timers.arm(TimerKind::Stream(id), now, wait);
        }
    }

    pub(super) fn on_arrived(&mut self, shared: &mut Shared, now: Instant) -> Route {
        let Some(id) = self.armed else {
            return Route::Main;
        };
        if shared.outbox.contains(&answer(id, "")) {
            // The peer cannot have seen the acknowledgement, so it does not mean this stream.
            return Route::Main;
        }
        self.armed = None;
        shared.timers.disarm(TimerKind::Stream(id));
        self.arm_next(shared, now);
        if self.accepting.contains(&id) {
            Route::To(id)
        } else {
            Route::Refuse
        }
    }
}

/// Both.
impl Streams {
    pub(super) fn on_timer(&mut self, shared: &mut Shared, now: Instant, kind: TimerKind) {
        match kind {
            TimerKind::Dial(id) => {
                if self.cancel_dial(shared, now, id) {
                    shared.dial_timed_out(id);
                }
            }
            TimerKind::Open(id) => self.on_opened(shared, now, id),
            TimerKind::Knock(id) => {
                self.kept.remove(&id);
                self.waiting.remove(&id);
            }
            TimerKind::Stream(id) => {
                if self.armed == Some(id) {
                    take_unsent(shared, &answer(id, ""));
                    self.armed = None;
                    self.arm_next(shared, now);
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
            | TimerKind::Announcement(_) => {}
        }
    }

    pub(super) fn is_accepting(&self, id: u32) -> bool {
        self.accepting.contains(&id)
    }

    pub(super) fn pending(&self) -> usize {
        self.kept.len() + self.waiting.len() + usize::from(self.armed.is_some())
    }

    /// The ids being dialled, and those being accepted.
    pub(super) fn into_ids(self) -> (Vec<u32>, Vec<u32>) {
        let knocking = match self.turn {
            Some((id, Turn::Knocking)) => Some(id),
            Some((_, Turn::Opening)) | None => None,
        };
        (
            knocking
                .into_iter()
                .chain(self.queued.keys().copied())
                .collect(),
            self.accepting.into_iter().collect(),
        )
    }
}

fn knock(id: u32) -> ConnInfo {
    with_knock(id, false, "")
}

fn answer(id: u32, error: &str) -> ConnInfo {
    with_knock(id, true, error)
}

fn with_knock(id: u32, ack: bool, error: &str) -> ConnInfo {
    ConnInfo {
        service_id: id,
        knock: Some(Knock {
            knock: true,
            ack,
            error: error.to_owned(),
        }),
        ..ConnInfo::default()
    }
}

/// Takes a message back that has not been handed out.
fn take_unsent(shared: &mut Shared, message: &ConnInfo) -> bool {
    let before = shared.outbox.len();
    shared.outbox.retain(|other| other != message);
    shared.outbox.len() < before
}
