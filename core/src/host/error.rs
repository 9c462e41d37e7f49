//! Why a plugin did not start, with the evidence.

use std::fmt;
use std::time::Duration;

use crate::diagnose::Notes;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::handshake::{HandshakeError, Location, Refusal};

/// The phases of starting. Each may take the whole start timeout, as in go-plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StartPhase {
    /// The process is being made.
    Launch,
    /// The process runs and has not announced itself.
    Handshake,
    /// The process listens, and the host connects to it.
    Connect,
}

/// A phrase that completes "the plugin did not start in time: …".
impl fmt::Display for StartPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Launch => "its process was not made",
            Self::Handshake => "it printed no handshake line",
            Self::Connect => "it took no connection",
        })
    }
}

/// Why a plugin did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailure {
    /// The system could not make the process.
    #[error("the plugin's process could not be started")]
    Launch(#[source] Fault),
    /// A phase took longer than the start timeout.
    #[error(
        "the plugin did not start in time: {phase} within {after:?}; \
         raise the start timeout if it needs longer"
    )]
    TimedOut {
        /// The phase that ran out.
        phase: StartPhase,
        /// The start timeout.
        after: Duration,
    },
    /// The process ended by itself before a connection was possible.
    #[error("the plugin ended before the host could connect")]
    Exited {
        /// The phase in which it ended.
        phase: StartPhase,
    },
    /// The plugin says that it cannot serve, and why.
    #[error("the plugin says why it cannot serve: {0}")]
    Refused(Refusal),
    /// The process closed its stdout without a line and lived on, its first line is no handshake
    /// line, or it is one that this host cannot accept.
    #[error("the plugin's handshake was not accepted")]
    Handshake(#[source] HandshakeError),
    /// The plugin announced an address and cannot be reached there.
    #[error("no connection to the plugin at {location}")]
    Connect {
        /// Where the plugin said it listens.
        location: Location,
        /// What the system said.
        #[source]
        fault: Fault,
    },
    /// The host's user asked for the end before the plugin was ready.
    #[error("the start was given up on request")]
    Cancelled,
}

/// A plugin that did not start: why, and what was seen of it.
///
/// Its process, if there was one, has been reaped or, where [`Evidence::exit`] is missing, refused
/// to die.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// Why.
    pub failure: StartFailure,
    /// What was seen.
    pub evidence: Evidence,
}

/// What was seen of a plugin that did not start. All of it is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How the process ended, if it existed and was reaped.
    pub exit: Option<Exit>,
    /// Whether the host had killed it by then, so that the exit tells nothing.
    pub killed: bool,
    /// Its last lines on stderr, oldest first.
    pub stderr: Vec<String>,
    /// What the driver found out about the program's file, where that may explain the failure; see
    /// [`StartFailure::may_be_no_plugin`]. The machine leaves it empty.
    pub notes: Option<Box<Notes>>,
}

/// The failure with its causes, the exit if it means something, the last lines of stderr, and the
/// notes. The causes are part of it, and not left to `source`, because they would come last there:
/// after many lines of evidence.
impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.failure)?;
        let mut cause = std::error::Error::source(&self.failure);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match self.evidence.exit {
            Some(exit) if !self.evidence.killed => write!(f, "; it {exit}")?,
            Some(_) | None => {}
        }
        if !self.evidence.stderr.is_empty() {
            f.write_str("; its last lines on stderr:")?;
            for line in &self.evidence.stderr {
                write!(f, "\n  {line}")?;
            }
        }
        if let Some(notes) = &self.evidence.notes {
            write!(f, "\n{notes}")?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {}

impl StartFailure {
    /// Whether the program may not be a plugin at all, or not one for this machine, so that facts
    /// about its file help.
    #[must_use]
    pub fn may_be_no_plugin(&self) -> bool {
        match self {
            Self::Launch(_) => true,
            Self::Handshake(error) => matches!(
                error,
                HandshakeError::NoLine
                    | HandshakeError::LineTooLong { .. }
                    | HandshakeError::OnlyStrayLines { .. }
                    | HandshakeError::Unrecognised { .. }
            ),
            Self::Exited { phase } => *phase == StartPhase::Handshake,
            Self::TimedOut { .. } | Self::Refused(_) | Self::Connect { .. } | Self::Cancelled => {
                false
            }
        }
    }
}
