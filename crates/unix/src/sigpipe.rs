//! Writing to whom may be gone, in a program that has SIGPIPE at its default: an error, not its end.
#![allow(unsafe_code)]

use std::io::{IoSlice, Result};
use std::os::fd::AsFd;

/// The most slices that the system takes at once.
const SLICES: usize = 1024;

/// Sends on a connected stream socket without a SIGPIPE.
///
/// # Errors
/// The system's error, unchanged; `EPIPE` where there would have been a signal.
pub fn send(socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
    send_vectored(socket, &[IoSlice::new(bytes)])
}

/// Sends the slices, or the first 1,024 of them, in one call; see [`send`].
///
/// # Errors
/// As for [`send`].
pub fn send_vectored(socket: impl AsFd, slices: &[IoSlice<'_>]) -> Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

    let slices = &slices[..slices.len().min(SLICES)];
    let send = |flags| {
        let count = sendmsg(&socket, slices, &mut SendAncillaryBuffer::default(), flags)?;
        Ok(count)
    };
    #[cfg(not(target_vendor = "apple"))]
    return send(SendFlags::NOSIGNAL);
    #[cfg(target_vendor = "apple")]
    without_sigpipe(|| send(SendFlags::empty()), is_broken)
}

/// Whether a write has failed as one that is answered with SIGPIPE.
pub fn is_broken<T>(written: &Result<T>) -> bool {
    written
        .as_ref()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Calls `write`, which writes to a pipe on this thread, and keeps the SIGPIPE from the program that
/// comes of it if the outcome `is_broken`. A signal that was pending before stays.
pub fn without_sigpipe<T>(write: impl FnOnce() -> T, is_broken: impl FnOnce(&T) -> bool) -> T {
    if is_ignored() {
        // As in nearly all programs: this look is one system call, blocking and giving back are two.
        return write();
    }
    // Given back also when `write` panics.
    let blocked = Blocked::new();
    let written = write();
    if is_broken(&written) {
        blocked.consume();
    }
    written
}

/// The thread's mask from before.
struct Blocked {
    before: libc::sigset_t,
    pending: bool,
}

impl Blocked {
    fn new() -> Self {
        // SAFETY: changes the mask of this thread alone; all pointers are to this stack frame.
        let (before, was_blocked) = unsafe {
            let mut before = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, &sigpipe(), &mut before);
            (before, libc::sigismember(&before, libc::SIGPIPE) == 1)
        };
        Self {
            before,
            // One that is not blocked is not pending either.
            pending: was_blocked && is_pending(),
        }
    }

    /// The signal of a write is pending for the thread that wrote as soon as the write returns, unless
    /// it is ignored.
    fn consume(&self) {
        if !self.pending && is_pending() {
            // SAFETY: it is blocked and pending, so this returns at once with it.
            unsafe { libc::sigwait(&sigpipe(), &mut 0) };
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: as in `new`, with the mask that was in force.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

fn sigpipe() -> libc::sigset_t {
    // SAFETY: writes to this stack frame; zeroes are a valid set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGPIPE);
        set
    }
}

/// Whether the process ignores the signal. Asked anew each time, as programs change it.
fn is_ignored() -> bool {
    // SAFETY: changes nothing, and writes to this stack frame; zeroes are a valid action.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

fn is_pending() -> bool {
    // SAFETY: writes to this stack frame; zeroes are a valid set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigpending(&mut set) == 0 && libc::sigismember(&set, libc::SIGPIPE) == 1
    }
}
