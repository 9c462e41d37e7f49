//! How a plugin knows that its host is dead.

use std::os::fd::OwnedFd;

use super::stdio::can_hang_up;

/// What tells that the host is gone.
///
/// The host holds the other ends of stdout and stderr, under Go hosts too, so both being hung up
/// means that it is dead, whatever wrapper stands between. A host that merely closed our stdout
/// and goes on living is told apart by stderr, and, where the system can watch it, by the parent.
pub(super) struct Host {
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) parent: Option<OwnedFd>,
    /// Whether stdout can hang up at all: files and the null device cannot.
    stdout_tells: bool,
    pub(super) stderr_gone: bool,
    pub(super) parent_gone: bool,
    /// No wrapper stands between, so that the parent's death is the host's, even if a process that the
    /// host has forked still holds the other ends of our streams. (Linux.)
    parent_is_host: bool,
}

impl Host {
    pub(super) fn new(stdout: OwnedFd, stderr: OwnedFd) -> Self {
        let (stdout_tells, stderr_tells) = (can_hang_up(&stdout), can_hang_up(&stderr));
        let parent = parent();
        Self {
            stdout: stdout_tells.then_some(stdout),
            stderr: stderr_tells.then_some(stderr),
            parent_is_host: parent.is_some() && take_death_signal(),
            parent,
            stdout_tells,
            stderr_gone: false,
            parent_gone: false,
        }
    }

    pub(super) fn gone(&self) -> bool {
        if self.parent_is_host && self.parent_gone {
            true
        } else if self.stdout_tells {
            self.stdout.is_none() && (self.stderr_gone || self.parent_gone)
        } else {
            self.parent_gone
        }
    }
}

/// An event source for the death of the parent process.
fn parent() -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{PidfdFlags, getppid, pidfd_open};
        let parent = getppid()?;
        let fd = pidfd_open(parent, PidfdFlags::empty()).ok()?;
        // If it died in between, the number may belong to another process by now.
        (getppid() == Some(parent)).then_some(fd)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Whether the parent has asked the kernel to kill this process with it, as a host of ours does; who
/// is started by a wrapper in between has no such signal. The watching takes its place, which leaves
/// time to end in order.
fn take_death_signal() -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{
            Signal, parent_process_death_signal, set_parent_process_death_signal,
        };
        // Not before the parent is watched: it may die at any time.
        parent_process_death_signal() == Ok(Some(Signal::KILL))
            && set_parent_process_death_signal(None).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    false
}
