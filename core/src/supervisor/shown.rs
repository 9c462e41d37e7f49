//! What is to be seen of a supervised plugin: its state, and what happens to it.

use std::sync::Arc;
use std::time::Instant;

use super::phase::{End, SupervisorPhase};
use super::types::{Change, SupervisorEvent, SupervisorState};
use super::{Phase, Process, Supervisor, Then};

impl Supervisor {
    /// What the plugin is doing.
    #[must_use]
    pub fn state(&self) -> SupervisorState {
        let process = match &self.phase {
            Phase::Up(process) | Phase::Stopping(_, Some(process)) => Some(process),
            _ => None,
        };
        SupervisorState {
            phase: match &self.phase {
                Phase::Resting => SupervisorPhase::Resting,
                Phase::Queued => SupervisorPhase::Queued,
                Phase::Starting => SupervisorPhase::Starting,
                Phase::Up(_) => SupervisorPhase::Up,
                Phase::Stopping(cause, _) => SupervisorPhase::Stopping(*cause),
                Phase::Pausing(until) => SupervisorPhase::Pausing(*until),
                Phase::CrashLoop => SupervisorPhase::CrashLoop,
                Phase::Vacant(Then::Over(cause)) if !self.is_held() => {
                    SupervisorPhase::Stopping(*cause)
                }
                Phase::Vacant(_) => SupervisorPhase::Swapping,
                Phase::Over(cause) => SupervisorPhase::Over(*cause),
            },
            generation: self.generation,
            id: process.and_then(|process| process.id.clone()),
            pid: process.and_then(|process| process.pid),
            restarts: self.restarts,
            failures: self.failures.iter().cloned().collect::<Arc<[End]>>(),
            swap: self.swap_state(),
        }
    }

    pub(super) fn tell(&mut self, change: Change, next_attempt: Option<Instant>) {
        let process = self.process();
        let id = process.and_then(|process| process.id.clone());
        let pid = process.and_then(|process| process.pid);
        self.put(self.generation, id, pid, change, next_attempt);
    }

    /// Tells something of a process that may not be the present one.
    pub(super) fn tell_of(&mut self, generation: u64, process: Option<&Process>, change: Change) {
        let id = process.and_then(|process| process.id.clone());
        let pid = process.and_then(|process| process.pid);
        self.put(generation, id, pid, change, None);
    }

    fn put(
        &mut self,
        generation: u64,
        id: Option<String>,
        pid: Option<u32>,
        change: Change,
        next_attempt: Option<Instant>,
    ) {
        let (id, pid) = match &change {
            Change::Ended(end) => (end.id.clone(), end.pid),
            Change::Swapped(report) => (report.id.clone(), report.pid),
            Change::SwapFailed(failure) => match &failure.new {
                Some(end) => (end.id.clone(), end.pid),
                None => (None, None),
            },
            _ => (id, pid),
        };
        self.events.push_back(SupervisorEvent {
            generation,
            id,
            pid,
            change,
            next_attempt,
        });
    }

    pub(super) fn process(&self) -> Option<&Process> {
        match &self.phase {
            Phase::Up(process) | Phase::Stopping(_, Some(process)) => Some(process),
            _ => None,
        }
    }
}
