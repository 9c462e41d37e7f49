//! Noticing a peer that is there and does nothing.

use std::time::{Duration, Instant};

/// How to find out that the peer hangs.
///
/// Off unless asked for: when a process ends, its pipes end too, so pings would only find a peer
/// that is stopped or stuck, and one under a debugger looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How long nothing must have come before a ping is sent.
    pub interval: Duration,
    /// How long to wait for any sign of life after it.
    pub timeout: Duration,
}

/// What the timer is set for.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Quiet,
    Asked,
}

#[derive(Debug)]
pub(super) struct Watch {
    config: Keepalive,
    at: Instant,
    phase: Phase,
    /// Something came since the timer was set.
    alive: bool,
}

/// What to do when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Watch {
    pub(super) fn new(config: Keepalive, now: Instant) -> Self {
        Self {
            config,
            at: later(now, config.interval),
            phase: Phase::Quiet,
            alive: false,
        }
    }

    pub(super) fn heard(&mut self) {
        self.alive = true;
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }

    pub(super) fn check(&mut self, now: Instant) -> Due {
        if now < self.at {
            return Due::Nothing;
        }
        if std::mem::take(&mut self.alive) {
            self.phase = Phase::Quiet;
            self.at = later(now, self.config.interval);
            return Due::Nothing;
        }
        match self.phase {
            Phase::Quiet => {
                self.phase = Phase::Asked;
                self.at = later(now, self.config.timeout);
                Due::Ping
            }
            Phase::Asked => Due::Dead,
        }
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    // A time past the end of the clock: check again in a year.
    now.checked_add(by)
        .unwrap_or(now + Duration::from_secs(365 * 24 * 60 * 60))
}
