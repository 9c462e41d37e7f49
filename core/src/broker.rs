//! The broker: further connections between host and plugin, made over ids that calls carry.
//!
//! Both sides run the same machine. Its rules are those of go-plugin's `GRPCBroker`, with its races
//! taken out: acknowledged knocks are matched to streams one by one, and nothing is kept for longer
//! than the peer waits for it.

mod ids;
mod listeners;
mod streams;
mod types;

use std::collections::VecDeque;
use std::time::Instant;

use crate::endpoint::Endpoint;

use listeners::Listeners;
use streams::Streams;

pub use crate::wire::plugin::ConnInfo;
pub use crate::wire::plugin::conn_info::Knock;
pub use ids::Ids;
pub use types::{
    BrokerAction, BrokerConfig, BrokerError, BrokerEvent, BrokerInput, BrokerMode, BrokerTimer,
    ListenersTimer, Route, StreamsTimer,
};

/// The most ids for which messages of the peer are kept that nobody here has asked for yet. Each
/// lives for the timeout only, so this bounds a flood and no ordinary use: go-plugin has no bound.
/// Beyond it the oldest gives way, being the likeliest that nobody wants any more.
pub const MAX_PENDING: usize = 1024;

/// The state of the broker on one side of one control stream.
///
/// Its methods are getters, `handle*` for what comes from outside, verbs for what the user wants,
/// and `poll_*` for what goes outside. The crate's documentation says in which order to use them.
/// No input in any order makes it panic, and what a peer sends takes bounded memory.
///
/// A broker belongs to one connection. A control stream that ends closes it for good, unless the
/// connection is made again and with it the stream; a plugin that serves several hosts one after
/// another makes a broker for each.
///
/// With [`BrokerMode::Listeners`] an accept announces where somebody listens; a dial takes an
/// announcement, which may have come before or comes within the timeout:
///
/// ```text
///  accept:  Announced ── close_id() ──▶ (gone)
///  dial:    (box full) ──▶ Connect     (box empty) ──▶ Waiting ── announced ──▶ Connect
///                                                         └────── timeout ────▶ DialFailed
///  box:     Empty ── announced, nobody waits ──▶ Full ── dial(), or 5 s ──▶ Empty
/// ```
///
/// With [`BrokerMode::Multiplexed`] a dial knocks and opens a stream once it is acknowledged, one
/// dial at a time; an accept answers one knock at a time and takes the next stream for it:
///
/// ```text
///  dial:    Queued ── its turn ──▶ Knocking ── ack ──▶ Opening ── StreamOpened ──▶ next turn
///                                     ├── refusal, timeout ──▶ DialFailed, next turn
///                                     └── late ack ──▶ DiscardStream
///  main:    Queued ── its turn, before dials ──▶ OpenMain ── MainOpened ──▶ next turn
///  knock:   Kept (nobody accepts) ── accept() ──▶ Waiting ── its turn, ack ──▶ Armed ── stream ──▶ To(id)
///             └── 5 s ──▶ (gone)                     └── 5 s ──▶ (gone)          └── 10 s ──▶ next turn
/// ```
#[derive(Debug)]
pub struct Broker {
    ways: Ways,
    shared: Shared,
    ids: Ids,
}

/// What both modes need.
#[derive(Debug)]
struct Shared {
    config: BrokerConfig,
    control: Control,
    outbox: VecDeque<ConnInfo>,
    actions: VecDeque<BrokerAction>,
    events: VecDeque<BrokerEvent>,
    ignored: u64,
}

