//! The broker inside one multiplexed connection: knocks, acknowledgements, streams in order.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{
    BrokerAction, BrokerError, ConnInfo, Control, Knock, MAX_PENDING, Route, Shared, StreamsTimer,
};
use crate::queue::KeyedQueue;
use crate::text::excerpt;
use crate::timer::Timers;

/// Bytes of a peer's refusal that an error quotes: one or two sentences.
const QUOTED: usize = 256;

/// What a dialler is told of an id that was accepted once.
const NO_MORE: &str = "nobody accepts on this id any more";

#[derive(Debug, Default)]
pub(super) struct Streams {
    // Dialling.
    /// How many streams for no id wait for their turn, which comes before that of dials.
    mains: u32,
    /// Dials that wait for their turn.
    queued: KeyedQueue<u32>,
    /// Whose turn it is.
    turn: Option<Turn>,
    /// Knocks that were sent and given up without an answer, by id: a late acknowledgement still
    /// reserves the next stream at the peer.
    abandoned: KeyedQueue<u32, u32>,

    // Accepting.
    accepting: BTreeSet<u32>,
    /// Ids that were accepted and are no more, the latest last. Nobody waits for these again, so that a
    /// knock is refused at once and does not cost the dialler its five seconds.
    over: KeyedQueue<u32>,
    /// Knocks on ids that nobody accepts yet.
    kept: KeyedQueue<u32>,
    /// Knocks on accepted ids that wait for the stream of the armed one.
    waiting: KeyedQueue<u32>,
    /// The acknowledged knock whose stream must come next.
    armed: Option<u32>,

    timers: Timers<StreamsTimer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Waiting for the acknowledgement of this id.
    Knocking(u32),
    /// It was acknowledged: the stream is being opened.
    Opening(u32),
    /// A stream for no id is being opened.
    Main,
}

/// Dialling.
impl Streams {
    pub(super) fn dial(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        id: u32,
    ) -> Result<(), BrokerError> {
        if self.queued.contains(&id) || self.turn == Some(Turn::Knocking(id)) {
            return Err(BrokerError::AlreadyDialling { id });
        }
        self.queued.push(id, ());
        if shared.control == Control::Waiting {
            // No dial has its turn before the control stream is up, which may never be.
            self.timers
                .arm(StreamsTimer::Dial(id), now, shared.config.timeout);
        }
        self.next_turn(shared, now);
        Ok(())
    }

    pub(super) fn cancel_dial(&mut self, shared: &mut Shared, now: Instant, id: u32) -> bool {
        let found = if self.turn == Some(Turn::Knocking(id)) {
            self.abandon(shared, id);
            true
        } else {
            self.queued.remove(&id).is_some()
        };
        if found {
            self.timers.disarm(StreamsTimer::Dial(id));
            self.next_turn(shared, now);
        }
        found
    }

    pub(super) fn on_control(&mut self, shared: &mut Shared, now: Instant) {
        for &id in self.queued.keys() {
            self.timers.disarm(StreamsTimer::Dial(id));
        }
        self.next_turn(shared, now);
    }

    pub(super) fn on_interrupted(&mut self, shared: &mut Shared, now: Instant) {
        // None of these has its turn before the control stream is back, which may never be.
        for &id in self.queued.keys() {
            self.timers
                .arm(StreamsTimer::Dial(id), now, shared.config.timeout);
        }
        self.open_all_mains(shared);
    }

    pub(super) fn on_opened(&mut self, shared: &mut Shared, now: Instant, id: u32) {
        if self.turn == Some(Turn::Opening(id)) {
            self.timers.disarm(StreamsTimer::Open(id));
            self.turn = None;
            self.next_turn(shared, now);
        }
    }

    pub(super) fn open_main(&mut self, shared: &mut Shared, now: Instant) {
        self.mains = self.mains.saturating_add(1);
        match shared.control {
            Control::Up => self.next_turn(shared, now),
            // Nobody can have been knocked at.
            Control::Waiting | Control::Lost(_) => self.open_all_mains(shared),
        }
    }

    /// There are no knocks that it could be taken for any more.
    pub(super) fn open_all_mains(&mut self, shared: &mut Shared) {
        for _ in 0..std::mem::take(&mut self.mains) {
            shared.actions.push_back(BrokerAction::OpenMain);
        }
    }

    pub(super) fn on_main_opened(&mut self, shared: &mut Shared, now: Instant) {
        if self.turn == Some(Turn::Main) {
            self.timers.disarm(StreamsTimer::OpenMain);
            self.turn = None;
            self.next_turn(shared, now);
        }
    }

