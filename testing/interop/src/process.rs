//! Looking at and ending processes that are not our children.

use std::time::Duration;

/// How long to wait for something that another process does.
#[derive(Debug, Clone, Copy)]
pub struct Wait(pub Duration);

impl Default for Wait {
    /// Far more than needed on a loaded machine; reached only by a failure.
    fn default() -> Self {
        Self(Duration::from_secs(20))
    }
}

/// Whether the process runs. A process that has ended but was not reaped yet
/// counts as gone (told apart on Linux only).
///
/// # Panics
/// If `pid` is not a process id.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    rustix::process::test_kill_process(unix_pid(pid)) != Err(rustix::io::Errno::SRCH)
        && !is_zombie(pid)
}

/// Kills the process, whatever it does. Nothing happens if it is gone.
///
/// # Panics
/// If `pid` is not a process id.
pub fn kill(pid: u32) {
    // The only possible failure that matters, a process that stays, is seen by
    // whoever waits for its end.
    let _ = rustix::process::kill_process(unix_pid(pid), rustix::process::Signal::KILL);
}

/// Waits until the process is gone and says whether that came to pass.
#[must_use]
pub fn wait_until_gone(pid: u32, wait: Wait) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use rustix::process::{PidfdFlags, pidfd_open};
        let Ok(pidfd) = pidfd_open(unix_pid(pid), PidfdFlags::empty()) else {
            return !is_alive(pid);
        };
        let limit = Timespec::try_from(wait.0).expect("short");
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        poll(&mut ended, Some(&limit)) == Ok(1)
    }
    #[cfg(not(target_os = "linux"))]
    poll_until_gone(pid, wait)
}

/// A process that is not our child can only be asked about there.
#[cfg(not(target_os = "linux"))]
fn poll_until_gone(pid: u32, wait: Wait) -> bool {
    use std::time::Instant;

    let end = Instant::now() + wait.0;
    while is_alive(pid) {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn unix_pid(pid: u32) -> rustix::process::Pid {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a process id")
}

/// In `/proc/PID/stat` the state is the first word after the command's `)`.
fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(')')
                .map(|(_, rest)| rest.trim_start().starts_with('Z'))
        })
        .unwrap_or(false)
}
