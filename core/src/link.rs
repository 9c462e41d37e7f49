//! When a connection that was lost is made again, and when it is given up.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::timer::Timers;

/// The life of a connection whose inside can be replaced while the process at its other end lives.
///
/// It begins connected. The driver makes the connections and holds the calls; this decides when to
/// try and when to stop. Its methods are those of the other machines, and so is the contract of
/// draining; see the crate's documentation.
///
/// ```text
///               Retiring, Lost (and then Wanted, if it is made on demand)
///        Up ──────────────────────▶ Trying ───────────┐
///        ▲  (at once; after a pause    │  ▲           │
///        │   if it was up only briefly)│  │ pause     │ the limit
///        │                             ▼  │ is over   │ is over
///        └────── Connected ──────── Pausing           ▼
///                                                    Gone
/// ```
///
/// The first try comes at once, later ones after pauses that double from
/// [`LinkConfig::first_pause`] to [`LinkConfig::longest_pause`]. A connection that was up for less
/// than the longest pause does not start this over, so a peer that accepts and hangs up is not asked
/// in a loop. The limit counts from the loss to the next connection.
///
/// grpc-go connects again in the same manner, with pauses from one second to two minutes and
/// without a limit: it cannot know whether the process at the other end still lives.
#[derive(Clone, Debug)]
pub struct Link {
    config: LinkConfig,
    state: State,
    /// How many tries there were since a connection last stayed up.
    tries: u32,
    /// How many connections there were meanwhile.
    brief: u32,
    up_since: Instant,
    last_fault: Option<Fault>,
    timers: Timers<LinkTimer>,
    actions: VecDeque<LinkAction>,
    events: VecDeque<LinkEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calls can be made.
    Up,
    /// A connection is being made.
    Trying,
    /// Lost, and nobody wants it.
    Resting,
    /// Between two tries.
    Pausing,
    /// Given up.
    Gone,
}

/// How a [`Link`] behaves. Durations of [`Duration::MAX`] mean "no limit".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The pause after the first failed try. 10 ms: a process that is alive listens already.
    pub first_pause: Duration,
    /// What pauses grow to, and how long a connection must have been up for the next loss to be
    /// answered at once. 1 s.
    pub longest_pause: Duration,
    /// How long a lost connection is tried for. 10 s. With zero it is given up at once.
    pub within: Duration,
    /// How many connections in a row may end before they have been up for the longest pause, until it
    /// is given up. No limit, which [`u32::MAX`] means: the process at the other end lives.
    pub brief: u32,
    /// Whether a lost connection is made again only once somebody [wants](LinkInput::Wanted) it, for where
    /// an attempt costs others something. No. The limit counts from then.
    pub on_demand: bool,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
            within: Duration::from_secs(10),
            brief: u32::MAX,
            on_demand: false,
        }
    }
}

/// What happened to the connection; see [`Link::handle`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkInput {
    /// The peer takes no further calls on the present connection, which goes on with those it has
    /// (HTTP/2's GOAWAY), or the connection can carry no more of them (its stream ids are used up).
    Retiring,
    /// The present connection is gone.
    Lost,
    /// The connection that was asked for is up, and the present one from now on.
    Connected,
    /// It could not be made.
    ConnectFailed(Fault),
    /// It could not be made and never can be: what was connected to is gone for good.
    Gone(Fault),
    /// A call waits for it. Matters only [on demand](LinkConfig::on_demand).
    Wanted,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAction {
    /// Connect again, and answer with [`LinkInput::Connected`] or [`LinkInput::ConnectFailed`]. New
    /// calls wait from now on.
    Connect,
    /// Give up the attempt to connect.
    Abandon,
}

/// What a link waits for; see [`Link::poll_timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LinkTimer {
    /// The pause before the next attempt to connect is over.
    Reconnect,
    /// A lost connection must have been made again.
    Unreachable,
}

/// A phrase that completes "waiting for …".
impl fmt::Display for LinkTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reconnect => "the next attempt to connect",
            Self::Unreachable => "a lost connection to come back",
        })
    }
}

/// What the owner learns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The connection is being made again.
    Interrupted,
    /// It is up again.
    Restored,
    /// It could not be made in time: calls fail from now on.
    GaveUp {
        /// What the last try failed with; `None` if it never got an answer.
        fault: Option<Fault>,
    },
}

