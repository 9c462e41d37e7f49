//! Which connections a listener takes, and how long one may take to be ready for calls.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use crate::timer::Timers;

/// The policy of a listener whose connections have to be prepared, by a handshake of TLS for one,
/// before they carry calls.
///
/// A peer decides how many connections it makes and whether it ever goes on with one. So only so many
/// are prepared at once, each for so long, and meanwhile no further ones are taken: those wait in the
/// queue of the system. Connections that are ready do not count here.
///
/// Its methods are those of the other machines, and so is the contract of draining; see the crate's
/// documentation. Who drives it numbers the connections.
///
/// ```text
///   a connection:   Begun ──▶ preparing ── Ended ──▶ (gone)
///                                 └─ its time is over ──▶ GiveUp
///
///   the listener:   taking ── AcceptFailed ──▶ pausing ── the pause is over ──▶ taking
///                     │  ▲
///        all places   ▼  │ one is free
///        are taken   full
/// ```
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: AcceptorConfig,
    preparing: BTreeSet<u64>,
    pausing: bool,
    timers: Timers<AcceptorTimer>,
    actions: VecDeque<AcceptorAction>,
}

/// How an [`Acceptor`] behaves. Durations of [`Duration::MAX`] mean "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptorConfig {
    /// How many connections may be being prepared at once. 64: more than any peer of ours makes in
    /// the time that one takes, and few descriptors and little memory for one that means no good.
    pub max_preparing: usize,
    /// How long preparing one may take. 10 s: both sides are on one machine, which may be busy. (A
    /// choice; grpc-go gives two minutes, across networks.)
    pub prepare_timeout: Duration,
    /// How long accepting pauses after it failed for want of something: trying again at once would
    /// spin. 50 ms. (A choice.)
    pub pause: Duration,
}

impl Default for AcceptorConfig {
    fn default() -> Self {
        Self {
            max_preparing: 64,
            prepare_timeout: Duration::from_secs(10),
            pause: Duration::from_millis(50),
        }
    }
}

/// What happened; see [`Acceptor::handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptorInput {
    /// A connection was taken and is being prepared from now on.
    Begun(u64),
    /// It is ready, or has failed.
    Ended(u64),
    /// The system gives no connection, for want of something.
    AcceptFailed,
}

/// What the driver is to do; see [`Acceptor::poll_action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptorAction {
    /// Close this connection, whose time is over. No answer.
    GiveUp(u64),
}

/// What an acceptor waits for; see [`Acceptor::poll_timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AcceptorTimer {
    /// The pause after a failure is over.
    Pause,
    /// This connection must be ready.
    Prepare(u64),
}

/// A phrase that completes "waiting for …".
impl fmt::Display for AcceptorTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause => f.write_str("the next attempt to accept"),
            Self::Prepare(number) => write!(f, "connection {number} to be ready"),
        }
    }
}

impl Acceptor {
    /// One that takes connections at once.
    #[must_use]
    pub fn new(config: AcceptorConfig) -> Self {
        Self {
            config,
            preparing: BTreeSet::new(),
            pausing: false,
            timers: Timers::default(),
            actions: VecDeque::new(),
        }
    }

