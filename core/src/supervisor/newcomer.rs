//! The process of a new program, to which calls move once it is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exchange::{Exchange, New, Old, Side, Step, Taker};
use super::phase::{Cause, End};
use super::swap::{Spoken, SwapStep, misfit};
use super::types::{Change, Stop, SupervisorAction, SupervisorInput, SupervisorTimer};
use super::{Phase, Process, Supervisor};

/// From one ping of a new process to the next. (A choice.)
const PING_EVERY: Duration = Duration::from_millis(50);

impl Supervisor {
    /// Whether this is of the other process, and what follows if it is.
    pub(super) fn handle_other(&mut self, now: Instant, input: &SupervisorInput) -> bool {
        let Some((generation, _)) = self.exchange.as_ref().and_then(Exchange::other) else {
            return false;
        };
        if input.generation() != Some(generation) {
            return false;
        }
        match input {
            SupervisorInput::Placed { .. } => self.new_placed(),
            SupervisorInput::Started {
                id, pid, spoken, ..
            } => self.new_started(now, id.clone(), *pid, *spoken),
            SupervisorInput::StartFailed { text, .. } => {
                self.other_ended(now, Cause::NotStarted, text.clone());
            }
            SupervisorInput::Exited { cause, text, .. } => {
                self.other_ended(now, *cause, text.clone());
            }
            SupervisorInput::Probed { probe, serving, .. } => {
                self.new_probed(now, *probe, *serving);
            }
            SupervisorInput::Drained { .. } => self.drained(),
            _ => {}
        }
        true
    }

    fn new_one(&mut self) -> Option<&mut New> {
        match self.exchange.as_mut()?.side {
            Side::New(ref mut new) => Some(new),
            Side::Emptying | Side::Old(_) => None,
        }
    }