    fn next_turn(&mut self, shared: &mut Shared, now: Instant) {
        if self.turn.is_some() || shared.control != Control::Up {
            return;
        }
        if let Some(left) = self.mains.checked_sub(1) {
            self.mains = left;
            self.turn = Some(Turn::Main);
            shared.actions.push_back(BrokerAction::OpenMain);
            self.timers
                .arm(StreamsTimer::OpenMain, now, shared.config.timeout);
            return;
        }
        if let Some((id, ())) = self.queued.pop() {
            self.turn = Some(Turn::Knocking(id));
            shared.outbox.push_back(knock(id));
            self.timers
                .arm(StreamsTimer::Dial(id), now, shared.config.timeout);
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
        if self.turn == Some(Turn::Knocking(id)) {
            self.timers.disarm(StreamsTimer::Dial(id));
            self.turn = None;
            match ack {
                Some(ack) if ack.error.is_empty() => {
                    self.turn = Some(Turn::Opening(id));
                    shared.actions.push_back(BrokerAction::OpenStream { id });
                    self.timers
                        .arm(StreamsTimer::Open(id), now, shared.config.timeout);
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
        self.over.remove(&id);
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
        self.over.push(id, ());
        if self.over.len() > MAX_PENDING {
            self.over.pop();
        }
        let refuse = if self.armed == Some(id) && take_unsent(shared, &answer(id, "")) {
            self.timers.disarm(StreamsTimer::Stream(id));
            self.armed = None;
            true
        } else {
            false
        };
        let waited = self.waiting.remove(&id).is_some();
        if refuse || waited {
            self.timers.disarm(StreamsTimer::Knock(id));
            shared.outbox.push_back(answer(id, NO_MORE));
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
            self.timers
                .arm(StreamsTimer::Knock(id), now, shared.config.timeout);
            self.arm_next(shared, now);
        } else if self.over.contains(&id) {
            // One refusal tells as much as many, should the peer knock without end and never read.
            let refusal = answer(id, NO_MORE);
            if !shared.outbox.contains(&refusal) {
                shared.outbox.push_back(refusal);
            }
        } else {
            if self.kept.len() >= MAX_PENDING
                && let Some((oldest, ())) = self.kept.pop()
            {
                self.timers.disarm(StreamsTimer::Knock(oldest));
                shared.ignore();
            }
            self.kept.push(id, ());
            self.timers
                .arm(StreamsTimer::Knock(id), now, shared.config.timeout);
        }
    }

    /// Acknowledges the next knock, unless a stream is still expected for the previous one.
    fn arm_next(&mut self, shared: &mut Shared, now: Instant) {
        if self.armed.is_some() {
            return;
        }
        if let Some((id, ())) = self.waiting.pop() {
            self.timers.disarm(StreamsTimer::Knock(id));
            self.armed = Some(id);
            shared.outbox.push_back(answer(id, ""));
            // A dialler that gave up in the meantime may open its stream late, to have it discarded.
            // Should it then meet the next armed id, two services would be swapped, which is worse
            // than making others wait: hence twice the time.
            let wait = shared.config.timeout.saturating_mul(2);
            self.timers.arm(StreamsTimer::Stream(id), now, wait);
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
        self.timers.disarm(StreamsTimer::Stream(id));
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
    /// What was under way when the control stream was lost may not have arrived, and nothing of it comes
    /// any more.
    pub(super) fn on_reopened(&mut self, shared: &mut Shared, now: Instant) {
        shared.outbox.clear();
        self.abandoned = KeyedQueue::new();
        for &id in self.kept.keys().chain(self.waiting.keys()) {
            self.timers.disarm(StreamsTimer::Knock(id));
        }
        (self.kept, self.waiting) = (KeyedQueue::new(), KeyedQueue::new());
        if let Some(id) = self.armed.take() {
            self.timers.disarm(StreamsTimer::Stream(id));
        }
        if let Some(Turn::Knocking(id)) = self.turn {
            shared.outbox.push_back(knock(id));
        }
        self.on_control(shared, now);
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, StreamsTimer)> {
        self.timers.next()
    }

    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            self.on_timer(shared, now, kind);
        }
    }

    fn on_timer(&mut self, shared: &mut Shared, now: Instant, kind: StreamsTimer) {
        match kind {
            StreamsTimer::Dial(id) => {
                if self.cancel_dial(shared, now, id) {
                    shared.dial_timed_out(id);
                }
            }
            StreamsTimer::Open(id) => self.on_opened(shared, now, id),
            StreamsTimer::OpenMain => self.on_main_opened(shared, now),
            StreamsTimer::Knock(id) => {
                self.kept.remove(&id);
                self.waiting.remove(&id);
            }
            StreamsTimer::Stream(id) => {
                if self.armed == Some(id) {
                    take_unsent(shared, &answer(id, ""));
                    self.armed = None;
                    self.arm_next(shared, now);
                }
            }
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
            Some(Turn::Knocking(id)) => Some(id),
            Some(Turn::Opening(_) | Turn::Main) | None => None,
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
