//! A swap that is under way: the second process, and how calls come to be its own.

use std::sync::Arc;
use std::time::Instant;

use super::phase::{Cause, End, SupervisorPhase};
use super::policy::Restart;
use super::swap::{
    Spoken, Swap, SwapFailure, SwapMode, SwapRefusal, SwapReport, SwapStage, SwapState, SwapStep,
};
use super::types::{Change, Stop, SupervisorAction, SupervisorTimer};
use super::{Phase, Process, Supervisor, Then};

/// The second place of a supervisor.
///
/// ```text
///              beside                          healthy: calls move
///   swap() ───────────────▶ New: Queued ─▶ Starting ─▶ Checking ─────▶ Old: draining ─▶ stopping ─▶ over
///      │ exclusive           ▲        └──────┬─────────────┘ (exclusive: over)
///      ▼     the old one     │               ▼
///   Emptying ────────────────┘           GoingBack ─▶ over, by the old program
///             has ended
/// ```
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// Of the swap, and of the program that it brings.
    pub(super) number: u64,
    pub(super) plan: Swap,
    pub(super) side: Side,
    /// How the old process ended, and whether it had finished its calls.
    pub(super) old: Option<End>,
    pub(super) drained: bool,
    /// Who took over.
    pub(super) taker: Option<Taker>,
}

#[derive(Clone, Debug)]
pub(super) enum Side {
    /// The present process is drained and ended first.
    Emptying,
    /// The new one, to which no calls go yet.
    New(New),
    /// The old one, to which none go any more.
    Old(Old),
}

