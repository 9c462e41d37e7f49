//! How a plugin ended, as its host's user learns it.

use std::fmt;

use outboard_core::exit::Exit;
use outboard_core::rpc::Status;

pub use outboard_core::host::{EndStage, ExitReason, StageOutcome, StageReport};

/// How a plugin ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExitReport {
    /// How the process ended.
    pub exit: Exit,
    /// How that came: asked, killed, or by itself.
    pub reason: ExitReason,
    /// The stages of the end that its host has brought about, in their order, with what came of each: none
    /// of a plugin that ended by itself.
    pub stages: Vec<StageReport>,
    /// What its last panic said, if there was one and little was logged since; one line.
    pub panic: Option<String>,
    /// Its last lines on stderr, oldest first; a bounded number. Before them how its last panic
    /// began, if the stack behind that would have pushed it out.
    pub stderr: Vec<String>,
}

impl ExitReport {
    /// A report without last words.
    #[must_use]
    pub fn new(exit: Exit, reason: ExitReason) -> Self {
        Self {
            exit,
            reason,
            stages: Vec::new(),
            panic: None,
            stderr: Vec::new(),
        }
    }

    /// What it took in the end, where asking did not do: the last stage that was tried.
    fn force(&self) -> &'static str {
        match self.stages.last() {
            Some(last) if last.stage == EndStage::Terminated => {
                "it was told to (SIGTERM), and ended"
            }
            _ => "it was killed",
        }
    }

    /// The status of calls to a plugin that has ended so.
    pub(super) fn status(&self, name: &str) -> Status {
        Status::connection_lost(format!("the plugin {name} {self}"))
    }
}

/// A phrase that completes "the plugin …".
impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            ExitReason::Shutdown => write!(f, "was shut down and {}", self.exit),
            ExitReason::GraceExpired => write!(
                f,
                "did not end within the grace period after it was asked to: {}",
                self.force()
            ),
            ExitReason::NoController => write!(
                f,
                "has no controller that could ask it to end, and did not end by itself within the \
                 grace period: {}",
                self.force()
            ),
            ExitReason::NotAsked => write!(
                f,
                "could not be reached within the grace period to be asked to end: {}",
                self.force()
            ),
            ExitReason::Killed => f.write_str("was killed by its host"),
            ExitReason::Released => f.write_str("was left running by its host"),
            ExitReason::Unreachable => f.write_str(
                "could not be reached again after its connection was lost: it was killed",
            ),
            ExitReason::Crashed => {
                write!(f, "{}", self.exit)?;
                if let Some(panic) = &self.panic {
                    write!(f, " after a panic: {panic}")?;
                }
                if !self.stderr.is_empty() {
                    f.write_str("; its last lines on stderr:")?;
                    for line in &self.stderr {
                        write!(f, "\n  {line}")?;
                    }
                }
                Ok(())
            }
            _ => write!(f, "{}", self.exit),
        }
    }
}
