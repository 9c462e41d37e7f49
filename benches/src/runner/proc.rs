//! What Linux says about a process.

use std::fs;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Where processes may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    /// Host and plugin on one processor: what latency costs in work, without the wake-up of an idle
    /// processor.
    OneCore,
    /// Wherever the scheduler puts them.
    Free,
    /// Host and plugin on a processor each, once both run.
    Split,
}

impl Placement {
    /// As the report says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneCore => "one core",
            Self::Free => "free",
            Self::Split => "split",
        }
    }

    /// Does something with this thread so placed. Processes that are started meanwhile stay so.
    ///
    /// # Errors
    /// If the system refuses, or what is done fails.
    pub fn during<T>(self, action: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let before = sched_getaffinity(None)?;
        if self == Self::OneCore {
            let first = allowed(&before).next();
            let only = only(first.ok_or("this process may run nowhere")?);
            sched_setaffinity(None, &only)?;
        }
        let outcome = action();
        sched_setaffinity(None, &before)?;
        outcome
    }

    /// Puts host and plugin where they belong, now that both run.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn settle(self, pids: [u32; 2]) -> Result<(), Failure> {
        if self != Self::Split {
            return Ok(());
        }
        let mine = sched_getaffinity(None)?;
        for (process, cpu) in pids.into_iter().zip(allowed(&mine)) {
            for task in fs::read_dir(format!("/proc/{process}/task"))? {
                let thread: u32 = task?.file_name().to_string_lossy().parse()?;
                sched_setaffinity(Some(pid(thread)?), &only(cpu))?;
            }
        }
        Ok(())
    }

    /// Whether there are processors enough.
    ///
    /// # Errors
    /// If the system does not say.
    pub(crate) fn is_possible(self) -> Result<bool, Failure> {
        Ok(self != Self::Split || allowed(&sched_getaffinity(None)?).count() > 1)
    }
}

fn allowed(set: &CpuSet) -> impl Iterator<Item = usize> + '_ {
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu))
}

fn only(cpu: usize) -> CpuSet {
    let mut only = CpuSet::new();
    only.set(cpu);
    only
}

/// A line of `/proc/PID/status` with a size, such as `VmRSS`, in KiB.
///
/// # Errors
/// If the process is gone or there is no such line.
pub fn status_kib(pid: u32, name: &str) -> Result<u64, Failure> {
    status_number(&fs::read_to_string(format!("/proc/{pid}/status"))?, name)
}

/// Lets the process's largest resident set, `VmHWM`, begin anew.
///
/// # Errors
/// If the process is gone or the system refuses.
pub fn forget_peak(pid: u32) -> Result<(), Failure> {
    // proc(5): 5 resets the peak resident set.
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// What the threads of a process have cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Times a thread gave up its processor or was taken off it.
    pub switches: u64,
    /// Time on a processor, in nanoseconds.
    pub cpu_ns: u64,
}

impl Usage {
    /// The usage of a process so far, without threads that have ended.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn of(pid: u32) -> Result<Self, Failure> {
        let mut usage = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread may end between two looks.
            let Ok(status) = fs::read_to_string(task.join("status")) else {
                continue;
            };
            usage.switches += status_number(&status, "voluntary_ctxt_switches")?;
            usage.switches += status_number(&status, "nonvoluntary_ctxt_switches")?;
            let times = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            let on_cpu = times.split_whitespace().next();
            usage.cpu_ns += on_cpu.and_then(|ns| ns.parse().ok()).unwrap_or(0);
        }
        Ok(usage)
    }

    /// What came on top since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            switches: self.switches.saturating_sub(earlier.switches),
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
        }
    }
}

/// A process id as rustix has it.
pub(crate) fn pid(number: u32) -> Result<Pid, Failure> {
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| format!("{number} is no process id").into())
}

fn status_number(status: &str, name: &str) -> Result<u64, Failure> {
    let found = status.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        value.split_whitespace().next()?.parse().ok()
    });
    found.ok_or_else(|| format!("no {name} in the status of a process").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_its_processor() {
        let me = std::process::id();
        assert!(status_kib(me, "VmRSS").expect("this process") > 100);
        let before = Usage::of(me).expect("this process");
        let until = before.cpu_ns + 1_000_000;
        while Usage::of(me).expect("this process").cpu_ns < until {}
        assert!(status_kib(me, "VmNothing").is_err());
    }

    #[test]
    fn a_placement_lasts_as_long_as_its_action() {
        let before = sched_getaffinity(None).expect("a set");
        let inside = Placement::OneCore.during(|| Ok(sched_getaffinity(None)?.count()));
        assert_eq!(inside.expect("one"), 1);
        assert_eq!(sched_getaffinity(None).expect("a set"), before);
    }
}
