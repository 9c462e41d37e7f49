//! What a case has left behind.

use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};

/// How long a process that was killed may take to be gone.
const DYING: Duration = Duration::from_secs(5);

/// Whether the process is gone, within a time no healthy one needs.
pub fn gone(pid: u32) -> bool {
    gone_within(pid, DYING)
}

/// Waits until the process is gone.
pub fn gone_within(pid: u32, limit: Duration) -> bool {
    let Some(pid) = pid_of(pid) else { return true };
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let limit = Timespec::try_from(limit).expect("short");
    poll(&mut fds, Some(&limit)).expect("poll works") == 1
}

/// Whether there is such a process, zombies included.
pub fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub fn kill(pid: u32) {
    if let Some(pid) = pid_of(pid) {
        // It may be gone by now.
        let _gone = kill_process(pid, Signal::KILL);
    }
}

/// Stops a child until somebody kills it, and waits until all its threads have stopped.
pub fn stop(pid: u32) {
    let pid = pid_of(pid).expect("a pid");
    kill_process(pid, Signal::STOP).expect("it runs");
    // Left to be waited for, so that whoever reaps the child is not disturbed.
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    let stopped = waitid(WaitId::Pid(pid), options).expect("our child");
    assert!(stopped.is_some_and(|status| status.stopped()));
}

/// Stops a child until it is killed or resumes. It may be gone by now.
pub fn halt(pid: u32) {
    let _gone = pid_of(pid).map(|pid| kill_process(pid, Signal::STOP));
}

/// Has a child go on. It may be gone by now.
pub fn resume(pid: u32) {
    let _gone = pid_of(pid).map(|pid| kill_process(pid, Signal::CONT));
}

/// Stops a process that is not this one's child, until somebody kills it, and waits until all its threads
/// have stopped.
pub fn freeze(pid: u32) {
    kill_process(pid_of(pid).expect("a pid"), Signal::STOP).expect("it runs");
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        state == Some(b'T')
    };
    while !stopped() {
        std::thread::yield_now();
    }
}

/// Waits until the process has nothing to do: all its threads sleep, look after look.
pub fn until_idle(pid: u32) {
    let mut looks = 0;
    while looks < 50 {
        let mut idle = true;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs") {
            let stat = thread.expect("readable").path().join("stat");
            // A thread that has ended meanwhile has nothing to do either.
            let stat = std::fs::read_to_string(stat).unwrap_or_default();
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
            idle &= state.is_none_or(|state| state == b'S');
        }
        looks = if idle { looks + 1 } else { 0 };
        std::thread::yield_now();
    }
}

fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// The processes whose environment names this directory.
pub fn processes_of(dir: &Path) -> Vec<u32> {
    let wanted = format!("TMPDIR={}\0", dir.display());
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&wanted)
        })
        .collect()
}

/// What is in the directory.
pub fn files_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("the directory is there");
    entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}
