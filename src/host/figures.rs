//! What a host tells of its plugin and the calls to it.

use std::time::Instant;

use super::{Host, RunningPlugin};
use crate::figures::{Figures, StartTimes};

impl Host {
    /// Whether calls of the plugin's clients are counted, by method and with how long they took, for
    /// [`RunningPlugin::figures`]. They are not unless this is called, and cost nothing for it then.
    pub fn figures(mut self, count: bool) -> Self {
        self.settings.figures = count;
        self
    }

    /// Whether calls are to be counted.
    pub(crate) fn has_figures(&self) -> bool {
        self.settings.figures
    }
}

impl RunningPlugin {
    /// What is going on with the plugin: how its start went, what waits, its memory, and its calls if the host
    /// [counts](Host::figures) them. Taking it looks into the process's entry in `/proc` (Linux).
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (shared, ..) = self.parts();
        Figures {
            restarts: 0,
            start: self.start_times(),
            calls: self.tally().map(|tally| tally.figures()),
            calls_waiting: self.link().waiting(),
            output_waiting: shared.printed.waiting(),
            resident_bytes: self.pid().and_then(|pid| resident(pid, self.began())),
        }
    }
}

/// The memory of a process that began then, if there still is that one.
#[cfg(target_os = "linux")]
fn resident(pid: u32, began: Option<&str>) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // Afterwards: what was read is that of the process which is there now, or was before it.
    if outboard_unix::started(pid).as_deref() != began {
        return None;
    }
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(not(target_os = "linux"))]
fn resident(_pid: u32, _began: Option<&str>) -> Option<u64> {
    None
}

/// When the process with this number began.
pub(super) fn began(pid: Option<u32>) -> Option<String> {
    #[cfg(unix)]
    return pid.and_then(outboard_unix::started);
    #[cfg(not(unix))]
    {
        let _not_told = pid;
        None
    }
}

/// Notes when the phases of a start are over.
#[derive(Default)]
pub(super) struct StartClock {
    launch: Option<Instant>,
    launched: Option<Instant>,
    understood: Option<Instant>,
}

impl StartClock {
    /// It is launched now.
    pub(super) fn launch(&mut self, now: Instant) {
        self.launch = Some(now);
    }

    /// The process is there.
    pub(super) fn launched(&mut self, now: Instant) {
        self.launched = Some(now);
    }

    /// It is connected to now.
    pub(super) fn connect(&mut self, now: Instant) {
        // Later connections are no part of the start.
        self.understood.get_or_insert(now);
    }

    /// What it was, of one that can be called now.
    pub(super) fn times(&self, now: Instant) -> StartTimes {
        let between =
            |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        StartTimes {
            launch: between(self.launch, self.launched),
            handshake: between(self.launched, self.understood),
            connect: between(self.understood, Some(now)),
        }
    }
}
