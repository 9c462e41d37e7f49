//! Why a plugin did not start, with the evidence.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Hint;
use crate::diagnose::Notes;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::handshake::{HandshakeError, Location, Refusal};
use crate::tls::TlsReason;

/// The phases of starting. Each may take the whole start timeout, as in go-plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StartPhase {
    /// The process is being made.
    Launch,
    /// The process runs and has not announced itself.
    Handshake,
    /// The process listens, and the host connects to it.
    Connect,
    /// Host and plugin are connected, and agree on how the connection is secured.
    Tls,
}

/// A phrase that completes "the plugin did not start in time: …".
impl fmt::Display for StartPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Launch => "its process was not made",
            Self::Handshake => "it printed no handshake line",
            Self::Connect => "it took no connection",
            Self::Tls => "it agreed on no TLS connection",
        })
    }
}

/// Why a plugin did not start.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailure {
    /// The system could not make the process.
    #[error("the plugin's process could not be started: {0}")]
    Launch(Fault),
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
    #[error(transparent)]
    Handshake(HandshakeError),
    /// The plugin announced an address and cannot be reached there.
    #[error("no connection to the plugin at {location}: {fault}")]
    Connect {
        /// Where the plugin said it listens.
        location: Location,
        /// What the system said.
        fault: Fault,
    },
    /// The plugin took a connection, and the two did not agree on how to secure it: the phase
    /// [`StartPhase::Tls`].
    #[error("no TLS connection to the plugin at {location}: {fault}")]
    Tls {
        /// Where the plugin said it listens.
        location: Location,
        /// What did not fit, for programs.
        reason: TlsReason,
        /// The same in words, and what to do.
        fault: Fault,
    },
    /// The host's user asked for the end before the plugin was ready.
    #[error("the start was given up on request")]
    Cancelled,
}

/// A plugin that did not start: why, and what was seen of it.
///
/// The `Display` form is one line: what failed, the cause, how the process ended if that means
/// something. `source` gives the [`Evidence`].
///
/// Its process, if there was one, has been reaped or, where [`Evidence::exit`] is missing, refused
/// to die.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartError {
    /// Why.
    pub failure: StartFailure,
    /// What was seen.
    pub evidence: Evidence,
}

/// What was seen of a plugin that did not start. All of it is bounded.
///
/// The `Display` form has the lines of stderr, the hint, and the notes about the program's file, on
/// lines of their own.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// How the process ended, if it existed and was reaped.
    pub exit: Option<Exit>,
    /// Whether the host had killed it by then, so that the exit tells nothing.
    pub killed: bool,
    /// What its last panic said, if there was one and little was logged since; one line.
    pub panic: Option<String>,
    /// Its last lines on stderr, oldest first; before them how its last panic began, if the stack
    /// behind that would have pushed it out.
    pub stderr: Vec<String>,
    /// What the mistake was, as far as can be told.
    pub hint: Option<Hint>,
    /// What the driver found out about the program's file, where that may explain the failure; see
    /// [`StartError::explain`]. The machine leaves it empty.
    pub notes: Option<Box<Notes>>,
    /// What the runner found out about it, bounded; see [`Child::diagnose`](crate::rt::Child::diagnose).
    /// The machine leaves it empty.
    pub diagnosis: Option<String>,
}

impl StartError {
    /// A failure with nothing seen of it.
    #[must_use]
    pub fn new(failure: StartFailure) -> Self {
        Self {
            failure,
            evidence: Evidence::default(),
        }
    }

    /// Adds what was found out about the program's file, for a failure that
    /// [`may_be_no_plugin`](StartFailure::may_be_no_plugin).
    pub fn explain(&mut self, notes: Notes) {
        self.evidence.notes = Some(Box::new(notes));
        self.evidence.hint = Hint::of(&self.failure, &self.evidence);
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evidence = &self.evidence;
        let summary = evidence.hint.as_ref().and_then(Hint::summary);
        match (&self.failure, &summary) {
            (StartFailure::Launch(fault), Some(summary)) => write!(
                f,
                "the plugin's process could not be started: {summary} ({fault})"
            )?,
            (failure, _) => {
                write!(f, "{failure}")?;
                if let Some(cause) = failure.source() {
                    write!(f, ": {cause}")?;
                }
            }
        }
        if let Some(exit) = evidence.exit.filter(|_| !evidence.killed) {
            write!(f, "; it {exit}")?;
            if let Some(panic) = &evidence.panic {
                write!(f, " after a panic: {panic}")?;
            }
        }
        match (&self.failure, summary) {
            (StartFailure::Launch(_), _) | (_, None) => Ok(()),
            (_, Some(summary)) => write!(f, "; {summary}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let Evidence {
            stderr,
            hint,
            notes,
            diagnosis,
            ..
        } = &self.evidence;
        let is_blank =
            stderr.is_empty() && hint.is_none() && notes.is_none() && diagnosis.is_none();
        (!is_blank).then_some(&self.evidence as _)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.stderr.is_empty() {
            "it wrote nothing on stderr"
        } else {
            "its last lines on stderr:"
        })?;
        for line in &self.stderr {
            write!(f, "\n  {line}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{hint}")?;
        }
        match &self.notes {
            // Nothing but the path, which the line above has.
            Some(notes) if notes.mode.is_some() || notes.contents.is_some() => {
                write!(f, "\n{notes}")?;
            }
            Some(_) | None => {}
        }
        match &self.diagnosis {
            Some(diagnosis) => write!(f, "\nwhat its runner says of it:\n{diagnosis}"),
            None => Ok(()),
        }
    }
}

impl Error for Evidence {}

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
            Self::TimedOut { .. }
            | Self::Refused(_)
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Cancelled => false,
        }
    }
}
