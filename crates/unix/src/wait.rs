//! Noticing the end of a child without reaping it.

use std::io;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use outboard_core::rt::{BoxFuture, Descriptors};

use crate::handle::Handle;

/// Resolves when the child has ended and can be reaped.
pub(crate) fn ended(
    descriptors: &dyn Descriptors,
    child: &Handle,
) -> io::Result<BoxFuture<'static, io::Result<()>>> {
    #[cfg(target_os = "linux")]
    if let Some(pidfd) = &child.pidfd {
        return descriptors.watch(pidfd.try_clone()?);
    }
    let _ = descriptors;
    ended_by_thread(child.try_clone()?)
}

/// The same by a thread that waits. It does not hold up the end of the program.
pub(crate) fn ended_by_thread(child: Handle) -> io::Result<BoxFuture<'static, io::Result<()>>> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("outboard-wait".to_owned())
        .spawn(move || {
            child.wait(true);
            // The child's owner finds out by reaping what there was. If nobody listens, it has
            // done so already.
            let _ = sender.send(());
        })?;
    Ok(Box::pin(async {
        receiver
            .await
            .map_err(|_| io::Error::other("the thread that waits for a child has died"))
    }))
}

/// Reaps a killed child that did not end in time, however long it takes.
pub(crate) fn reap_by_thread(child: Handle) -> io::Result<()> {
    thread::Builder::new()
        .name("outboard-reap".to_owned())
        .spawn(move || child.wait(false))
        .map(drop)
}

/// Blocks until the child has ended, but no longer than `patience`. Whether it has ended is for the
/// caller to find out.
#[cfg(target_os = "linux")]
pub(crate) fn linger(child: &Handle, patience: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let (Ok(limit), Some(pidfd)) = (Timespec::try_from(patience), &child.pidfd) else {
        return;
    };
    // An interrupted or failed wait only means that a thread does the rest.
    let _ = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit));
}

/// There is no way to wait for one process with a time limit; a thread does it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn linger(_: &Handle, _: Duration) {}
