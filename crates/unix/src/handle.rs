//! A child process by its pidfd, which stands for that process and never for another one that got
//! its number later. Where there is none, by number.

use std::io::{Error, Result};

use outboard_core::exit::Exit;
#[cfg(target_os = "linux")]
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, waitid};

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) pid: Pid,
    /// Not on Linux before 5.4, in a sandbox that filters the call, or without descriptors left.
    #[cfg(target_os = "linux")]
    pub(crate) pidfd: Option<OwnedFd>,
}

/// What waiting without waiting found.
pub(crate) enum Ended {
    No,
    /// Reaped.
    Yes(Exit),
    /// Someone else reaped it, or SIGCHLD is ignored: with what status nobody can tell.
    Gone,
}

impl Handle {
    /// Of a child that was just made. The number is nobody else's as long as nobody else reaps it.
    pub(crate) fn new(pid: Pid) -> Self {
        Self {
            pid,
            #[cfg(target_os = "linux")]
            pidfd: pidfd(pid),
        }
    }

    fn wait_id(&self) -> WaitId<'_> {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            return WaitId::PidFd(std::os::fd::AsFd::as_fd(pidfd));
        }
        WaitId::Pid(self.pid)
    }

    /// Sends SIGKILL. No error if it has ended.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends SIGTERM. No error if it has ended.
    pub(crate) fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            return ended_is_fine(rustix::process::pidfd_send_signal(pidfd, signal));
        }
        // Only while it is ours: afterwards the number may be a stranger's.
        if !self.is_there() {
            return Ok(());
        }
        ended_is_fine(kill_process(self.pid, signal))
    }

    /// Whether its number is its own still: nobody has reaped it.
    pub(crate) fn is_there(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(self.wait_id(), options), Err(Errno::CHILD))
    }

    /// Whether it has ended and waits to be reaped.
    pub(crate) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(self.wait_id(), options), Ok(Some(_)))
    }

    pub(crate) fn try_reap(&self) -> Result<Ended> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(self.wait_id(), options) {
            Ok(None) => Ok(Ended::No),
            Ok(Some(status)) => Ok(Ended::Yes(exit(&status))),
            Err(Errno::CHILD) => Ok(Ended::Gone),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks until it has ended; `keep` leaves its status to be reaped. Errors mean that there is
    /// nothing to wait for any more.
    pub(crate) fn wait(&self, keep: bool) {
        let mut options = WaitIdOptions::EXITED;
        if keep {
            options |= WaitIdOptions::NOWAIT;
        }
        while matches!(waitid(self.wait_id(), options), Err(Errno::INTR)) {}
    }

    /// The same process, for another owner.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            pid: self.pid,
            #[cfg(target_os = "linux")]
            pidfd: self.pidfd.as_ref().map(OwnedFd::try_clone).transpose()?,
        })
    }
}

#[cfg(target_os = "linux")]
fn pidfd(pid: Pid) -> Option<OwnedFd> {
    use std::os::fd::AsFd as _;

    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    // Waiting by pidfd came a version later than opening one. Of a stranger that got the number in
    // between it would be refused, too.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd.as_fd()), options).ok()?;
    Some(pidfd)
}

pub(crate) fn ended_is_fine(result: rustix::io::Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(Error::from(error)),
    }
}

fn exit(status: &WaitIdStatus) -> Exit {
    if let Some(code) = status.exit_status() {
        return Exit::Code(code);
    }
    match status.terminating_signal() {
        Some(signal) => Exit::Signal {
            signal,
            core_dumped: status.dumped(),
        },
        None => Exit::Unknown,
    }
}
