//! When a plugin is started, stopped and started again, and what becomes of calls meanwhile.

mod ending;
mod pauses;
mod policy;
mod spent;
mod starts;
mod types;
mod well;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use self::pauses::Pauses;
pub use self::policy::{Backoff, Budget, HealthCheck, Restart, Supervision, Waiting};
use self::spent::Spent;
pub use self::starts::Starts;
pub use self::types::{
    Cause, Change, End, Refusal, Stop, SupervisorAction, SupervisorEvent, SupervisorInput,
    SupervisorPhase, SupervisorState, SupervisorTimer,
};
use crate::timer::Timers;

/// The life of a plugin whose processes come and go.
///
/// The driver starts and ends processes and holds the calls; this decides when. Its methods are those of the
/// other machines, and so is the contract of draining; see the crate's documentation.
///
/// ```text
///  Resting ──Wanted──▶ Queued ──Placed──▶ Starting ──Started──▶ Up
///     ▲                  ▲                   │                   │ idle, not well,
///     │                  │ pause is over     │ StartFailed       │ shutdown, let_go
///     │                  │                   ▼                   ▼
///     │               Pausing ◀── Exited (restart) ◀─────── Stopping
///     │                  ╎                                       │
///     └── Exited (idle) ─╎───────────────────────────────────────┤
///                        ╎ too many restarts                     │ Exited
///                        ▼                                       ▼
///                    CrashLoop ──── start() ──▶ Queued          Over
/// ```
///
/// A process is a *generation*, counted from 1. One is live from `Start` until the driver says that it has
/// ended, and there is never a second one meanwhile: all that is known of the live one is in one place
/// (`Process`), so that an exchange of two, in which both are live, is a second such place and what moves the
/// calls between them.
///
/// Calls wait ([`Hold`](SupervisorAction::Hold)), go to a process ([`Admit`](SupervisorAction::Admit)) or fail
/// ([`Refuse`](SupervisorAction::Refuse)); until the first of these actions they wait. How long each waits is
/// the policy's ([`Waiting::limit`]) and the driver's to count, since it knows the calls. In both final states
/// they fail.
#[derive(Clone, Debug)]
pub struct Supervisor {
    policy: Supervision,
    pauses: Pauses,
    spent: Spent,
    phase: Phase,
    calls: Calls,
    generation: u64,
    restarts: u64,
    failures: VecDeque<End>,
    timers: Timers<SupervisorTimer>,
    actions: VecDeque<SupervisorAction>,
    events: VecDeque<SupervisorEvent>,
    /// Counts the states.
    version: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    Resting,
    Queued,
    Starting,
    Up(Process),
    /// It was up, if there is a process.
    Stopping(Cause, Option<Process>),
    Pausing(Instant),
    CrashLoop,
    Over(Cause),
}

/// A process that is or was up.
#[derive(Clone, Debug)]
struct Process {
    id: Option<String>,
    pid: Option<u32>,
    since: Instant,
    /// How often in a row it was not well.
    missed: u32,
    /// How many pings there were.
    probes: u64,
    /// The one that has no answer yet.
    asked: Option<u64>,
}

/// What calls were last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    Held,
    Admitted,
    Refused(Refusal),
}

impl Supervisor {
    /// A plugin that has no process yet. Where the policy has no seed for its pauses, `seed` is taken.
    #[must_use]
    pub fn new(policy: Supervision, seed: u64) -> Self {
        let lazy = policy.lazy;
        let mut supervisor = Self {
            pauses: Pauses::new(policy.backoff, seed),
            spent: Spent::new(policy.budget),
            policy,
            phase: Phase::Resting,
            calls: Calls::Held,
            generation: 0,
            restarts: 0,
            failures: VecDeque::new(),
            timers: Timers::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            version: 0,
        };
        if !lazy {
            supervisor.begin();
        }
        supervisor
    }

    /// Takes note of what happened outside.
    pub fn handle(&mut self, now: Instant, input: SupervisorInput) {
        match input {
            SupervisorInput::Wanted => {
                if self.is_resting() {
                    self.begin();
                }
            }
            SupervisorInput::Placed { generation } => {
                if self.generation == generation && matches!(self.phase, Phase::Queued) {
                    self.enter(Phase::Starting);
                    self.push(SupervisorAction::Start { generation });
                    self.tell(Change::Starting, None);
                }
            }
            SupervisorInput::Started {
                generation,
                id,
                pid,
            } => {
                if self.generation == generation && matches!(self.phase, Phase::Starting) {
                    self.on_started(now, id, pid);
                }
            }
            SupervisorInput::StartFailed {
                generation,
                text,
                lasting,
            } => {
                if self.generation == generation {
                    self.on_ended(now, Cause::NotStarted, text, lasting);
                }
            }
            SupervisorInput::Exited {
                generation,
                cause,
                text,
            } => {
                if self.generation == generation {
                    self.on_ended(now, cause, text, false);
                }
            }
            SupervisorInput::Told {
                generation,
                serving,
            } => {
                if self.generation == generation {
                    self.on_health(serving, Stop::Ask);
                }
            }
            SupervisorInput::Probed {
                generation,
                probe,
                serving,
            } => {
                if self.generation == generation && self.answer(probe) {
                    self.timers.disarm(SupervisorTimer::Answer);
                    self.on_health(serving, Stop::Ask);
                }
            }
            SupervisorInput::Rested { generation } => {
                if self.generation == generation && matches!(self.phase, Phase::Up(_)) {
                    self.calls = Calls::Held;
                    self.stop(Cause::Idle, Stop::Ask);
                }
            }
            SupervisorInput::InUse { generation, since } => {
                if self.generation == generation && matches!(self.phase, Phase::Up(_)) {
                    self.wait_for_idle(since.unwrap_or(now));
                }
            }
        }
    }

