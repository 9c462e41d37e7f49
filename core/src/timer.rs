//! The timers of the machines: what they are for, and the table that holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// What a timer of a machine is for.
///
/// A machine's `poll_timeout` gives the kind beside the time, so that a log or a test can say what
/// is being waited for. A driver needs the time only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TimerKind {
    /// Host: the current phase of starting must be over.
    Start,
    /// Host: the process's exit, which may explain what has just gone wrong, must have come.
    Evidence,
    /// Host: a process that was asked to exit must have done so.
    ShutdownGrace,
    /// Host: a killed process must have been reaped.
    Reap,
    /// Host: the last output of an ended process must have come, or the exit is reported without.
    LastOutput,
    /// Host: something printed must have come from an ended process, or the pipes of that are given
    /// up.
    Silence,
    /// Host: the pipes of an ended process must have reached their end.
    PipeDrain,
    /// Link: the pause before the next attempt to connect is over.
    Reconnect,
    /// Link: a lost connection must have been made again.
    Unreachable,
    /// Plugin: the host must have connected.
    FirstConnection,
    /// Plugin: the calls in flight must be over.
    Drain,
    /// Broker: an announcement under this id that nobody dialled is forgotten.
    Announcement(u32),
    /// Broker: a dial to this id must have succeeded.
    Dial(u32),
    /// Broker: the stream of an acknowledged dial to this id must be open.
    Open(u32),
    /// Broker: a knock on this id that could not be acknowledged yet is forgotten.
    Knock(u32),
    /// Broker: the stream that belongs to an acknowledged knock on this id must have come.
    Stream(u32),
}

/// A phrase that completes "waiting for …".
impl fmt::Display for TimerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("the plugin to start"),
            Self::Evidence => f.write_str("an exit that explains a failure"),
            Self::ShutdownGrace => f.write_str("the plugin to exit as asked"),
            Self::Reap => f.write_str("a killed plugin to be gone"),
            Self::LastOutput => f.write_str("the last output of an ended plugin"),
            Self::Silence => f.write_str("more that an ended plugin printed"),
            Self::PipeDrain => f.write_str("the end of an ended plugin's pipes"),
            Self::Reconnect => f.write_str("the next attempt to connect"),
            Self::Unreachable => f.write_str("a lost connection to come back"),
            Self::FirstConnection => f.write_str("the host to connect"),
            Self::Drain => f.write_str("calls in flight to finish"),
            Self::Announcement(id) => write!(f, "a dial to the announced id {id}"),
            Self::Dial(id) => write!(f, "the peer to answer a dial to id {id}"),
            Self::Open(id) => write!(f, "the stream to id {id} to open"),
            Self::Knock(id) => write!(f, "someone to accept on id {id}"),
            Self::Stream(id) => write!(f, "the peer's stream to id {id}"),
        }
    }
}

/// The armed timers of one machine: at most one of each kind.
///
/// Finding the next one and arming one take time logarithmic in the number of armed timers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeMap<TimerKind, Instant>,
    order: BTreeSet<(Instant, TimerKind)>,
}

impl Timers {
    /// Arms `kind` to expire `after` from `now`, moving it if it was armed. A time beyond what the
    /// clock can hold never comes: the timer is disarmed, so `Duration::MAX` means "no limit".
    pub(crate) fn arm(&mut self, kind: TimerKind, now: Instant, after: Duration) {
        self.disarm(kind);
        if let Some(at) = now.checked_add(after) {
            self.deadlines.insert(kind, at);
            self.order.insert((at, kind));
        }
    }

    pub(crate) fn disarm(&mut self, kind: TimerKind) {
        if let Some(at) = self.deadlines.remove(&kind) {
            self.order.remove(&(at, kind));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.deadlines.clear();
        self.order.clear();
    }

    pub(crate) fn next(&self) -> Option<(Instant, TimerKind)> {
        self.order.first().copied()
    }

    /// Disarms and gives the earliest timer whose time has come. Since it is disarmed first, acting
    /// on it can fail or arm it again without its being offered twice.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<TimerKind> {
        let (at, kind) = self.next()?;
        if at > now {
            return None;
        }
        self.disarm(kind);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_in_order_and_once() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::default();
        timers.arm(TimerKind::Drain, start, 2 * second);
        timers.arm(TimerKind::Dial(7), start, second);
        timers.arm(TimerKind::Start, start, 9 * second);
        timers.arm(TimerKind::Start, start, 3 * second);
        assert_eq!(timers.next(), Some((start + second, TimerKind::Dial(7))));
        assert_eq!(timers.pop_expired(start), None);
        let late = start + 3 * second;
        assert_eq!(timers.pop_expired(late), Some(TimerKind::Dial(7)));
        assert_eq!(timers.pop_expired(late), Some(TimerKind::Drain));
        assert_eq!(timers.pop_expired(late), Some(TimerKind::Start));
        assert_eq!(timers.pop_expired(late), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_time_that_never_comes_is_not_armed() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(TimerKind::Start, start, Duration::from_secs(1));
        timers.arm(TimerKind::Start, start, Duration::MAX);
        assert_eq!(timers.next(), None);
    }
}