impl Link {
    /// A link that has just been connected.
    #[must_use]
    pub fn new(config: LinkConfig, now: Instant) -> Self {
        Self {
            config,
            state: State::Up,
            tries: 0,
            brief: 0,
            up_since: now,
            last_fault: None,
            timers: Timers::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes note of what happened outside.
    pub fn handle(&mut self, now: Instant, input: LinkInput) {
        match (self.state, input) {
            (State::Up, LinkInput::Retiring | LinkInput::Lost) => self.interrupt(now),
            (State::Resting, LinkInput::Wanted) => self.begin(now),
            (State::Trying, LinkInput::Connected) => {
                self.state = State::Up;
                self.up_since = now;
                self.last_fault = None;
                self.timers.clear();
                // Nobody has seen the request: a driver that connects on its own is ahead of it.
                self.actions.clear();
                // An interruption that nobody has seen either was none.
                if self.events.back() == Some(&LinkEvent::Interrupted) {
                    self.events.pop_back();
                } else {
                    self.events.push_back(LinkEvent::Restored);
                }
            }
            (State::Trying, LinkInput::ConnectFailed(fault)) => {
                self.last_fault = Some(fault);
                self.pause(now);
            }
            (State::Trying, LinkInput::Gone(fault)) => {
                self.last_fault = Some(fault);
                // It has been answered: there is nothing to abandon.
                self.state = State::Pausing;
                self.give_up();
            }
            // The one that was retiring has ended, or an answer to what was given up.
            (
                State::Trying | State::Resting | State::Pausing | State::Gone,
                LinkInput::Retiring | LinkInput::Lost,
            )
            | (
                State::Up | State::Resting | State::Pausing | State::Gone,
                LinkInput::Connected | LinkInput::ConnectFailed(_) | LinkInput::Gone(_),
            )
            // It is there, being made, or never will be.
            | (State::Up | State::Trying | State::Pausing | State::Gone, LinkInput::Wanted) => {}
        }
    }

    /// Tries once more although it was given up, as if it had been lost now: for a last request
    /// that is worth an attempt. No effect otherwise.
    pub fn revive(&mut self, now: Instant) {
        if self.state == State::Gone && !self.config.within.is_zero() {
            (self.tries, self.brief) = (0, 0);
            self.interrupt(now);
        }
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            match (kind, self.state) {
                (LinkTimer::Reconnect, State::Pausing) => self.attempt(),
                (LinkTimer::Unreachable, State::Trying | State::Pausing) => self.give_up(),
                _ => {}
            }
        }
    }

    /// The next thing for the driver to do, if any.
    pub fn poll_action(&mut self) -> Option<LinkAction> {
        self.actions.pop_front()
    }

    /// The next thing for the owner to know, if any.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, LinkTimer)> {
        self.timers.next()
    }

    /// Whether the present connection takes calls.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether it is lost and waits for somebody to [want](LinkInput::Wanted) it.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.state == State::Resting
    }

    /// Whether it was given up.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    fn interrupt(&mut self, now: Instant) {
        self.events.push_back(LinkEvent::Interrupted);
        if self.config.within.is_zero() {
            self.state = State::Pausing;
            return self.give_up();
        }
        let was_up_for = now.saturating_duration_since(self.up_since);
        if was_up_for >= self.config.longest_pause {
            self.tries = 0;
            self.brief = 0;
        } else if self.tries > 0 {
            self.brief = self.brief.saturating_add(1);
        }
        if self.brief > self.config.brief {
            self.state = State::Pausing;
            self.last_fault = Some(Fault::other("the other side ends each connection at once"));
            return self.give_up();
        }
        if self.config.on_demand {
            self.state = State::Resting;
        } else {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        self.timers
            .arm(LinkTimer::Unreachable, now, self.config.within);
        if self.tries == 0 {
            self.attempt();
        } else {
            self.pause(now);
        }
    }

    fn attempt(&mut self) {
        self.tries = self.tries.saturating_add(1);
        self.state = State::Trying;
        // It stands for giving up an earlier attempt, too.
        self.actions.clear();
        self.actions.push_back(LinkAction::Connect);
    }

    fn pause(&mut self, now: Instant) {
        self.state = State::Pausing;
        let doublings = self.tries.saturating_sub(1).min(31);
        let pause = self
            .config
            .first_pause
            .saturating_mul(1 << doublings)
            .min(self.config.longest_pause);
        self.timers.arm(LinkTimer::Reconnect, now, pause);
    }

    fn give_up(&mut self) {
        if self.state == State::Trying && self.actions.pop_back().is_none() {
            self.actions.push_back(LinkAction::Abandon);
        }
        self.state = State::Gone;
        self.timers.clear();
        let fault = self.last_fault.take();
        self.events.push_back(LinkEvent::GaveUp { fault });
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
