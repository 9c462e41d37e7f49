//! Noticing a peer that is there and does nothing: when to ask it, and when to give it up.

use std::time::{Duration, Instant};

/// How to find out that the peer hangs.
///
/// Off unless asked for. When a process ends, its connection ends too, and calls fail at once
/// without this; pings only find a peer that is stopped (SIGSTOP) or stuck, and one under a
/// debugger looks the same.
///
/// What is promised: when nothing has come from the peer for [`interval`](Self::interval), it is
/// pinged, and when then nothing has come for [`timeout`](Self::timeout), the connection counts as
/// lost: calls in flight fail, with or without a deadline. Quiet is looked for once per interval, so
/// that busy connections pay nothing: a peer that stops is given up between `interval + timeout` and
/// twice the interval and the timeout later. Whatever comes is a sign of life, the answer to the
/// ping as well as a message. A handler that works long does not matter, as long as the peer's
/// connection is served meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// How long nothing must have come before a ping is sent. Less than a millisecond counts as
    /// one.
    pub interval: Duration,
    /// How long to wait for any sign of life after it. Less than a millisecond counts as one.
    pub timeout: Duration,
}

impl Keepalive {
    /// Pings after `interval` without a word, and gives up `timeout` later.
    #[must_use]
    pub const fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout }
    }
}

/// The machine behind [`Keepalive`], for transports.
///
/// ```text
///          quiet for `interval`: Ping          quiet for `timeout`: Dead
/// Quiet ------------------------------> Asked -------------------------> Over
///   ^                                     |
///   +------------- heard -----------------+
/// ```
///
/// A transport reports what it reads with [`heard`](Self::heard) and calls
/// [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout), after it has
/// read what there is: where this side itself stood still for a while, the answer may wait to be
/// read.
#[derive(Clone, Debug)]
pub struct KeepaliveTimer {
    config: Keepalive,
    phase: Phase,
    /// Something came since the timer was set.
    alive: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until the next look.
    Quiet(Instant),
    /// Since the ping, until the peer is given up.
    Asked(Instant, Instant),
    Over,
}

/// What is to be done when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepaliveAction {
    /// Wait for the next [`poll_timeout`](KeepaliveTimer::poll_timeout).
    Wait,
    /// Send a ping.
    Ping,
    /// Treat the connection as lost.
    GiveUp,
}

/// Shorter times would keep a thread busy with asking.
const LEAST: Duration = Duration::from_millis(1);

impl KeepaliveTimer {
    /// Begins to watch a connection that has just been made.
    #[must_use]
    pub fn new(config: Keepalive, now: Instant) -> Self {
        let config = Keepalive {
            interval: config.interval.max(LEAST),
            timeout: config.timeout.max(LEAST),
        };
        Self {
            config,
            phase: Phase::Quiet(later(now, config.interval)),
            alive: false,
        }
    }

    /// Something has come from the peer. Reads no clock: it is called for every read. May make
    /// [`poll_timeout`](Self::poll_timeout) earlier.
    pub fn heard(&mut self) {
        self.alive = true;
        if let Phase::Asked(since, _) = self.phase {
            self.phase = Phase::Quiet(later(since, self.config.interval));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; never again after
    /// [`KeepaliveAction::GiveUp`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Quiet(at) | Phase::Asked(_, at) => Some(at),
            Phase::Over => None,
        }
    }

