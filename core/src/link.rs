//! When a connection that was lost is made again, and when it is given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::timer::{TimerKind, Timers};

/// The life of a connection whose inside can be replaced while the process at its other end lives.
///
/// It begins connected. The driver makes the connections and holds the calls; this decides when to
/// try and when to stop. Its methods are those of the other machines, and so is the contract of
/// draining; see the crate's documentation.
///
/// ```text
///               Retiring, Lost
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
    up_since: Instant,
    last_fault: Option<Fault>,
    timers: Timers,
    actions: VecDeque<LinkAction>,
    events: VecDeque<LinkEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calls can be made.
    Up,
    /// A connection is being made.
    Trying,
    /// Between two tries.
    Pausing,
    /// Given up.
    Gone,
}

/// How a [`Link`] behaves. Durations of [`Duration::MAX`] mean "no limit".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// The pause after the first failed try. 10 ms: a process that is alive listens already.
    pub first_pause: Duration,
    /// What pauses grow to, and how long a connection must have been up for the next loss to be
    /// answered at once. 1 s.
    pub longest_pause: Duration,
    /// How long a lost connection is tried for. 10 s. With zero it is given up at once.
    pub limit: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
            limit: Duration::from_secs(10),
        }
    }
}

/// What happened to the connection; see [`Link::handle`].
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What the owner learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The connection is being made again.
    Interrupted,
    /// It is up again.
    Restored,
    /// It could not be made within the limit: calls fail from now on.
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
                State::Trying | State::Pausing | State::Gone,
                LinkInput::Retiring | LinkInput::Lost,
            )
            | (
                State::Up | State::Pausing | State::Gone,
                LinkInput::Connected | LinkInput::ConnectFailed(_) | LinkInput::Gone(_),
            ) => {}
        }
    }

    /// Tries once more although it was given up, as if it had been lost now: for a last request
    /// that is worth an attempt. No effect otherwise.
    pub fn revive(&mut self, now: Instant) {
        if self.state == State::Gone && !self.config.limit.is_zero() {
            self.tries = 0;
            self.interrupt(now);
        }
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            match (kind, self.state) {
                (TimerKind::Reconnect, State::Pausing) => self.attempt(),
                (TimerKind::Unreachable, State::Trying | State::Pausing) => self.give_up(),
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
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        self.timers.next()
    }

    /// Whether the present connection takes calls.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether it was given up.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    fn interrupt(&mut self, now: Instant) {
        self.events.push_back(LinkEvent::Interrupted);
        if self.config.limit.is_zero() {
            self.state = State::Pausing;
            return self.give_up();
        }
        let was_up_for = now.saturating_duration_since(self.up_since);
        if was_up_for >= self.config.longest_pause {
            self.tries = 0;
        }
        self.timers
            .arm(TimerKind::Unreachable, now, self.config.limit);
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
        self.timers.arm(TimerKind::Reconnect, now, pause);
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
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn drain(link: &mut Link) -> (Vec<LinkAction>, Vec<LinkEvent>) {
        let actions = std::iter::from_fn(|| link.poll_action()).collect();
        let events = std::iter::from_fn(|| link.poll_event()).collect();
        (actions, events)
    }

    /// Runs to the next timer, and gives how long that took.
    fn wait(link: &mut Link, now: &mut Instant) -> Duration {
        let (at, _) = link.poll_timeout().expect("something is waited for");
        let waited = at - *now;
        *now = at;
        link.handle_timeout(*now);
        assert!(link.poll_timeout().is_none_or(|(at, _)| at > *now));
        waited
    }

    fn refused() -> LinkInput {
        LinkInput::ConnectFailed(Fault::other("refused"))
    }

    #[test]
    fn the_first_try_comes_at_once_and_calls_go_on() {
        for input in [LinkInput::Lost, LinkInput::Retiring] {
            let mut now = Instant::now();
            let mut link = Link::new(LinkConfig::default(), now);
            now += Duration::from_secs(5);
            link.handle(now, input);
            assert!(!link.is_up());
            let expected = (vec![LinkAction::Connect], vec![LinkEvent::Interrupted]);
            assert_eq!(drain(&mut link), expected);
            // The one that was retiring ends meanwhile.
            link.handle(now, LinkInput::Lost);
            link.handle(now + MS, LinkInput::Connected);
            assert_eq!(link.poll_timeout(), None);
            assert_eq!(drain(&mut link), (vec![], vec![LinkEvent::Restored]));
            assert!(link.is_up());
            assert_eq!(link.poll_timeout(), None);
        }
    }

    #[test]
    fn pauses_double_until_the_limit_ends_it_with_the_last_fault() {
        let mut now = Instant::now();
        let begin = now;
        let mut link = Link::new(LinkConfig::default(), now);
        link.handle(now, LinkInput::Lost);
        let mut pauses = Vec::new();
        while !link.is_gone() {
            let (actions, _) = drain(&mut link);
            assert_eq!(actions, [LinkAction::Connect]);
            link.handle(now, refused());
            pauses.push(wait(&mut link, &mut now));
        }
        let expected = [10, 20, 40, 80, 160, 320, 640, 1000].map(|ms| ms * MS);
        assert_eq!(pauses[..8], expected);
        assert!(pauses[8..pauses.len() - 1].iter().all(|p| *p == 1000 * MS));
        assert_eq!(now - begin, Duration::from_secs(10));
        let fault = Some(Fault::other("refused"));
        assert_eq!(
            drain(&mut link),
            (vec![], vec![LinkEvent::GaveUp { fault }])
        );
        assert_eq!(link.poll_timeout(), None);
        link.handle(now, LinkInput::Connected);
        assert!(link.is_gone(), "an answer that comes too late");
    }

    #[test]
    fn an_attempt_without_an_answer_is_abandoned() {
        let mut now = Instant::now();
        let mut link = Link::new(LinkConfig::default(), now);
        link.handle(now, LinkInput::Lost);
        drain(&mut link);
        assert_eq!(wait(&mut link, &mut now), Duration::from_secs(10));
        let gave_up = LinkEvent::GaveUp { fault: None };
        assert_eq!(drain(&mut link), (vec![LinkAction::Abandon], vec![gave_up]));
    }

    #[test]
    fn a_peer_that_hangs_up_again_and_again_is_not_asked_in_a_loop() {
        let mut now = Instant::now();
        let begin = now;
        let mut link = Link::new(LinkConfig::default(), now);
        let mut tries = 0;
        while now - begin < Duration::from_secs(60) {
            link.handle(now, LinkInput::Lost);
            if link
                .poll_timeout()
                .is_some_and(|(_, kind)| kind == TimerKind::Reconnect)
            {
                wait(&mut link, &mut now);
            }
            assert_eq!(drain(&mut link).0, [LinkAction::Connect]);
            tries += 1;
            link.handle(now, LinkInput::Connected);
        }
        assert!(tries < 70, "{tries} in a minute");
        assert!(!link.is_gone(), "it was reached each time");
        // Once one has held, the next loss is answered at once.
        now += Duration::from_secs(1);
        link.handle(now, LinkInput::Lost);
        drain(&mut link);
        assert_eq!(
            link.poll_timeout().map(|(_, kind)| kind),
            Some(TimerKind::Unreachable)
        );
    }

    #[test]
    fn without_a_limit_of_time_it_is_given_up_at_once() {
        let now = Instant::now();
        let limit = Duration::ZERO;
        let mut link = Link::new(
            LinkConfig {
                limit,
                ..LinkConfig::default()
            },
            now,
        );
        link.handle(now, LinkInput::Lost);
        let gave_up = LinkEvent::GaveUp { fault: None };
        assert_eq!(
            drain(&mut link),
            (vec![], vec![LinkEvent::Interrupted, gave_up])
        );
        link.revive(now);
        assert_eq!(drain(&mut link), (vec![], vec![]));
    }

    #[test]
    fn what_is_gone_for_good_is_given_up_at_once() {
        let mut now = Instant::now();
        let mut link = Link::new(LinkConfig::default(), now);
        link.handle(now, LinkInput::Lost);
        drain(&mut link);
        now += MS;
        let fault = Fault::other("its file is gone");
        link.handle(now, LinkInput::Gone(fault.clone()));
        let gave_up = LinkEvent::GaveUp { fault: Some(fault) };
        assert_eq!(drain(&mut link), (vec![], vec![gave_up]));
        assert_eq!((link.is_gone(), link.poll_timeout()), (true, None));
        // Too late, or never asked for.
        link.handle(now, LinkInput::Connected);
        assert_eq!(drain(&mut link), (vec![], vec![]));
        let mut up = Link::new(LinkConfig::default(), now);
        up.handle(now, LinkInput::Gone(Fault::other("who?")));
        assert!(up.is_up());
    }

    #[test]
    fn what_was_given_up_can_be_tried_once_more() {
        let mut now = Instant::now();
        let mut link = Link::new(LinkConfig::default(), now);
        link.revive(now);
        assert_eq!(drain(&mut link), (vec![], vec![]), "it is up");
        link.handle(now, LinkInput::Lost);
        wait(&mut link, &mut now);
        assert!(link.is_gone());
        drain(&mut link);
        link.revive(now);
        assert_eq!(drain(&mut link).0, [LinkAction::Connect]);
        link.handle(now, LinkInput::Connected);
        assert!(link.is_up());
    }
}
