//! What the operations of all machines are made of.

use std::fmt;
use std::time::{Duration, Instant};

/// One operation: which, and two numbers.
pub type Op = [u8; 3];

pub fn epoch() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a clock needs a beginning")]
    Instant::now()
}

/// A step of the clock: from nothing to some minutes.
pub fn step(size: u8) -> Duration {
    Duration::from_millis(u64::from(size).pow(2) * 4)
}

pub fn check_timer(left: Option<(Instant, impl fmt::Debug)>, now: Instant) {
    assert!(
        left.as_ref().is_none_or(|(at, _)| *at > now),
        "expired and not disarmed: {left:?}"
    );
}
