//! What a supervised plugin is doing, and how its processes end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::exit::Exit;

/// How it came that a process ended, or is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It did not start.
    NotStarted,
    /// It ended by itself, so.
    Exited(Exit),
    /// Its connection was lost and could not be made again.
    Unreachable,
    /// It did not answer too often, or said that it takes no calls.
    Unhealthy,
    /// There were no calls.
    Idle,
    /// Another program has taken its place, or is to.
    Swapped,
    /// It was to take another's place and does not fit there.
    Unfit,
    /// The user ended it.
    Shutdown,
    /// The user let go of it.
    Dropped,
    /// It was ended by others of this program: by its group of plugins, or with the async runtime.
    Ended,
}

impl Cause {
    /// Whether it is a failure of the plugin's.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Self::NotStarted | Self::Unreachable | Self::Unhealthy | Self::Unfit => true,
            Self::Exited(exit) => !exit.success(),
            Self::Idle | Self::Swapped | Self::Shutdown | Self::Dropped | Self::Ended => false,
        }
    }

    /// Whether it ends the supervision as well.
    pub(super) fn is_final(self) -> bool {
        match self {
            Self::Shutdown | Self::Dropped | Self::Ended => true,
            Self::NotStarted
            | Self::Exited(_)
            | Self::Unreachable
            | Self::Unhealthy
            | Self::Idle
            | Self::Swapped
            | Self::Unfit => false,
        }
    }
}

/// A phrase that completes "the plugin …".
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("did not start"),
            Self::Exited(exit) => exit.fmt(f),
            Self::Unreachable => f.write_str("could not be reached any more"),
            Self::Unhealthy => f.write_str("was not well"),
            Self::Idle => f.write_str("had no calls"),
            Self::Swapped => f.write_str("was replaced by another program"),
            Self::Unfit => f.write_str("did not fit in another's place"),
            Self::Shutdown => f.write_str("was shut down by its host"),
            Self::Dropped => f.write_str("was dropped by its host"),
            Self::Ended => f.write_str("was ended with others by its host"),
        }
    }
}

/// How a process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// Which process, counted from 1.
    pub generation: u64,
    /// What the process was called where it ran, if it was up.
    pub id: Option<String>,
    /// Its number, if it was up and one of this system.
    pub pid: Option<u32>,
    /// How it ended.
    pub cause: Cause,
    /// The same for people, with what the process has said last.
    pub text: Arc<str>,
    /// When that was known.
    pub at: Instant,
    /// How long it was up.
    pub lived: Duration,
}

/// `the plugin …`, as a line, and what the process has said last behind it.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a supervised plugin is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SupervisorPhase {
    /// There is no process, and the next call starts one.
    Resting,
    /// It waits for a place among those that start at once.
    Queued,
    /// Its process is being started.
    Starting,
    /// Calls can be made.
    Up,
    /// Its process is being ended, for this reason.
    Stopping(Cause),
    /// It has no process: that of a new program is to come, which is not up yet.
    Swapping,
    /// Its process has ended and is started again at this time.
    Pausing(Instant),
    /// It was restarted too often. Nothing happens until it is told to start again.
    CrashLoop,
    /// It has ended, for this reason, and is not started again.
    Over(Cause),
}

impl SupervisorPhase {
    /// Whether nothing happens by itself any more: over, or in a crash loop.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::CrashLoop | Self::Over(_))
    }
}
