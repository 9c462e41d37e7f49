//! When a plugin is started, stopped and started again, and what becomes of calls meanwhile.

mod ending;
mod exchange;
mod newcomer;
mod pauses;
mod phase;
mod policy;
mod shown;
mod spent;
mod starts;
mod swap;
mod types;
mod well;

use std::collections::VecDeque;
use std::time::Instant;

use self::exchange::Exchange;
use self::pauses::Pauses;
pub use self::phase::{Cause, End, SupervisorPhase};
pub use self::policy::{Backoff, Budget, HealthCheck, Restart, Supervision, Waiting};
use self::spent::Spent;
pub use self::starts::Starts;
pub use self::swap::{
    Spoken, Swap, SwapFailure, SwapMode, SwapRefusal, SwapReport, SwapStage, SwapState, SwapStep,
    SwapVersion,
};
pub use self::types::{
    Change, Refusal, Stop, SupervisorAction, SupervisorEvent, SupervisorInput, SupervisorState,
    SupervisorTimer,
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
/// ended, and there is never a second one meanwhile but in a [swap](Self::swap), whose process has a place of its
/// own (`Exchange`): the new one until calls have moved to it, the old one from there on. What is drawn above is
/// the life of the present one, which a swap does not touch until then: it may crash and be started again. In an
/// exclusive swap the present one is ended first. Where it has ended, and what follows is for the swap to say,
/// its place is vacant.
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
    /// That of the present process, or of the last.
    generation: u64,
    /// The last that was begun with.
    newest: u64,
    /// What the present one is a process of; see [`SupervisorAction::AskPlace`].
    program: u64,
    /// What the last process spoke that calls went to.
    spoken: Option<Spoken>,
    exchange: Option<Exchange>,
    /// How many swaps there were.
    swaps: u64,
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
    /// A swap goes on without it.
    Vacant(Then),
    Over(Cause),
}

/// What follows if the new program does not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Begin,
    Rest,
    Pause(Instant),
    CrashLoop,
    Over(Cause),
}

impl Then {
    fn phase(self) -> SupervisorPhase {
        match self {
            Self::Begin => SupervisorPhase::Queued,
            Self::Rest => SupervisorPhase::Resting,
            Self::Pause(until) => SupervisorPhase::Pausing(until),
            Self::CrashLoop => SupervisorPhase::CrashLoop,
            Self::Over(cause) => SupervisorPhase::Over(cause),
        }
    }
}

/// A process that is or was up.
#[derive(Clone, Debug)]
struct Process {
    id: Option<String>,
    pid: Option<u32>,
    since: Instant,
    /// How often in a row it was not well.
    missed: u32,
    /// How many pings in a row it did not answer in time.
    silent: u32,
    /// How many pings there were.
    probes: u64,
    /// The one that has no answer yet.
    asked: Option<u64>,
}

impl Process {
    fn new(now: Instant, id: Option<String>, pid: Option<u32>) -> Self {
        Self {
            id,
            pid,
            since: now,
            missed: 0,
            silent: 0,
            probes: 0,
            asked: None,
        }
    }
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
            newest: 0,
            program: 0,
            spoken: None,
            exchange: None,
            swaps: 0,
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
        if self.handle_other(now, &input) {
            return;
        }
        match input {
            SupervisorInput::Wanted => {
                if self.is_resting() {
                    self.begin();
                }
            }
            SupervisorInput::Placed { generation } => {
                if self.generation == generation && matches!(self.phase, Phase::Queued) {
                    self.enter(Phase::Starting);
                    let program = self.program;
                    self.push(SupervisorAction::Start {
                        generation,
                        program,
                    });
                    self.tell(Change::Starting, None);
                }
            }
            SupervisorInput::Started {
                generation,
                id,
                pid,
                spoken,
            } => {
                if self.generation == generation && matches!(self.phase, Phase::Starting) {
                    self.push(SupervisorAction::LeavePlace { generation });
                    self.admit(now, Process::new(now, id, pid), spoken);
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
                    self.wait_for_idle(now, since);
                }
            }
            SupervisorInput::Drained { generation } => {
                if self.generation == generation {
                    self.drained();
                }
            }
        }
    }

    /// Starts the plugin now, where it [rests](SupervisorPhase::Resting), waits for its next attempt or was
    /// restarted too often; then the budget and the pauses start over. While another program is started in
    /// place of it, it is started if that fails. No effect otherwise.
    pub fn start(&mut self) {
        if matches!(
            self.phase,
            Phase::Resting | Phase::Pausing(_) | Phase::CrashLoop
        ) {
            if matches!(self.phase, Phase::CrashLoop) {
                self.spent.start_over();
                self.pauses.start_over();
            }
            self.disarm_own();
            self.hold();
            self.begin();
        } else if let Phase::Vacant(then @ (Then::Rest | Then::Pause(_) | Then::CrashLoop)) =
            self.phase
        {
            if then == Then::CrashLoop {
                self.spent.start_over();
                self.pauses.start_over();
            }
            self.enter(Phase::Vacant(Then::Begin));
            self.hold();
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
                (
                    SupervisorTimer::SwapStart
                    | SupervisorTimer::SwapCheck
                    | SupervisorTimer::SwapProbe
                    | SupervisorTimer::Drain,
                    _,
                ) => self.swap_timeout(now, kind),
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

    /// Whether there is no process and there will be none.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether there is no process and a call [starts](SupervisorInput::Wanted) the next.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        matches!(self.phase, Phase::Resting)
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
        self.newest += 1;
        self.generation = self.newest;
        self.enter(Phase::Queued);
        let (generation, program) = (self.generation, self.program);
        self.push(SupervisorAction::AskPlace {
            generation,
            program,
        });
    }

    /// This is the present process: calls go to it.
    fn admit(&mut self, now: Instant, process: Process, spoken: Spoken) {
        let generation = self.generation;
        self.enter(Phase::Up(process));
        self.spoken = Some(spoken);
        self.calls = Calls::Admitted;
        self.push(SupervisorAction::Admit { generation });
        self.tell(Change::Up, None);
        if let Some(check) = self.policy.health {
            self.push(SupervisorAction::Watch { generation });
            self.timers.arm(SupervisorTimer::Probe, now, check.every);
        }
        self.wait_for_idle(now, Some(now));
    }

    /// Whether calls may still come to a process.
    fn is_held(&self) -> bool {
        !matches!(self.calls, Calls::Refused(Refusal::Over(_)))
    }

    /// Disarms what is about the present process.
    fn disarm_own(&mut self) {
        for timer in [
            SupervisorTimer::Restart,
            SupervisorTimer::Probe,
            SupervisorTimer::Answer,
            SupervisorTimer::Idle,
        ] {
            self.timers.disarm(timer);
        }
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