#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) generation: u64,
    pub(super) step: Step,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Queued,
    Starting,
    Checking(Process, Spoken),
    /// It was up, if there is a process.
    GoingBack {
        process: Option<Process>,
        failed: SwapStep,
        cause: Cause,
        text: Arc<str>,
        killed: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Old {
    pub(super) generation: u64,
    /// It was up, if there is one.
    pub(super) process: Option<Process>,
    /// Why it is being ended, if it is.
    pub(super) stopping: Option<Cause>,
    pub(super) killed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Taker {
    pub(super) generation: u64,
    pub(super) id: Option<String>,
    pub(super) pid: Option<u32>,
}

impl Exchange {
    fn stage(&self) -> Option<SwapStage> {
        Some(match &self.side {
            Side::Emptying => return None,
            Side::New(new) => match new.step {
                Step::Queued => SwapStage::Queued,
                Step::Starting => SwapStage::Starting,
                Step::Checking(..) => SwapStage::Checking,
                Step::GoingBack { .. } => SwapStage::GoingBack,
            },
            Side::Old(old) => match old.stopping {
                None => SwapStage::Draining,
                Some(_) => SwapStage::Stopping,
            },
        })
    }

    /// The process that is not the present one.
    pub(super) fn other(&self) -> Option<(u64, Option<&Process>)> {
        match &self.side {
            Side::Emptying => None,
            Side::New(new) => {
                let process = match &new.step {
                    Step::Queued | Step::Starting => None,
                    Step::Checking(process, _) => Some(process),
                    Step::GoingBack { process, .. } => process.as_ref(),
                };
                Some((new.generation, process))
            }
            Side::Old(old) => Some((old.generation, old.process.as_ref())),
        }
    }

    /// Whether a new program may still take over.
    pub(super) fn is_promising(&self) -> bool {
        match &self.side {
            Side::Emptying => true,
            Side::New(new) => !matches!(new.step, Step::GoingBack { .. }),
            Side::Old(_) => false,
        }
    }

    pub(super) fn is_emptying(&self) -> bool {
        matches!(self.side, Side::Emptying)
    }
}

impl Supervisor {
    /// Replaces the present process, or what the plugin does instead of having one, by a process of a new
    /// program, and gives the number of the swap, which is that of the program as well. Once it is
    /// [over](SupervisorAction::SwapOver), the plugin is kept up with the new program if it was made, and with
    /// the one before if it failed.
    ///
    /// # Errors
    /// [`SwapRefusal`]; nothing has changed then.
    pub fn swap(&mut self, now: Instant, plan: Swap) -> Result<u64, SwapRefusal> {
        match &self.phase {
            Phase::Over(cause) => return Err(SwapRefusal::Over(*cause)),
            Phase::Stopping(cause, _) | Phase::Vacant(Then::Over(cause)) if cause.is_final() => {
                return Err(SwapRefusal::Over(*cause));
            }
            _ => {}
        }
        if self.exchange.is_some() {
            return Err(SwapRefusal::Swapping);
        }
        self.swaps += 1;
        let number = self.swaps;
        self.timers.disarm(SupervisorTimer::Idle);
        self.exchange = Some(Exchange {
            number,
            plan,
            side: Side::Emptying,
            old: None,
            drained: true,
            taker: None,
        });
        self.version += 1;
        match plan.mode {
            SwapMode::Beside => self.begin_new(now),
            SwapMode::Exclusive => self.empty(now),
        }
        Ok(number)
    }

    /// The swap as it is shown.
    pub(super) fn swap_state(&self) -> Option<Box<SwapState>> {
        let exchange = self.exchange.as_ref()?;
        let (generation, process) = exchange
            .other()
            .unwrap_or_else(|| (self.generation, self.process()));
        let stage = exchange.stage().unwrap_or(match self.phase {
            Phase::Up(_) => SwapStage::Draining,
            _ => SwapStage::Stopping,
        });
        Some(Box::new(SwapState {
            stage,
            generation,
            id: process.and_then(|process| process.id.clone()),
            pid: process.and_then(|process| process.pid),
        }))
    }

    /// Sees to it that there is no present process, and has the new one come then.
    fn empty(&mut self, now: Instant) {
        match self.phase {
            Phase::Up(_) => {
                self.hold();
                self.set_drained(false);
                let generation = self.generation;
                self.push(SupervisorAction::Drain { generation });
                self.arm_drain(now);
                self.tell(Change::Draining, None);
            }
            Phase::Starting => {
                self.hold();
                self.stop(Cause::Swapped, Stop::Ask);
            }
            Phase::Stopping(cause, _) => {
                self.set_drained(cause == Cause::Idle);
                self.hold();
            }
            Phase::Queued => {
                let generation = self.generation;
                self.push(SupervisorAction::LeavePlace { generation });
                self.vacate(now, Then::Begin);
            }
            Phase::Pausing(until) => self.vacate(now, Then::Pause(until)),
            Phase::Resting => self.vacate(now, Then::Rest),
            Phase::CrashLoop => self.vacate(now, Then::CrashLoop),
            // Refused before.
            Phase::Vacant(_) | Phase::Over(_) => {}
        }
    }

    fn set_drained(&mut self, drained: bool) {
        if let Some(exchange) = &mut self.exchange {
            exchange.drained = drained;
        }
    }

    fn vacate(&mut self, now: Instant, then: Then) {
        // What fails since it was restarted too often does so until there is a process.
        if then != Then::CrashLoop {
            self.hold();
        }
        self.disarm_own();
        self.enter(Phase::Vacant(then));
        self.begin_new(now);
    }

    /// The present process has ended, which makes room for the new one.
    pub(super) fn emptied(&mut self, now: Instant, end: End, lasting: bool) {
        let cause = end.cause;
        let again = self.policy.restart != Restart::Never && !lasting;
        let then = match cause {
            Cause::Idle => Then::Rest,
            Cause::Swapped => Then::Begin,
            _ if again && (cause.is_failure() || self.policy.restart == Restart::Always) => {
                Then::Begin
            }
            _ => Then::Over(cause),
        };
        self.timers.disarm(SupervisorTimer::Drain);
        self.tell(Change::Ended(end.clone()), None);
        if let Some(exchange) = &mut self.exchange {
            exchange.old = Some(end);
        }
        self.vacate(now, then);
    }

    fn begin_new(&mut self, now: Instant) {
        self.newest += 1;
        let generation = self.newest;
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        exchange.side = Side::New(New {
            generation,
            step: Step::Queued,
        });
        let program = exchange.number;
        let limit = exchange.plan.start_within;
        self.timers.arm(SupervisorTimer::SwapStart, now, limit);
        self.version += 1;
        self.push(SupervisorAction::AskPlace {
            generation,
            program,
        });
    }

    pub(super) fn arm_drain(&mut self, now: Instant) {
        if let Some(exchange) = &self.exchange {
            let limit = exchange.plan.drain_within;
            self.timers.arm(SupervisorTimer::Drain, now, limit);
        }
    }

    /// It has no calls any more.
    pub(super) fn drained(&mut self) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let draining = match &exchange.side {
            Side::Emptying => matches!(self.phase, Phase::Up(_)),
            Side::New(_) => false,
            Side::Old(old) => old.stopping.is_none(),
        };
        if draining {
            exchange.drained = true;
            self.stop_old(Stop::Ask);
        }
    }

    pub(super) fn stop_old(&mut self, how: Stop) {
        self.timers.disarm(SupervisorTimer::Drain);
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        match &mut exchange.side {
            Side::Emptying => {
                if matches!(self.phase, Phase::Up(_)) {
                    self.stop(Cause::Swapped, how);
                }
            }
            Side::New(_) => {}
            Side::Old(old) => {
                let harder = how == Stop::Kill && !old.killed;
                if old.stopping.is_some() && !harder {
                    return;
                }
                old.killed = how == Stop::Kill;
                let first = old.stopping.is_none();
                old.stopping.get_or_insert(Cause::Swapped);
                let (generation, process) = (old.generation, old.process.clone());
                self.version += 1;
                self.push(SupervisorAction::Stop { generation, how });
                if first {
                    let change = Change::Stopping(Cause::Swapped);
                    self.tell_of(generation, process.as_ref(), change);
                }
            }
        }
    }

    /// The swap was made.
    pub(super) fn complete(&mut self, now: Instant, exchange: Exchange) {
        self.disarm_swap();
        self.exchange = None;
        self.version += 1;
        let Some(taker) = exchange.taker else {
            return;
        };
        let report = SwapReport {
            old: exchange.old,
            drained: exchange.drained,
            generation: taker.generation,
            id: taker.id,
            pid: taker.pid,
        };
        let change = Change::Swapped(Box::new(report.clone()));
        self.tell_of(report.generation, None, change);
        self.push(SupervisorAction::SwapOver {
            swap: exchange.number,
            outcome: Box::new(Ok(report)),
        });
        self.go_on_alone(now);
    }

    /// The swap has failed, and nothing of the new program runs.
    pub(super) fn abandon(&mut self, step: SwapStep, text: Arc<str>, new: Option<End>) {
        self.disarm_swap();
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        self.version += 1;
        let phase = match (step, &self.phase) {
            (SwapStep::Over(cause), _) => SupervisorPhase::Over(cause),
            (_, Phase::Vacant(then)) => then.phase(),
            _ => self.state().phase,
        };
        let failure = SwapFailure {
            step,
            text,
            new,
            phase,
        };
        let generation = failure
            .new
            .as_ref()
            .map_or(self.newest, |end| end.generation);
        let change = Change::SwapFailed(Box::new(failure.clone()));
        self.tell_of(generation, None, change);
        self.push(SupervisorAction::SwapOver {
            swap: exchange.number,
            outcome: Box::new(Err(failure)),
        });
    }

    /// There is no swap any more.
    pub(super) fn go_on_alone(&mut self, now: Instant) {
        match self.phase {
            Phase::Up(_) => self.wait_for_idle(now, Some(now)),
            Phase::Vacant(then) => match then {
                Then::Begin => self.begin(),
                Then::Rest => {
                    self.hold();
                    self.enter(Phase::Resting);
                }
                Then::Pause(until) => {
                    let pause = until.saturating_duration_since(now);
                    self.timers.arm(SupervisorTimer::Restart, now, pause);
                    self.hold_or_refuse();
                    self.enter(Phase::Pausing(until));
                }
                Then::CrashLoop => self.enter(Phase::CrashLoop),
                Then::Over(cause) => self.over(cause),
            },
            _ => {}
        }
    }

    /// The plugin is ended: so is what the swap has. What becomes of the present process is not decided here.
    pub(super) fn finish_swap(&mut self, cause: Cause, how: Stop) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let failed = SwapStep::Over(cause);
        let text: Arc<str> = "no call had moved".into();
        match &mut exchange.side {
            Side::Emptying => self.abandon(failed, text, None),
            Side::Old(_) => self.stop_old(how),
            Side::New(New {
                generation,
                step: Step::GoingBack { killed, .. },
            }) => {
                if how == Stop::Kill && !std::mem::replace(killed, true) {
                    let generation = *generation;
                    self.push(SupervisorAction::Stop { generation, how });
                }
            }
            Side::New(_) => self.go_back(failed, cause, text, how),
        }
    }

    pub(super) fn disarm_swap(&mut self) {
        for timer in [
            SupervisorTimer::SwapStart,
            SupervisorTimer::SwapCheck,
            SupervisorTimer::SwapProbe,
            SupervisorTimer::Drain,
        ] {
            self.timers.disarm(timer);
        }
    }
}
