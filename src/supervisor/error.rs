//! Why a supervised plugin is not up.

use outboard_core::supervisor::{End, Refusal, SupervisorPhase, SupervisorState};

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
