//! How a running plugin is replaced by a new program, as its user says it, and what comes of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::phase::{Cause, End, SupervisorPhase};
use crate::handshake::Protocol;

/// How the process of a supervised plugin is replaced by one of a new program. Durations of
/// [`Duration::MAX`] mean "no limit".
///
/// Unless something else is said: the new one may take 60 s to start and 10 s to say that it takes calls, it
/// must speak the version that the old one speaks, and the old one gets 30 s to finish its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it does nothing by itself"]
pub struct Swap {
    /// Whether both run for a while.
    pub mode: SwapMode,
    /// Which version of the application's protocol the new one must speak.
    pub version: SwapVersion,
    /// How long the new one may take to start, its wait for a place among those that start at once included.
    pub start_within: Duration,
    /// How long it may take from there until its health service answers that it takes calls; it is asked until
    /// it does.
    pub check_within: Duration,
    /// How long the old one may go on with the calls that it has, before it is asked to end.
    pub drain_within: Duration,
}

impl Swap {
    /// The new one is started beside the old, which serves until the new one is known to be well.
    pub const fn beside() -> Self {
        Self {
            mode: SwapMode::Beside,
            version: SwapVersion::Same,
            start_within: Duration::from_secs(60),
            check_within: Duration::from_secs(10),
            drain_within: Duration::from_secs(30),
        }
    }

    /// The old one is stopped before the new one is started, for plugins that own what only one process can
    /// have. New calls wait meanwhile, within the limit that the policy sets
    /// ([`Waiting`](super::Waiting)). If the new one fails, the old program is started again.
    pub const fn exclusive() -> Self {
        let mut swap = Self::beside();
        swap.mode = SwapMode::Exclusive;
        swap
    }

    /// Which version the new one must speak: the one that the old speaks unless this is called.
    pub const fn version(mut self, version: SwapVersion) -> Self {
        self.version = version;
        self
    }

    /// How long the new one may take to start: 60 s unless this is called. The limits of its host hold as well.
    pub const fn start_within(mut self, limit: Duration) -> Self {
        self.start_within = limit;
        self
    }

    /// How long the new one may take from its start to the answer that it takes calls: 10 s unless this is
    /// called.
    pub const fn check_within(mut self, limit: Duration) -> Self {
        self.check_within = limit;
        self
    }

    /// How long the old one may go on with its calls: 30 s unless this is called. After that it is ended in
    /// stages like any plugin that is shut down, which leaves calls a grace period of their own.
    pub const fn drain_within(mut self, limit: Duration) -> Self {
        self.drain_within = limit;
        self
    }
}

/// Whether the old process and the new one run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwapMode {
    /// They do, until calls have moved over and the old one has finished those it had.
    Beside,
    /// They never do.
    Exclusive,
}

/// Which version of the application's protocol a new program must speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwapVersion {
    /// The one that the last process spoke; any, if there was none.
    Same,
    /// This one.
    Is(i64),
    /// Any. The clients stay those that they are.
    Any,
}

/// What host and plugin agreed on at the start of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Spoken {
    /// The version of the application's protocol.
    pub version: i64,
    /// What carries the calls.
    pub protocol: Protocol,
}

impl Spoken {
    /// This version, over this protocol.
    #[must_use]
    pub const fn new(version: i64, protocol: Protocol) -> Self {
        Self { version, protocol }
    }
}

/// Why a swap is not begun with. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwapRefusal {
    /// Another one is under way: its old process, or its new one, has not ended yet.
    Swapping,
    /// The plugin has ended or is about to, for this reason.
    Over(Cause),
}

/// A phrase that completes "the plugin …".
impl fmt::Display for SwapRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Swapping => f.write_str("is being replaced already: wait for that to end"),
            Self::Over(cause) => write!(f, "{cause} and is not started again"),
        }
    }
}

/// What a swap is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwapStage {
    /// The old process finishes the calls that it has.
    Draining,
    /// The old process is being ended.
    Stopping,
    /// The new one waits for a place among those that start at once.
    Queued,
    /// The new one is being started.
    Starting,
    /// The new one is up, and asked whether it takes calls.
    Checking,
    /// The new one has failed and is being ended.
    GoingBack,
}