    /// The time may have come. Too early a call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) -> KeepaliveAction {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return KeepaliveAction::Wait;
        }
        if std::mem::take(&mut self.alive) {
            self.phase = Phase::Quiet(later(now, self.config.interval));
            return KeepaliveAction::Wait;
        }
        match self.phase {
            Phase::Quiet(_) => {
                self.phase = Phase::Asked(now, later(now, self.config.timeout));
                KeepaliveAction::Ping
            }
            Phase::Asked(..) => {
                self.phase = Phase::Over;
                KeepaliveAction::GiveUp
            }
            Phase::Over => KeepaliveAction::Wait,
        }
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    // A time past the end of the clock: look again in a year.
    now.checked_add(by)
        .unwrap_or(now + Duration::from_secs(365 * 24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timer(now: Instant) -> KeepaliveTimer {
        let config = Keepalive {
            interval: 10 * SECOND,
            timeout: 3 * SECOND,
        };
        KeepaliveTimer::new(config, now)
    }

    /// Goes to the next timeout.
    fn next(timer: &mut KeepaliveTimer, now: &mut Instant) -> KeepaliveAction {
        *now = timer.poll_timeout().expect("it is not over");
        timer.handle_timeout(*now)
    }

    #[test]
    fn a_quiet_peer_is_asked_once_and_given_up() {
        let start = Instant::now();
        let (mut timer, mut now) = (timer(start), start);
        let early = start + 10 * SECOND - Duration::from_nanos(1);
        assert_eq!(timer.handle_timeout(early), KeepaliveAction::Wait);
        assert_eq!(next(&mut timer, &mut now), KeepaliveAction::Ping);
        assert_eq!(now, start + 10 * SECOND);
        assert_eq!(timer.handle_timeout(now), KeepaliveAction::Wait);
        assert_eq!(next(&mut timer, &mut now), KeepaliveAction::GiveUp);
        assert_eq!(now, start + 13 * SECOND);
        assert_eq!(timer.poll_timeout(), None);
        let later = now + 100 * SECOND;
        assert_eq!(timer.handle_timeout(later), KeepaliveAction::Wait);
    }

    #[test]
    fn a_busy_peer_is_never_asked() {
        let start = Instant::now();
        let (mut timer, mut now) = (timer(start), start);
        for round in 1..100 {
            timer.heard();
            assert_eq!(next(&mut timer, &mut now), KeepaliveAction::Wait);
            assert_eq!(now, start + round * 10 * SECOND, "one look per interval");
        }
        assert_eq!(next(&mut timer, &mut now), KeepaliveAction::Ping);
    }

    #[test]
    fn any_sign_of_life_answers_the_ping() {
        let start = Instant::now();
        let (mut timer, mut now) = (timer(start), start);
        for _ in 0..5 {
            assert_eq!(next(&mut timer, &mut now), KeepaliveAction::Ping);
            timer.heard();
            assert_eq!(next(&mut timer, &mut now), KeepaliveAction::Wait);
        }
    }

    #[test]
    fn a_peer_that_stops_is_noticed_in_the_time_that_is_promised() {
        let (interval, timeout) = (10 * SECOND, 60 * SECOND);
        for heard_after in 0..40 {
            let start = Instant::now();
            let mut timer = KeepaliveTimer::new(Keepalive { interval, timeout }, start);
            let last = start + heard_after * SECOND;
            let mut now = start;
            let mut heard = false;
            loop {
                let at = timer.poll_timeout().expect("it is not over");
                if !heard && at >= last {
                    timer.heard();
                    heard = true;
                    now = last;
                    continue;
                }
                now = at.max(now);
                if timer.handle_timeout(now) == KeepaliveAction::GiveUp {
                    break;
                }
            }
            let silence = now - last;
            assert!(silence >= timeout, "{heard_after}: {silence:?}");
            assert!(
                silence <= 2 * interval + timeout,
                "{heard_after}: {silence:?}"
            );
        }
    }

    #[test]
    fn an_answer_that_is_read_late_is_an_answer() {
        let start = Instant::now();
        let (mut timer, mut now) = (timer(start), start);
        assert_eq!(next(&mut timer, &mut now), KeepaliveAction::Ping);
        // This side did not run for an hour, and reads first.
        timer.heard();
        let late = now + 3600 * SECOND;
        assert_eq!(timer.handle_timeout(late), KeepaliveAction::Wait);
        assert_eq!(timer.poll_timeout(), Some(late + 10 * SECOND));
    }

    #[test]
    fn times_at_the_ends_of_the_scale() {
        let start = Instant::now();
        let of = |interval, timeout| {
            let mut timer = KeepaliveTimer::new(Keepalive { interval, timeout }, start);
            let mut now = start;
            assert_eq!(next(&mut timer, &mut now), KeepaliveAction::Ping);
            assert!(now >= start + LEAST);
            let asked = now;
            assert_eq!(next(&mut timer, &mut now), KeepaliveAction::GiveUp);
            assert!(now >= asked + LEAST);
        };
        of(Duration::ZERO, Duration::ZERO);
        of(Duration::MAX, Duration::MAX);
    }
}