    fn new_placed(&mut self) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let program = exchange.number;
        if let Side::New(new) = &mut exchange.side
            && matches!(new.step, Step::Queued)
        {
            new.step = Step::Starting;
            let generation = new.generation;
            self.version += 1;
            self.push(SupervisorAction::Start {
                generation,
                program,
            });
            self.tell_of(generation, None, Change::Starting);
        }
    }

    fn new_started(&mut self, now: Instant, id: Option<String>, pid: Option<u32>, spoken: Spoken) {
        let last = self.spoken;
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let plan = exchange.plan;
        let Side::New(new) = &mut exchange.side else {
            return;
        };
        if !matches!(new.step, Step::Starting) {
            return;
        }
        let process = Process::new(now, id, pid);
        let generation = new.generation;
        new.step = Step::Checking(process.clone(), spoken);
        self.version += 1;
        self.push(SupervisorAction::LeavePlace { generation });
        self.timers.disarm(SupervisorTimer::SwapStart);
        self.tell_of(generation, Some(&process), Change::Checking);
        if let Some(step) = misfit(plan.version, last, spoken) {
            let text = "it was started and ended again".into();
            return self.fail(now, step, Cause::Unfit, text, Stop::Ask);
        }
        self.timers
            .arm(SupervisorTimer::SwapCheck, now, plan.check_within);
        self.probe_new();
    }

    fn probe_new(&mut self) {
        if let Some(New {
            generation,
            step: Step::Checking(process, _),
        }) = self.new_one()
        {
            process.probes += 1;
            let (generation, probe) = (*generation, process.probes);
            process.asked = Some(probe);
            self.push(SupervisorAction::Probe { generation, probe });
        }
    }

    fn new_probed(&mut self, now: Instant, probe: u64, serving: bool) {
        let Some(New {
            step: Step::Checking(process, _),
            ..
        }) = self.new_one()
        else {
            return;
        };
        if process.asked.take_if(|asked| *asked == probe).is_none() {
            return;
        }
        if serving {
            self.take_over(now);
        } else {
            self.timers.arm(SupervisorTimer::SwapProbe, now, PING_EVERY);
        }
    }

    /// A timer of the swap has expired.
    pub(super) fn swap_timeout(&mut self, now: Instant, timer: SupervisorTimer) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        let plan = exchange.plan;
        match timer {
            SupervisorTimer::SwapStart => {
                let limit = plan.start_within;
                let text = format!("it was not up within {limit:?} (Swap::start_within)");
                let text = text.into();
                self.fail(now, SwapStep::Start, Cause::NotStarted, text, Stop::Ask);
            }
            SupervisorTimer::SwapCheck => {
                let limit = plan.check_within;
                let text = format!(
                    "its health service did not answer within {limit:?} that it does \
                     (Swap::check_within)"
                );
                let text = text.into();
                self.fail(now, SwapStep::Check, Cause::Unhealthy, text, Stop::Kill);
            }
            SupervisorTimer::SwapProbe => self.probe_new(),
            SupervisorTimer::Drain => self.stop_old(Stop::Ask),
            _ => {}
        }
    }

    /// Calls go to the new process from now on.
    fn take_over(&mut self, now: Instant) {
        self.disarm_swap();
        let Some(mut exchange) = self.exchange.take() else {
            return;
        };
        let side = std::mem::replace(&mut exchange.side, Side::Emptying);
        let Side::New(New {
            generation,
            step: Step::Checking(process, spoken),
        }) = side
        else {
            exchange.side = side;
            self.exchange = Some(exchange);
            return;
        };
        exchange.taker = Some(Taker {
            generation,
            id: process.id.clone(),
            pid: process.pid,
        });
        self.disarm_own();
        let old = std::mem::replace(&mut self.generation, generation);
        self.program = exchange.number;
        self.spent.start_over();
        self.pauses.start_over();
        let phase = std::mem::replace(&mut self.phase, Phase::Resting);
        self.admit(now, process, spoken);
        // Only now: calls that the old one has not begun with find the new one.
        let (process, stopping) = match phase {
            Phase::Up(process) => {
                self.push(SupervisorAction::Drain { generation: old });
                exchange.drained = false;
                self.tell_of(old, Some(&process), Change::Draining);
                (Some(process), None)
            }
            Phase::Starting => {
                let how = Stop::Ask;
                self.push(SupervisorAction::Stop {
                    generation: old,
                    how,
                });
                self.tell_of(old, None, Change::Stopping(Cause::Swapped));
                (None, Some(Cause::Swapped))
            }
            Phase::Stopping(cause, process) => {
                exchange.drained = cause == Cause::Idle;
                (process, Some(cause))
            }
            Phase::Queued => {
                self.push(SupervisorAction::LeavePlace { generation: old });
                return self.complete(now, exchange);
            }
            Phase::Resting
            | Phase::Pausing(_)
            | Phase::CrashLoop
            | Phase::Vacant(_)
            | Phase::Over(_) => return self.complete(now, exchange),
        };
        exchange.side = Side::Old(Old {
            generation: old,
            process,
            stopping,
            killed: false,
        });
        self.exchange = Some(exchange);
        if stopping.is_none() {
            self.arm_drain(now);
        }
    }

    /// The new one has failed, and what follows from that.
    fn fail(&mut self, now: Instant, failed: SwapStep, cause: Cause, text: Arc<str>, how: Stop) {
        self.go_back(failed, cause, text, how);
        if self.exchange.is_none() {
            self.go_on_alone(now);
        }
    }

    /// Ends the new one, after which the swap is over.
    pub(super) fn go_back(&mut self, failed: SwapStep, cause: Cause, text: Arc<str>, how: Stop) {
        self.disarm_swap();
        let Some(new) = self.new_one() else {
            return;
        };
        let generation = new.generation;
        let process = match &new.step {
            Step::Queued => {
                self.push(SupervisorAction::LeavePlace { generation });
                return self.abandon(failed, text, None);
            }
            Step::Starting => None,
            Step::Checking(process, _) => Some(process.clone()),
            Step::GoingBack { .. } => return,
        };
        new.step = Step::GoingBack {
            process: process.clone(),
            failed,
            cause,
            text,
            killed: how == Stop::Kill,
        };
        self.version += 1;
        self.push(SupervisorAction::Stop { generation, how });
        self.tell_of(generation, process.as_ref(), Change::Stopping(cause));
    }

    /// The process that is not the present one has ended.
    fn other_ended(&mut self, now: Instant, cause: Cause, text: Arc<str>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        match std::mem::replace(&mut exchange.side, Side::Emptying) {
            Side::Emptying => {}
            Side::New(New {
                generation,
                step: Step::Queued,
            }) => {
                // It is not live yet.
                exchange.side = Side::New(New {
                    generation,
                    step: Step::Queued,
                });
            }
            Side::New(New { generation, step }) => {
                let (process, failed, cause, why) = match step {
                    Step::Queued | Step::Starting => (None, SwapStep::Start, cause, text.clone()),
                    Step::Checking(process, _) => {
                        (Some(process), SwapStep::Check, cause, text.clone())
                    }
                    Step::GoingBack {
                        process,
                        failed,
                        cause,
                        text,
                        ..
                    } => (process, failed, cause, text),
                };
                if process.is_none() {
                    self.push(SupervisorAction::LeavePlace { generation });
                }
                let end = End::of(now, generation, process, cause, text);
                self.tell_of(generation, None, Change::Ended(end.clone()));
                self.abandon(failed, why, Some(end));
                self.go_on_alone(now);
            }
            Side::Old(old) => {
                let generation = old.generation;
                if old.process.is_none() {
                    self.push(SupervisorAction::LeavePlace { generation });
                }
                let cause = old.stopping.unwrap_or(cause);
                let end = End::of(now, generation, old.process, cause, text);
                if cause.is_failure() {
                    self.keep(end.clone());
                }
                self.tell_of(generation, None, Change::Ended(end.clone()));
                if let Some(mut exchange) = self.exchange.take() {
                    exchange.old = Some(end);
                    self.complete(now, exchange);
                }
            }
        }
    }
}