/// A swap that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SwapState {
    /// What it is at.
    pub stage: SwapStage,
    /// The process that this is about: the new one until calls have moved, the old one otherwise.
    pub generation: u64,
    /// What that process is called where it runs, if it is or was up.
    pub id: Option<String>,
    /// Its number, if it is or was up and is one of this system.
    pub pid: Option<u32>,
}

/// A swap that was made: calls go to the new program, and the old process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SwapReport {
    /// How the old process ended, if there was one.
    pub old: Option<End>,
    /// Whether the old one had finished all its calls when it was asked to end. True if it had none.
    pub drained: bool,
    /// The process that calls have moved to.
    pub generation: u64,
    /// What that is called where it runs.
    pub id: Option<String>,
    /// Its number, if it is one of this system.
    pub pid: Option<u32>,
}

/// One line.
impl fmt::Display for SwapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} has taken over", self.generation)?;
        if let Some(old) = &self.old {
            let (generation, cause) = (old.generation, old.cause);
            write!(f, " from process {generation}, which {cause}")?;
        }
        if !self.drained {
            f.write_str(" before it had finished its calls")?;
        }
        Ok(())
    }
}

/// A swap that failed before calls had moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SwapFailure {
    /// Where.
    pub step: SwapStep,
    /// Why, for people, with what the new process has said last.
    pub text: Arc<str>,
    /// How the new process ended, if one was begun with.
    pub new: Option<End>,
    /// What the plugin is doing since, by the old program.
    pub phase: SupervisorPhase,
}

impl SwapFailure {
    /// Whether the old process has served all the time, and does.
    #[must_use]
    pub fn old_serves(&self) -> bool {
        self.phase == SupervisorPhase::Up
    }
}

/// One line, and what the new process has said last behind it.
impl fmt::Display for SwapFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.phase {
            SupervisorPhase::Up => "the old process still serves",
            SupervisorPhase::Resting => "the next call starts the old program",
            SupervisorPhase::CrashLoop => "the old program is not started again by itself",
            SupervisorPhase::Over(_) => "nothing is started any more",
            _ => "the old program is started again",
        })?;
        write!(f, ", since {}: {}", self.step, self.text)
    }
}

/// The step at which a swap failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwapStep {
    /// The new program did not start, or not in time.
    Start,
    /// It speaks another version of the application's protocol.
    Version {
        /// The one that it was to speak.
        expected: i64,
        /// Its own.
        found: i64,
    },
    /// Its calls are of another kind: clients of net/rpc's instances and of services are not the same.
    Protocol {
        /// What the old one speaks.
        expected: Protocol,
        /// What the new one does.
        found: Protocol,
    },
    /// It ended before it said that it takes calls, or did not say so in time.
    Check,
    /// The plugin was ended meanwhile, for this reason.
    Over(Cause),
}

/// A clause.
impl fmt::Display for SwapStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("the new program did not start"),
            Self::Version { expected, found } => write!(
                f,
                "the new program speaks version {found} where {expected} was expected"
            ),
            Self::Protocol { expected, found } => write!(
                f,
                "the new program speaks {} where clients need {}",
                found.name(),
                expected.name()
            ),
            Self::Check => f.write_str("the new program was not seen to take calls"),
            Self::Over(cause) => write!(f, "the plugin {cause}"),
        }
    }
}

/// Why a process that speaks `found` cannot take over from one that spoke `last`, if it cannot.
pub(super) fn misfit(wanted: SwapVersion, last: Option<Spoken>, found: Spoken) -> Option<SwapStep> {
    if let Some(last) = last {
        let (expected, found) = (last.protocol, found.protocol);
        if (expected == Protocol::NetRpc) != (found == Protocol::NetRpc) {
            return Some(SwapStep::Protocol { expected, found });
        }
    }
    let expected = match wanted {
        SwapVersion::Any => None,
        SwapVersion::Is(version) => Some(version),
        SwapVersion::Same => last.map(|last| last.version),
    };
    let found = found.version;
    expected
        .filter(|expected| *expected != found)
        .map(|expected| SwapStep::Version { expected, found })
}
