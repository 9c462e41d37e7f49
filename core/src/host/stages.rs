//! The stages of a plugin's end, and what came of each.

use std::fmt;
use std::time::{Duration, Instant};

/// A stage of the end that a host brings about, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EndStage {
    /// The plugin is asked to end over its connection: it takes no new calls and finishes those in
    /// flight. As long as [`HostConfig::shutdown_grace`](super::HostConfig::shutdown_grace).
    Asked,
    /// Its process is told to end: SIGTERM. As long as
    /// [`HostConfig::terminate_grace`](super::HostConfig::terminate_grace).
    Terminated,
    /// Its process is ended: SIGKILL, `TerminateProcess`. As long as
    /// [`HostConfig::reap_timeout`](super::HostConfig::reap_timeout).
    Killed,
}

/// What came of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StageOutcome {
    /// The process ended in it.
    Ended,
    /// The process was still there when its time was over.
    Expired,
    /// The plugin has no controller that could be asked, and did not end by itself within the time.
    NoController,
    /// The plugin could not be reached to be asked, and did not end by itself within the time.
    NotReached,
    /// The process cannot be told by whoever runs it, or the system refused.
    Refused,
    /// It was cut short: a kill was wanted, or the plugin was let go of.
    CutShort,
}

/// A stage of an end, with what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StageReport {
    /// Which one.
    pub stage: EndStage,
    /// What came of it.
    pub outcome: StageOutcome,
    /// How long it took.
    pub took: Duration,
}

impl StageReport {
    /// A stage with what came of it, and how long that took.
    #[must_use]
    pub fn new(stage: EndStage, outcome: StageOutcome, took: Duration) -> Self {
        Self {
            stage,
            outcome,
            took,
        }
    }
}

/// Completes "the plugin was …".
impl fmt::Display for EndStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked to end",
            Self::Terminated => "told to end (SIGTERM)",
            Self::Killed => "killed",
        })
    }
}

/// Follows the stage and a colon.
impl fmt::Display for StageOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "it ended",
            Self::Expired => "it was still there",
            Self::NoController => "it has no controller that could be asked",
            Self::NotReached => "it could not be reached",
            Self::Refused => "its process cannot be told",
            Self::CutShort => "that was cut short",
        })
    }
}

/// `asked to end: it was still there after 2s`.
impl fmt::Display for StageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stage,
            outcome,
            took,
        } = self;
        write!(f, "{stage}: {outcome} after {took:?}")
    }
}

/// The stages of one end so far.
#[derive(Debug, Default)]
pub(super) struct Stages {
    over: Vec<StageReport>,
    now: Option<(EndStage, Instant)>,
}

impl Stages {
    /// Begins a stage. One that has begun, and is not this, is cut short.
    pub(super) fn begin(&mut self, now: Instant, stage: EndStage) {
        if self.now.is_some_and(|(current, _)| current == stage) {
            return;
        }
        self.settle(now, StageOutcome::CutShort);
        self.now = Some((stage, now));
    }

    /// Notes what came of the current stage, if there is one.
    pub(super) fn settle(&mut self, now: Instant, outcome: StageOutcome) {
        if let Some((stage, began)) = self.now.take() {
            let took = now.saturating_duration_since(began);
            self.over.push(StageReport::new(stage, outcome, took));
        }
    }

    /// What came of each, in their order.
    pub(super) fn reports(&self) -> Vec<StageReport> {
        self.over.clone()
    }
}
