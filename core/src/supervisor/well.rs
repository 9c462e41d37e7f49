//! Whether a process that is up is well, and whether anybody needs it.

use std::time::{Duration, Instant};

use super::phase::Cause;
use super::types::{Change, Stop, SupervisorAction, SupervisorTimer};
use super::{Phase, Supervisor};

/// The shortest interval of a timer that arms itself: a driver that does what it is told must not spin.
const SHORTEST: Duration = Duration::from_millis(1);

/// How often it is looked at least whether a call that was in flight still is, where the time without calls is
/// shorter than that. (A choice.)
const LOOK: Duration = Duration::from_millis(100);

impl Supervisor {
    /// There was a call at `since`, or there is one now.
    pub(super) fn wait_for_idle(&mut self, now: Instant, since: Option<Instant>) {
        // A process that is about to be another's is not stopped for want of calls.
        if self.exchange.is_some() {
            return;
        }
        let Some(idle) = self.policy.idle.filter(|idle| *idle < Duration::MAX) else {
            return;
        };
        let left = match since {
            None => idle.max(LOOK),
            Some(since) => idle.saturating_sub(now.saturating_duration_since(since)),
        };
        let left = left.max(SHORTEST);
        self.timers.arm(SupervisorTimer::Idle, now, left);
    }

    pub(super) fn rest(&mut self, now: Instant) {
        let idle = self.policy.idle.unwrap_or(Duration::MAX);
        let generation = self.generation;
        // The clock has come this far since the process was up.
        let unused_since = now.checked_sub(idle).unwrap_or(now);
        self.push(SupervisorAction::Rest {
            generation,
            unused_since,
        });
    }

    pub(super) fn probe(&mut self, now: Instant) {
        let (Phase::Up(process), Some(check)) = (&mut self.phase, self.policy.health) else {
            return;
        };
        process.probes += 1;
        let (generation, probe) = (self.generation, process.probes);
        process.asked = Some(probe);
        self.push(SupervisorAction::Probe { generation, probe });
        let pause = check.every.max(SHORTEST);
        self.timers.arm(SupervisorTimer::Probe, now, pause);
        let limit = check.within.max(SHORTEST).min(pause);
        self.timers.arm(SupervisorTimer::Answer, now, limit);
    }

    /// Whether this ping had no answer yet; now it has.
    pub(super) fn answer(&mut self, probe: u64) -> bool {
        match &mut self.phase {
            Phase::Up(process) => {
                let answered = process.asked.take_if(|asked| *asked == probe).is_some();
                if answered {
                    process.silent = 0;
                }
                answered
            }
            _ => false,
        }
    }

    /// The ping has no answer in time: it is too late for one.
    pub(super) fn unanswered(&mut self) {
        if let Phase::Up(process) = &mut self.phase {
            process.asked = None;
            process.silent = process.silent.saturating_add(1);
        }
        self.on_health(false, Stop::Kill);
    }

    /// What is known of how the process is; `how` it is ended if that is too much.
    pub(super) fn on_health(&mut self, serving: bool, how: Stop) {
        let (Phase::Up(process), Some(check)) = (&mut self.phase, self.policy.health) else {
            return;
        };
        if serving {
            // One that says by itself that it is well and answers no ping is not.
            process.missed = process.silent;
            return;
        }
        process.missed = process.missed.saturating_add(1);
        let missed = process.missed;
        self.tell(Change::Missed(missed), None);
        if missed >= check.misses.max(1) {
            self.hold_or_refuse();
            self.stop(Cause::Unhealthy, how);
        }
    }
}
