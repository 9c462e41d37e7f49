//! How processes are ended, and what follows when they have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use super::phase::{Cause, End};
use super::policy::{Restart, Waiting};
use super::types::{Change, Refusal, Stop, SupervisorAction, SupervisorTimer};
use super::{Phase, Process, Supervisor, Then};

impl Supervisor {
    /// Ends the present process.
    pub(super) fn stop(&mut self, cause: Cause, how: Stop) {
        self.disarm_own();
        let generation = self.generation;
        let process = match std::mem::replace(&mut self.phase, Phase::Resting) {
            Phase::Up(process) => Some(process),
            Phase::Stopping(_, process) => process,
            _ => None,
        };
        self.enter(Phase::Stopping(cause, process));
        self.push(SupervisorAction::Stop { generation, how });
        self.tell(Change::Stopping(cause), None);
    }

    /// What calls are told while the plugin is to be started again after it failed.
    pub(super) fn hold_or_refuse(&mut self) {
        match self.policy.waiting {
            Waiting::UpTo(_) => self.hold(),
            Waiting::Fail => self.refuse(Refusal::Restarting),
        }
    }

    pub(super) fn finish(&mut self, cause: Cause, how: Stop) {
        self.finish_swap(cause, how);
        let generation = self.generation;
        match &self.phase {
            Phase::Over(_) => {}
            Phase::Resting | Phase::Pausing(_) | Phase::CrashLoop => self.over(cause),
            Phase::Queued => {
                self.push(SupervisorAction::LeavePlace { generation });
                self.over(cause);
            }
            Phase::Vacant(Then::Over(before)) if before.is_final() => {
                if how == Stop::Kill {
                    self.over(cause);
                }
            }
            Phase::Vacant(_) => self.over(cause),
            Phase::Starting | Phase::Up(_) => {
                self.refuse(Refusal::Over(cause));
                self.stop(cause, how);
            }
            Phase::Stopping(before, _) => {
                let harder = how == Stop::Kill && *before != Cause::Dropped;
                if before.is_final() && !harder {
                    return;
                }
                self.refuse(Refusal::Over(cause));
                if harder {
                    self.stop(cause, how);
                } else {
                    self.adopt(cause);
                }
            }
        }
    }

    /// The process that is being ended is so for this reason from now on.
    pub(super) fn adopt(&mut self, cause: Cause) {
        if let Phase::Stopping(before, _) = &mut self.phase {
            *before = cause;
            self.version += 1;
        }
    }

    pub(super) fn on_ended(&mut self, now: Instant, cause: Cause, text: Arc<str>, lasting: bool) {
        let (asked, process) = match std::mem::replace(&mut self.phase, Phase::Resting) {
            Phase::Starting => {
                let generation = self.generation;
                self.push(SupervisorAction::LeavePlace { generation });
                (None, None)
            }
            Phase::Up(process) => (None, Some(process)),
            Phase::Stopping(cause, process) => {
                if process.is_none() {
                    let generation = self.generation;
                    self.push(SupervisorAction::LeavePlace { generation });
                }
                (Some(cause), process)
            }
            // It is live in no other phase.
            phase => {
                self.phase = phase;
                return;
            }
        };
        self.disarm_own();
        let cause = asked.unwrap_or(cause);
        let end = End::of(now, self.generation, process, cause, text);
        if cause.is_failure() {
            self.keep(end.clone());
        }
        if cause.is_final() {
            self.finish_swap(cause, Stop::Ask);
        }
        if self.exchange.as_ref().is_some_and(Exchange::is_emptying) {
            self.emptied(now, end, lasting);
        } else {
            self.go_on(now, end, lasting);
        }
    }

    /// What follows from an end.
    pub(super) fn go_on(&mut self, now: Instant, end: End, lasting: bool) {
        let cause = end.cause;
        self.pauses.lived(end.lived);
        let again = match self.policy.restart {
            Restart::Never => false,
            Restart::AfterCrash => cause.is_failure(),
            Restart::Always => true,
        };
        if cause == Cause::Idle {
            self.tell(Change::Ended(end), None);
            self.hold();
            return self.enter(Phase::Resting);
        }
        if cause.is_final() || lasting || !again {
            self.tell(Change::Ended(end), None);
            return self.over(cause);
        }
        if !self.spent.spend(now) {
            self.tell(Change::Ended(end), None);
            self.refuse(Refusal::CrashLoop);
            self.enter(Phase::CrashLoop);
            return self.tell(Change::CrashLoop(self.policy.budget.restarts), None);
        }
        self.restarts += 1;
        let pause = self.pauses.next();
        // A pause past the end of the clock is none.
        let until = now.checked_add(pause).unwrap_or(now);
        self.timers.arm(SupervisorTimer::Restart, now, until - now);
        self.hold_or_refuse();
        self.enter(Phase::Pausing(until));
        self.tell(Change::Ended(end), Some(until));
    }

    /// Nothing is started any more, but for a new program that may take over, and once nothing runs.
    pub(super) fn over(&mut self, cause: Cause) {
        self.disarm_own();
        let Some(exchange) = &self.exchange else {
            self.refuse(Refusal::Over(cause));
            self.enter(Phase::Over(cause));
            return self.tell(Change::Over(cause), None);
        };
        if exchange.is_promising() {
            self.hold_or_refuse();
        } else {
            self.refuse(Refusal::Over(cause));
        }
        self.enter(Phase::Vacant(Then::Over(cause)));
    }

    pub(super) fn keep(&mut self, end: End) {
        self.failures.push_back(end);
        while self.failures.len() > self.policy.kept {
            self.failures.pop_front();
        }
        self.version += 1;
    }
}

impl End {
    /// The end of this process, or of a start where there was none yet.
    pub(super) fn of(
        now: Instant,
        generation: u64,
        process: Option<Process>,
        cause: Cause,
        text: Arc<str>,
    ) -> Self {
        let since = process.as_ref().map(|process| process.since);
        let (id, pid) = process.map_or((None, None), |process| (process.id, process.pid));
        Self {
            generation,
            id,
            pid,
            cause,
            text,
            at: now,
            lived: since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
        }
    }
}
