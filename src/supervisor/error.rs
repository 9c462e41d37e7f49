//! Why a supervised plugin is not up.

use outboard_core::supervisor::{
    End, Refusal, SupervisorPhase, SupervisorState, SwapFailure, SwapRefusal,
};

use super::State;
use crate::Status;

/// A supervised plugin is not up, and nothing happens by itself that would change it.
///
/// The `Display` form is one line and what the process has said last; the state has the last failures.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", over(.name, .state))]
#[non_exhaustive]
pub struct NotUp {
    /// The plugin's name.
    pub name: String,
    /// What it is doing in place of that, with its last failures.
    pub state: State,
}

outboard_core::debug_as_text!(NotUp);

impl NotUp {
    /// The plugin of this name, in this state.
    #[must_use]
    pub fn new(name: impl Into<String>, state: State) -> Self {
        let name = name.into();
        Self { name, state }
    }

    /// The status of calls that come now.
    pub(super) fn status(&self) -> Status {
        Status::connection_lost(self.to_string())
    }
}

/// A supervised plugin was not replaced by a new program.
///
/// The `Display` form is one line, and what the new program has said last.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// It was not tried, and nothing has changed.
    #[error("the plugin {name} {refusal}")]
    #[non_exhaustive]
    Refused {
        /// The plugin's name.
        name: String,
        /// Why.
        refusal: SwapRefusal,
    },
    /// It failed before calls had moved: the plugin goes on with the program that it had.
    #[error("the plugin {name} was not replaced: {failure}")]
    #[non_exhaustive]
    Failed {
        /// The plugin's name.
        name: String,
        /// At which step, why, and what the plugin is doing since.
        failure: Box<SwapFailure>,
    },
    /// The async runtime was shut down, and nobody keeps the plugin up any more.
    #[error("the plugin {name} was not replaced: the async runtime that keeps it up was shut down")]
    #[non_exhaustive]
    RuntimeGone {
        /// The plugin's name.
        name: String,
    },
}

outboard_core::debug_as_text!(SwapError);

impl SwapError {
    /// That a swap of the plugin of this name was refused.
    #[must_use]
    pub fn refused(name: &str, refusal: SwapRefusal) -> Self {
        let name = name.to_owned();
        Self::Refused { name, refusal }
    }

    /// That a swap of the plugin of this name has failed.
    #[must_use]
    pub fn failed(name: &str, failure: SwapFailure) -> Self {
        Self::Failed {
            name: name.to_owned(),
            failure: Box::new(failure),
        }
    }

    /// That nobody is there any more who keeps the plugin of this name up.
    #[must_use]
    pub fn runtime_gone(name: &str) -> Self {
        let name = name.to_owned();
        Self::RuntimeGone { name }
    }

    /// What failed, if it was tried.
    #[must_use]
    pub fn failure(&self) -> Option<&SwapFailure> {
        match self {
            Self::Failed { failure, .. } => Some(failure),
            Self::Refused { .. } | Self::RuntimeGone { .. } => None,
        }
    }
}

fn over(name: &str, state: &SupervisorState) -> String {
    let last = state.failures.last();
    let refusal = match state.phase {
        SupervisorPhase::CrashLoop => Refusal::CrashLoop,
        SupervisorPhase::Over(cause) => Refusal::Over(cause),
        _ => Refusal::Restarting,
    };
    refused(name, refusal, state.restarts, last)
}

/// What calls are told.
pub(super) fn refused(name: &str, refusal: Refusal, restarts: u64, last: Option<&End>) -> String {
    let mut text = match refusal {
        Refusal::CrashLoop => format!(
            "the plugin {name} ended too often: after {restarts} restarts it is not started again until \
             Supervised::start is called"
        ),
        Refusal::Over(cause) => {
            format!("the plugin {name} {cause} and is not started again")
        }
        _ => format!(
            "the plugin {name} is being started again, and calls do not wait for that (Supervision::waiting)"
        ),
    };
    if let Some(last) = last {
        text.push_str(". The last failure: ");
        text.push_str(&last.text);
    }
    text
}