    /// Takes note of what happened. A connection that begins although none is to be taken is prepared
    /// all the same.
    pub fn handle(&mut self, now: Instant, input: AcceptorInput) {
        match input {
            AcceptorInput::Begun(number) => {
                if self.preparing.insert(number) {
                    let timeout = self.config.prepare_timeout;
                    self.timers
                        .arm(AcceptorTimer::Prepare(number), now, timeout);
                }
            }
            AcceptorInput::Ended(number) => {
                if self.preparing.remove(&number) {
                    self.timers.disarm(AcceptorTimer::Prepare(number));
                }
            }
            AcceptorInput::AcceptFailed => {
                self.pausing = true;
                let pause = self.config.pause;
                self.timers.arm(AcceptorTimer::Pause, now, pause);
            }
        }
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            match kind {
                AcceptorTimer::Pause => self.pausing = false,
                AcceptorTimer::Prepare(number) => {
                    self.preparing.remove(&number);
                    self.actions.push_back(AcceptorAction::GiveUp(number));
                }
            }
        }
    }

    /// The next thing for the driver to do, if any.
    pub fn poll_action(&mut self) -> Option<AcceptorAction> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, AcceptorTimer)> {
        self.timers.next()
    }

    /// Whether another connection is to be taken now.
    #[must_use]
    pub fn takes_more(&self) -> bool {
        !self.pausing && self.preparing.len() < self.config.max_preparing
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn acceptor(max_preparing: usize) -> (Acceptor, Instant) {
        let config = AcceptorConfig {
            max_preparing,
            prepare_timeout: 10 * SECOND,
            pause: SECOND,
        };
        (Acceptor::new(config), Instant::now())
    }

    fn given_up(acceptor: &mut Acceptor) -> Vec<u64> {
        std::iter::from_fn(|| acceptor.poll_action())
            .map(|AcceptorAction::GiveUp(number)| number)
            .collect()
    }

    #[test]
    fn no_more_are_taken_than_may_be_prepared_at_once() {
        let (mut acceptor, now) = acceptor(2);
        for number in [1, 2] {
            assert!(acceptor.takes_more());
            acceptor.handle(now, AcceptorInput::Begun(number));
        }
        assert!(!acceptor.takes_more());
        acceptor.handle(now, AcceptorInput::Ended(1));
        acceptor.handle(now, AcceptorInput::Ended(1));
        assert!(acceptor.takes_more());
        acceptor.handle(now, AcceptorInput::Begun(3));
        assert!(!acceptor.takes_more(), "it left one place only");
    }

    #[test]
    fn one_that_takes_too_long_gives_its_place_to_another() {
        let (mut acceptor, now) = acceptor(2);
        acceptor.handle(now, AcceptorInput::Begun(1));
        acceptor.handle(now + SECOND, AcceptorInput::Begun(2));
        acceptor.handle_timeout(now + 9 * SECOND);
        assert!(given_up(&mut acceptor).is_empty());
        acceptor.handle_timeout(now + 10 * SECOND);
        assert_eq!(given_up(&mut acceptor), [1_u64]);
        assert!(acceptor.takes_more());
        let next = Some((now + 11 * SECOND, AcceptorTimer::Prepare(2)));
        assert_eq!(acceptor.poll_timeout(), next);
        acceptor.handle(now, AcceptorInput::Ended(2));
        assert_eq!(acceptor.poll_timeout(), None);
    }

    #[test]
    fn accepting_pauses_after_a_failure_and_what_was_taken_goes_on() {
        let (mut acceptor, now) = acceptor(2);
        acceptor.handle(now, AcceptorInput::Begun(1));
        acceptor.handle(now, AcceptorInput::AcceptFailed);
        assert!(!acceptor.takes_more());
        acceptor.handle(now, AcceptorInput::Ended(1));
        assert!(!acceptor.takes_more());
        let pause = Some((now + SECOND, AcceptorTimer::Pause));
        assert_eq!(acceptor.poll_timeout(), pause);
        acceptor.handle_timeout(now + SECOND);
        assert!(acceptor.takes_more());
        assert_eq!(acceptor.poll_timeout(), None);
    }

    proptest! {
        #[test]
        fn every_connection_ends_or_is_given_up(
            inputs in vec((0_u8..4, 0_u64..8, 0_u64..4), 0..100),
        ) {
            let (mut acceptor, mut now) = acceptor(4);
            let mut open = BTreeSet::new();
            for (kind, number, seconds) in inputs {
                match kind {
                    0 if acceptor.takes_more() => {
                        acceptor.handle(now, AcceptorInput::Begun(number));
                        open.insert(number);
                    }
                    1 => {
                        acceptor.handle(now, AcceptorInput::Ended(number));
                        open.remove(&number);
                    }
                    2 => acceptor.handle(now, AcceptorInput::AcceptFailed),
                    _ => {
                        now += SECOND * u32::try_from(seconds).expect("few");
                        acceptor.handle_timeout(now);
                        for number in given_up(&mut acceptor) {
                            prop_assert!(open.remove(&number), "{} was not open", number);
                        }
                        prop_assert!(acceptor.poll_timeout().is_none_or(|(at, _)| at > now));
                    }
                }
                prop_assert!(open.len() <= 4);
            }
            acceptor.handle_timeout(now + 10 * SECOND);
            for number in given_up(&mut acceptor) {
                prop_assert!(open.remove(&number));
            }
            prop_assert!(open.is_empty() && acceptor.takes_more());
            prop_assert_eq!(acceptor.poll_timeout(), None);
        }
    }
}
