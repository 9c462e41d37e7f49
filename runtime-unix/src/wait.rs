//! Noticing the end of a child without reaping it.

use std::io;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use outboard_core::rt::{BoxFuture, Runtime};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

/// Resolves when the child has ended and can be reaped. Made before anyone can have reaped it.
pub(crate) fn ended(
    runtime: &dyn Runtime,
    pid: Pid,
) -> io::Result<BoxFuture<'static, io::Result<()>>> {
    #[cfg(target_os = "linux")]
    if let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        return runtime.watch(pidfd);
    }
    // Linux before 5.3, a sandbox that filters the call, no descriptors left, or no Linux.
    let _ = runtime;
    ended_by_thread(pid)
}

/// The same by a thread that waits. It does not hold up the end of the program.
pub(crate) fn ended_by_thread(pid: Pid) -> io::Result<BoxFuture<'static, io::Result<()>>> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("outboard-wait".to_owned())
        .spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
            // An error other than EINTR means that there is nothing to wait for any more; the
            // child's owner finds out by reaping. If nobody listens, it has done so already.
            let _ = sender.send(());
        })?;
    Ok(Box::pin(async {
        receiver
            .await
            .map_err(|_| io::Error::other("the thread that waits for a child has died"))
    }))
}

/// Reaps a killed child that did not end in time, however long it takes.
pub(crate) fn reap_by_thread(pid: Pid) {
    let reap = move || {
        let options = WaitOptions::empty();
        while matches!(waitpid(Some(pid), options), Err(Errno::INTR)) {}
    };
    // Without memory or threads left there is nobody to do it; the parent's end will.
    let _ = thread::Builder::new()
        .name("outboard-reap".to_owned())
        .spawn(reap);
}

/// Blocks until the child has ended, but no longer than `patience`. Whether it has ended is for the
/// caller to find out.
#[cfg(target_os = "linux")]
pub(crate) fn linger(pid: Pid, patience: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{PidfdFlags, pidfd_open};

    let (Ok(limit), Ok(pidfd)) = (
        Timespec::try_from(patience),
        pidfd_open(pid, PidfdFlags::empty()),
    ) else {
        return;
    };
    // An interrupted or failed wait only means that a thread does the rest.
    let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit));
}

/// There is no way to wait for one process with a time limit; a thread does it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn linger(_: Pid, _: Duration) {}