#[derive(Debug)]
enum Ways {
    Listeners(Listeners),
    Multiplexed(Box<Streams>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Control {
    /// Not up yet, or not up for now: what is to be sent waits.
    Waiting,
    Up,
    Lost(BrokerError),
}

impl Broker {
    /// A broker whose control stream is not up yet.
    #[must_use]
    pub fn new(config: BrokerConfig) -> Self {
        Self {
            ways: match config.mode {
                BrokerMode::Listeners => Ways::Listeners(Listeners::default()),
                BrokerMode::Multiplexed => Ways::Multiplexed(Box::default()),
            },
            shared: Shared {
                config,
                control: Control::Waiting,
                outbox: VecDeque::new(),
                actions: VecDeque::new(),
                events: VecDeque::new(),
                ignored: 0,
            },
            ids: Ids::default(),
        }
    }

    /// A fresh id to accept on, by the rule of [`Ids`], leaving out ids that are being accepted.
    pub fn next_id(&mut self) -> u32 {
        let ways = &self.ways;
        self.ids.fresh(|id| ways.is_accepting(id))
    }

    /// Offers `id` to the peer, until [`close_id`](Self::close_id).
    ///
    /// With [`BrokerMode::Listeners`], `at` is where the *peer* reaches the listener that serves the
    /// id: it is there already, so that nobody is told of what cannot be had, and a host whose plugin
    /// sees other addresses has translated it. When multiplexed there is none.
    ///
    /// # Errors
    /// [`BrokerError::AlreadyAccepting`] or [`BrokerError::Closed`].
    pub fn accept(
        &mut self,
        now: Instant,
        id: u32,
        at: Option<&Endpoint>,
    ) -> Result<(), BrokerError> {
        self.shared.check_open()?;
        if self.is_accepting(id) {
            return Err(BrokerError::AlreadyAccepting { id });
        }
        match &mut self.ways {
            Ways::Listeners(listeners) => listeners.accept(&mut self.shared, id, at),
            Ways::Multiplexed(streams) => streams.accept(&mut self.shared, now, id),
        }
        Ok(())
    }

    /// Stops offering `id`. No effect if it was not offered.
    pub fn close_id(&mut self, now: Instant, id: u32) {
        match &mut self.ways {
            Ways::Listeners(listeners) => listeners.close_id(&mut self.shared, id),
            Ways::Multiplexed(streams) => streams.close_id(&mut self.shared, now, id),
        }
    }

    /// Asks for a connection to what the peer offers under `id`. When multiplexed, dials wait for
    /// one another, and the timeout of each begins with its turn.
    ///
    /// # Errors
    /// [`BrokerError::AlreadyDialling`] or [`BrokerError::Closed`]; what fails later comes as
    /// [`BrokerEvent::DialFailed`].
    pub fn dial(&mut self, now: Instant, id: u32) -> Result<(), BrokerError> {
        self.shared.check_open()?;
        match &mut self.ways {
            Ways::Listeners(listeners) => listeners.dial(&mut self.shared, now, id),
            Ways::Multiplexed(streams) => streams.dial(&mut self.shared, now, id),
        }
    }

    /// Asks for a stream that is for no id: [`BrokerAction::OpenMain`] comes once the peer cannot take it
    /// for a dialled one, before dials that wait for their turn. Only when multiplexed.
    ///
    /// As in go-plugin, whoever has acknowledged a knock takes the next stream for it, whatever that was
    /// opened for.
    pub fn open_main(&mut self, now: Instant) {
        match &mut self.ways {
            Ways::Listeners(_) => {}
            Ways::Multiplexed(streams) => streams.open_main(&mut self.shared, now),
        }
    }

    /// Gives up a dial. No effect, and no event, if `id` is not being dialled.
    pub fn cancel_dial(&mut self, now: Instant, id: u32) {
        match &mut self.ways {
            Ways::Listeners(listeners) => {
                listeners.cancel_dial(id);
            }
            Ways::Multiplexed(streams) => {
                streams.cancel_dial(&mut self.shared, now, id);
            }
        }
    }

    /// Closes the broker: every dial fails for this reason, every id is no longer served, and so will all
    /// later ones. No effect if it is closed already.
    pub fn close(&mut self, reason: &str) {
        self.lose(reason.to_owned());
    }

    /// Takes a message of the control stream. Nonsense is ignored and counted.
    pub fn handle_message(&mut self, now: Instant, message: ConnInfo) {
        if self.shared.check_open().is_err() {
            return;
        }
        match &mut self.ways {
            Ways::Listeners(listeners) => listeners.on_message(&mut self.shared, now, message),
            Ways::Multiplexed(streams) => streams.on_message(&mut self.shared, now, message),
        }
    }

    /// Takes note of what else happened outside.
    pub fn handle(&mut self, now: Instant, input: BrokerInput) {
        match input {
            BrokerInput::ControlOpened => {
                if self.shared.control == Control::Waiting {
                    self.shared.control = Control::Up;
                    match &mut self.ways {
                        Ways::Listeners(_) => {}
                        Ways::Multiplexed(streams) => streams.on_control(&mut self.shared, now),
                    }
                }
            }
            BrokerInput::ControlInterrupted => {
                if self.shared.control == Control::Up {
                    self.shared.control = Control::Waiting;
                    match &mut self.ways {
                        Ways::Listeners(_) => {}
                        Ways::Multiplexed(streams) => streams.on_interrupted(&mut self.shared, now),
                    }
                }
            }
            BrokerInput::ControlReopened => {
                if self.shared.check_open().is_ok() {
                    self.shared.control = Control::Up;
                    match &mut self.ways {
                        Ways::Listeners(listeners) => listeners.on_reopened(&mut self.shared),
                        Ways::Multiplexed(streams) => streams.on_reopened(&mut self.shared, now),
                    }
                }
            }
            BrokerInput::ControlLost { reason } => self.lose(reason),
            BrokerInput::StreamOpened { id } => match &mut self.ways {
                Ways::Listeners(_) => {}
                Ways::Multiplexed(streams) => streams.on_opened(&mut self.shared, now, id),
            },
            BrokerInput::MainOpened => match &mut self.ways {
                Ways::Listeners(_) => {}
                Ways::Multiplexed(streams) => streams.on_main_opened(&mut self.shared, now),
            },
        }
    }

    /// Says where a stream goes that the peer has just opened. Call it once for each, in the order
    /// of their coming. Only when multiplexed.
    pub fn stream_arrived(&mut self, now: Instant) -> Route {
        match &mut self.ways {
            Ways::Listeners(_) => Route::Main,
            Ways::Multiplexed(streams) => streams.on_arrived(&mut self.shared, now),
        }
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.ways {
            Ways::Listeners(listeners) => listeners.handle_timeout(&mut self.shared, now),
            Ways::Multiplexed(streams) => streams.handle_timeout(&mut self.shared, now),
        }
    }

    /// The next message for the control stream, once that is up. A message that was handed out
    /// counts as sent.
    pub fn poll_transmit(&mut self) -> Option<ConnInfo> {
        match self.shared.control {
            Control::Up => self.shared.outbox.pop_front(),
            Control::Waiting | Control::Lost(_) => None,
        }
    }

    /// The next thing for the driver to do, if any.
    pub fn poll_action(&mut self) -> Option<BrokerAction> {
        self.shared.actions.pop_front()
    }

    /// The next thing for the user to know, if any.
    pub fn poll_event(&mut self) -> Option<BrokerEvent> {
        self.shared.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, BrokerTimer)> {
        match &self.ways {
            Ways::Listeners(listeners) => {
                let (at, kind) = listeners.poll_timeout()?;
                Some((at, BrokerTimer::Listeners(kind)))
            }
            Ways::Multiplexed(streams) => {
                let (at, kind) = streams.poll_timeout()?;
                Some((at, BrokerTimer::Multiplexed(kind)))
            }
        }
    }

    /// Whether `id` is being offered.
    #[must_use]
    pub fn is_accepting(&self, id: u32) -> bool {
        self.ways.is_accepting(id)
    }

    /// Why the broker is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<&BrokerError> {
        match &self.shared.control {
            Control::Waiting | Control::Up => None,
            Control::Lost(error) => Some(error),
        }
    }

    /// How many messages of the peer were dropped, because they made no sense or were too many.
    #[must_use]
    pub fn ignored_messages(&self) -> u64 {
        self.shared.ignored
    }

    /// How many entries the peer's messages occupy: at most [`MAX_PENDING`] and those of the ids
    /// being accepted.
    #[must_use]
    pub fn pending(&self) -> usize {
        match &self.ways {
            Ways::Listeners(listeners) => listeners.pending(),
            Ways::Multiplexed(streams) => streams.pending(),
        }
    }

    fn lose(&mut self, reason: String) {
        if self.shared.check_open().is_err() {
            return;
        }
        let error = BrokerError::Closed { reason };
        self.shared.control = Control::Lost(error.clone());
        self.shared.outbox.clear();
        let (dials, accepts) = match &mut self.ways {
            Ways::Listeners(listeners) => std::mem::take(listeners).into_ids(),
            Ways::Multiplexed(streams) => {
                streams.open_all_mains(&mut self.shared);
                std::mem::take(&mut **streams).into_ids()
            }
        };
        for id in dials {
            self.shared.dial_failed(id, error.clone());
        }
        for id in accepts {
            self.shared.stop_listening(id);
            let error = error.clone();
            self.shared
                .events
                .push_back(BrokerEvent::AcceptFailed { id, error });
        }
    }
}

impl Ways {
    fn is_accepting(&self, id: u32) -> bool {
        match self {
            Self::Listeners(listeners) => listeners.is_accepting(id),
            Self::Multiplexed(streams) => streams.is_accepting(id),
        }
    }
}

impl Shared {
    fn check_open(&self) -> Result<(), BrokerError> {
        match &self.control {
            Control::Waiting | Control::Up => Ok(()),
            Control::Lost(error) => Err(error.clone()),
        }
    }

    fn ignore(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }

    fn dial_failed(&mut self, id: u32, error: BrokerError) {
        self.events.push_back(BrokerEvent::DialFailed { id, error });
    }

    fn dial_timed_out(&mut self, id: u32) {
        let after = self.config.timeout;
        self.dial_failed(id, BrokerError::TimedOut { id, after });
    }

    fn stop_listening(&mut self, id: u32) {
        self.actions.push_back(BrokerAction::StopListening { id });
    }
}