    /// Starts the plugin now, where it [rests](SupervisorPhase::Resting), waits for its next attempt or was
    /// restarted too often; then the budget and the pauses start over. No effect otherwise.
    pub fn start(&mut self) {
        if matches!(
            self.phase,
            Phase::Resting | Phase::Pausing(_) | Phase::CrashLoop
        ) {
            if matches!(self.phase, Phase::CrashLoop) {
                self.spent.start_over();
                self.pauses.start_over();
            }
            self.timers.clear();
            self.hold();
            self.begin();
        }
    }

    /// Ends the plugin in good order, and starts it no more.
    pub fn shutdown(&mut self) {
        self.finish(Cause::Shutdown, Stop::Ask);
    }

    /// The user has let go of the plugin: kills it, and starts it no more.
    pub fn let_go(&mut self) {
        self.finish(Cause::Dropped, Stop::Kill);
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            match (kind, &self.phase) {
                (SupervisorTimer::Restart, Phase::Pausing(_)) => self.begin(),
                (SupervisorTimer::Probe, Phase::Up(_)) => self.probe(now),
                (SupervisorTimer::Answer, Phase::Up(_)) => self.unanswered(),
                (SupervisorTimer::Idle, Phase::Up(_)) => self.rest(now),
                _ => {}
            }
        }
    }

    /// The next thing for the driver to do, if any.
    pub fn poll_action(&mut self) -> Option<SupervisorAction> {
        self.actions.pop_front()
    }

    /// The next thing for the user to know, if any.
    pub fn poll_event(&mut self) -> Option<SupervisorEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, SupervisorTimer)> {
        self.timers.next()
    }

    /// Whether there is no process and a call [starts](SupervisorInput::Wanted) the next.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        matches!(self.phase, Phase::Resting)
    }

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
                Phase::Over(cause) => SupervisorPhase::Over(*cause),
            },
            generation: self.generation,
            id: process.and_then(|process| process.id.clone()),
            pid: process.and_then(|process| process.pid),
            restarts: self.restarts,
            failures: self.failures.iter().cloned().collect::<Arc<[End]>>(),
        }
    }

    /// A number that grows with each change of [`state`](Self::state).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.version += 1;
    }

    fn push(&mut self, action: SupervisorAction) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, change: Change, next_attempt: Option<Instant>) {
        let (id, pid) = match &change {
            Change::Ended(end) => (end.id.clone(), end.pid),
            _ => {
                let state = self.process();
                let id = state.and_then(|process| process.id.clone());
                (id, state.and_then(|process| process.pid))
            }
        };
        self.events.push_back(SupervisorEvent {
            generation: self.generation,
            id,
            pid,
            change,
            next_attempt,
        });
    }

    fn process(&self) -> Option<&Process> {
        match &self.phase {
            Phase::Up(process) | Phase::Stopping(_, Some(process)) => Some(process),
            _ => None,
        }
    }

    fn hold(&mut self) {
        if self.calls != Calls::Held {
            self.calls = Calls::Held;
            self.push(SupervisorAction::Hold);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        if self.calls != Calls::Refused(refusal) {
            self.calls = Calls::Refused(refusal);
            self.push(SupervisorAction::Refuse(refusal));
        }
    }

    /// The next process.
    fn begin(&mut self) {
        self.generation += 1;
        self.enter(Phase::Queued);
        let generation = self.generation;
        self.push(SupervisorAction::AskPlace { generation });
    }

    fn on_started(&mut self, now: Instant, id: Option<String>, pid: Option<u32>) {
        let generation = self.generation;
        self.enter(Phase::Up(Process {
            id,
            pid,
            since: now,
            missed: 0,
            probes: 0,
            asked: None,
        }));
        self.push(SupervisorAction::LeavePlace { generation });
        self.calls = Calls::Admitted;
        self.push(SupervisorAction::Admit { generation });
        self.tell(Change::Up, None);
        if let Some(check) = self.policy.health {
            self.push(SupervisorAction::Watch { generation });
            self.timers.arm(SupervisorTimer::Probe, now, check.every);
        }
        self.wait_for_idle(now);
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
