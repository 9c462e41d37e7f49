//! What a supervisor is told, what it asks for, and what it reports.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::phase::{Cause, End, SupervisorPhase};
use super::swap::{Spoken, SwapFailure, SwapReport, SwapState};

/// What happened to the process of a generation; see [`Supervisor::handle`](super::Supervisor::handle).
/// News of generations that are not live are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SupervisorInput {
    /// It has a place among those that start at once.
    Placed {
        /// Which.
        generation: u64,
    },
    /// It is up: calls can be made.
    Started {
        /// Which.
        generation: u64,
        /// What the process is called where it runs.
        id: Option<String>,
        /// Its number, if it is one of this system.
        pid: Option<u32>,
        /// What was agreed on with it.
        spoken: Spoken,
    },
    /// It did not start, and nothing of it runs any more.
    StartFailed {
        /// Which.
        generation: u64,
        /// Why, for people.
        text: Arc<str>,
        /// Whether it never will, as it is set up.
        lasting: bool,
    },
    /// Its process has ended, whether it was up before or not.
    Exited {
        /// Which.
        generation: u64,
        /// How.
        cause: Cause,
        /// The same for people, with what the process has said last.
        text: Arc<str>,
    },
    /// It told by itself whether it takes calls.
    Told {
        /// Which.
        generation: u64,
        /// Whether it does.
        serving: bool,
    },
    /// It was pinged, and this came of it.
    Probed {
        /// Which.
        generation: u64,
        /// The number of the ping.
        probe: u64,
        /// Whether it takes calls.
        serving: bool,
    },
    /// Calls are held, as [`SupervisorAction::Rest`] asked for.
    Rested {
        /// Which.
        generation: u64,
    },
    /// They are not, since there are or were some.
    InUse {
        /// Which.
        generation: u64,
        /// When the last one ended; `None` while one is in flight.
        since: Option<Instant>,
    },
    /// It has no call in flight any more, as [`SupervisorAction::Drain`] asked for.
    Drained {
        /// Which.
        generation: u64,
    },
    /// A call waits for a process. Matters only while the supervisor
    /// [rests](super::Supervisor::is_resting).
    Wanted,
}

impl SupervisorInput {
    /// Which process it is about.
    pub(super) fn generation(&self) -> Option<u64> {
        match self {
            Self::Placed { generation }
            | Self::Started { generation, .. }
            | Self::StartFailed { generation, .. }
            | Self::Exited { generation, .. }
            | Self::Told { generation, .. }
            | Self::Probed { generation, .. }
            | Self::Rested { generation }
            | Self::InUse { generation, .. }
            | Self::Drained { generation } => Some(*generation),
            Self::Wanted => None,
        }
    }
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SupervisorAction {
    /// Ask for a place among those that start at once, and answer with [`SupervisorInput::Placed`].
    AskPlace {
        /// For which.
        generation: u64,
        /// Of which program it is: 0 for the first, and the number of the swap that brought it
        /// ([`Supervisor::swap`](super::Supervisor::swap)) for others.
        program: u64,
    },
    /// Give the place back, or up.
    LeavePlace {
        /// Whose.
        generation: u64,
    },
    /// Start a process, and answer with [`SupervisorInput::Started`] or [`SupervisorInput::StartFailed`].
    Start {
        /// Which.
        generation: u64,
        /// Of which program; see [`AskPlace`](Self::AskPlace).
        program: u64,
    },
    /// End its process, also one that is being started, and answer with [`SupervisorInput::Exited`] or
    /// [`SupervisorInput::StartFailed`] once nothing of it runs any more.
    Stop {
        /// Which.
        generation: u64,
        /// In which way.
        how: Stop,
    },
    /// New calls wait from now on. Those in flight go on.
    Hold,
    /// Calls go to this one from now on, those that wait too.
    Admit {
        /// Which.
        generation: u64,
    },
    /// Calls that wait, and all that come, fail with this. Those in flight go on.
    Refuse(Refusal),
    /// Answer with [`SupervisorInput::Drained`] as soon as no call is in flight on this one, to which no new ones
    /// go any more; at once if there is none.
    Drain {
        /// Which.
        generation: u64,
    },
    /// The swap of this number is over.
    SwapOver {
        /// Which, as [`Supervisor::swap`](super::Supervisor::swap) has told.
        swap: u64,
        /// What came of it.
        outcome: Box<Result<SwapReport, SwapFailure>>,
    },
    /// If no call is in flight and none was since `unused_since`, hold calls as with
    /// [`Hold`](Self::Hold), and answer with [`SupervisorInput::Rested`]; else with
    /// [`SupervisorInput::InUse`].
    Rest {
        /// Which.
        generation: u64,
        /// Since when there must have been none.
        unused_since: Instant,
    },
    /// Have it tell whether it takes calls, if it can, and pass that on with [`SupervisorInput::Told`], until it
    /// is stopped or ends.
    Watch {
        /// Which.
        generation: u64,
    },
    /// Ping it, in place of an earlier ping that has no answer, and answer with
    /// [`SupervisorInput::Probed`].
    Probe {
        /// Which.
        generation: u64,
        /// The number of the ping.
        probe: u64,
    },
}

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// It is asked to, and killed after its grace period.
    Ask,
    /// At once.
    Kill,
}

/// Why calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The plugin has ended and is to be started again, and calls do not wait for that.
    Restarting,
    /// It was restarted too often.
    CrashLoop,
    /// It is not started again.
    Over(Cause),
}

/// What a supervised plugin is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupervisorState {
    /// What it is doing.
    pub phase: SupervisorPhase,
    /// Which process is the present one, or was the last; they are counted from 1 in the order in which they
    /// are begun with, and 0 is none yet.
    pub generation: u64,
    /// What the process is called where it runs, while it is up.
    pub id: Option<String>,
    /// Its number, while it is up, if it is one of this system.
    pub pid: Option<u32>,
    /// How many times it was restarted after it had ended by itself.
    pub restarts: u64,
    /// The last failures, the latest last; as many as the policy keeps. Those of programs that were to take
    /// over and did not are told by the swap alone.
    pub failures: Arc<[End]>,
    /// The swap that is under way, if there is one.
    pub swap: Option<Box<SwapState>>,
}

/// Something that happened to a supervised plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupervisorEvent {
    /// To which process.
    pub generation: u64,
    /// What the process is called where it runs, if it is or was up.
    pub id: Option<String>,
    /// Its number, if it is or was up and is one of this system.
    pub pid: Option<u32>,
    /// What happened.
    pub change: Change,
    /// When it is started again, if it is by itself.
    pub next_attempt: Option<Instant>,
}

/// What happened; the reasons are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A process is being started.
    Starting,
    /// It is up: calls go to it.
    Up,
    /// It is to take over from another, and is asked whether it takes calls.
    Checking,
    /// No new calls go to it, and it finishes those that it has.
    Draining,
    /// It did not answer in time, failed to, or said that it takes no calls: so often in a row.
    Missed(u32),
    /// It is being ended.
    Stopping(Cause),
    /// It has ended, or did not start.
    Ended(End),
    /// It was restarted too often. This many restarts there were within the budget's time.
    CrashLoop(u32),
    /// It has taken over from another, which has ended.
    Swapped(Box<SwapReport>),
    /// It was to take over, and did not.
    SwapFailed(Box<SwapFailure>),
    /// Nothing is started any more. The last event, unless it is started again after a crash loop.
    Over(Cause),
}

/// What a supervisor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SupervisorTimer {
    /// The pause before the next start is over.
    Restart,
    /// A ping must have been answered.
    Answer,
    /// It is to be pinged.
    Probe,
    /// There may have been no call for long enough.
    Idle,
    /// The new program of a swap must be up.
    SwapStart,
    /// It must have said that it takes calls.
    SwapCheck,
    /// It is to be asked once more whether it does.
    SwapProbe,
    /// The old process must have finished its calls.
    Drain,
}

/// A phrase that completes "waiting for …".
impl fmt::Display for SupervisorTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "the next start of the plugin",
            Self::Probe => "the next ping",
            Self::Answer => "the answer to a ping",
            Self::Idle => "the time without calls",
            Self::SwapStart => "the start of a new program",
            Self::SwapCheck => "a new program to take calls",
            Self::SwapProbe => "the next ping of a new program",
            Self::Drain => "the calls of the old process",
        })
    }
}
