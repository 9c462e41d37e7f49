//! A child process that cannot be forgotten.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::rt::{BoxFuture, Child};

use crate::handle::{Ended, Handle};
use crate::wait;

/// A child of this process: killed and reaped when dropped, unless it is released.
pub(crate) struct UnixChild {
    handle: Handle,
    /// Its number as text.
    id: String,
    /// Nobody is to kill it or wait for it any more.
    released: bool,
    /// Resolves once the child has ended.
    ended: Option<BoxFuture<'static, io::Result<()>>>,
    /// Set when the child was reaped; its pid is no longer ours from then on.
    exit: Option<Exit>,
    /// How long dropping it may wait for it to end.
    patience: Duration,
    /// A kill is for the child alone.
    spare_descendants: bool,
}

/// A killed process is gone in well under a millisecond unless it has gigabytes to free or is stuck
/// in the kernel; a guess at what an async thread can be held up for.
const PATIENCE: Duration = Duration::from_millis(100);

impl UnixChild {
    pub(crate) fn new(handle: Handle, spare_descendants: bool) -> Self {
        Self {
            id: handle.pid.as_raw_nonzero().to_string(),
            handle,
            released: false,
            ended: None,
            exit: None,
            patience: PATIENCE,
            spare_descendants,
        }
    }

    /// Sets the event that says that the child has ended.
    pub(crate) fn watch(&mut self, ended: BoxFuture<'static, io::Result<()>>) {
        self.ended = Some(ended);
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Reaps the child if it has ended.
    fn try_reap(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            self.exit = match self.handle.try_reap()? {
                Ended::No => None,
                Ended::Yes(exit) => Some(exit),
                Ended::Gone => Some(Exit::Unknown),
            };
            #[cfg(target_os = "linux")]
            if self.exit.is_some() {
                // Of no use any more, while the owner may be kept.
                self.handle.pidfd = None;
            }
        }
        Ok(self.exit)
    }

    fn kill_all(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if !self.spare_descendants && crate::descendants::kill(&self.handle) {
            return Ok(());
        }
        #[cfg(not(target_os = "linux"))]
        let _ = self.spare_descendants;
        self.handle.kill()
    }
}

impl Child for UnixChild {
    fn id(&self) -> &str {
        &self.id
    }

    fn pid(&self) -> Option<u32> {
        Some(self.handle.pid.as_raw_nonzero().get().unsigned_abs())
    }

    fn poll_kill(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.exit {
            Some(_) => Ok(()),
            None => self.kill_all(),
        })
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        loop {
            if let Some(exit) = self.exit {
                return Poll::Ready(Ok(exit));
            }
            if let Some(ended) = &mut self.ended {
                let result = ready!(ended.as_mut().poll(cx));
                self.ended = None;
                result?;
            }
            if self.try_reap()?.is_none() {
                // Ended, but a debugger that is attached to it has the first claim on its status.
                self.ended = Some(wait::ended_by_thread(self.handle.try_clone()?)?);
            }
        }
    }

    fn release(mut self: Box<Self>) {
        self.released = true;
    }
}

impl Drop for UnixChild {
    fn drop(&mut self) {
        // An error here says nothing that the later steps depend on.
        if matches!(self.try_reap(), Ok(Some(_))) {
            return;
        }
        let pid = self.id.clone();
        if self.released {
            // Its number stays taken until somebody reaps it.
            if let Err(error) = self.handle.try_clone().and_then(wait::reap_by_thread) {
                tracing::warn!(pid, %error, "nobody waits for the end of a plugin that was let go of");
            }
            return;
        }
        if let Err(error) = self.kill_all() {
            tracing::warn!(pid, %error, "a plugin that nobody uses any more cannot be killed and goes on");
        }
        wait::linger(&self.handle, self.patience);
        if matches!(self.try_reap(), Ok(Some(_))) {
            return;
        }
        let reaped = self.handle.try_clone().and_then(wait::reap_by_thread);
        if let Err(error) = reaped {
            tracing::warn!(pid, %error, "nobody waits for the end of a killed plugin; a zombie may stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{self, Command, Stdio};
    use std::sync::Arc;
    use std::task::{Wake, Waker};
    use std::thread::{self, Thread};
    use std::time::Instant;

    use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

    use super::*;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait_for(child: &mut UnixChild) -> Exit {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match child.poll_wait(&mut Context::from_waker(&waker)) {
                Poll::Ready(exit) => return exit.expect("a child can be waited for"),
                Poll::Pending => thread::park(),
            }
        }
    }

    fn kill(child: &mut UnixChild) {
        let killed = child.poll_kill(&mut Context::from_waker(Waker::noop()));
        assert!(
            matches!(killed, Poll::Ready(Ok(()))),
            "killing what has ended is no error"
        );
    }

    // The handle reaps it.
    #[allow(clippy::zombie_processes)]
    fn shell(script: &str) -> (UnixChild, process::ChildStdin) {
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let stdin = child.stdin.take().expect("a pipe");
        let mut child = UnixChild::new(Handle::new(Pid::from_child(&child)), false);
        let handle = child.handle.try_clone().expect("a descriptor");
        child.watch(wait::ended_by_thread(handle).expect("a thread"));
        (child, stdin)
    }

    /// Where there is no pidfd.
    #[test]
    fn a_thread_notices_the_end_of_a_child() {
        let (mut child, stdin) = shell("read line; exit 3");
        let waker = Waker::noop();
        assert!(
            child
                .poll_wait(&mut Context::from_waker(waker))
                .is_pending()
        );
        drop(stdin);
        assert_eq!(wait_for(&mut child), Exit::Code(3));
        assert_eq!(wait_for(&mut child), Exit::Code(3));
    }

    #[test]
    fn a_thread_reaps_what_does_not_end_in_time() {
        // More than one: by chance, one may have ended before the drop looks.
        for _ in 0..20 {
            let (mut child, _stdin) = shell("read line");
            child.patience = Duration::ZERO;
            let pid = child.handle.pid;
            drop(child);
            // Waiting without reaping goes through as long as there is a zombie.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let limit = Instant::now() + Duration::from_secs(60);
            while waitid(WaitId::Pid(pid), options).is_ok() {
                assert!(Instant::now() < limit, "a zombie is left");
                thread::yield_now();
            }
        }
    }

    #[test]
    fn what_is_released_goes_on_and_is_reaped() {
        let (child, stdin) = shell("read line; exit 0");
        let pid = child.handle.pid;
        Box::new(child).release();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let seen = waitid(WaitId::Pid(pid), options).expect("it is there");
        assert!(seen.is_none(), "it lives");
        drop(stdin);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let limit = Instant::now() + Duration::from_secs(60);
        while waitid(WaitId::Pid(pid), options).is_ok() {
            assert!(Instant::now() < limit, "a zombie is left");
            thread::yield_now();
        }
    }

    #[test]
    fn a_status_taken_by_others_is_unknown() {
        let (mut child, _stdin) = shell("exit 5");
        waitpid(Some(child.handle.pid), WaitOptions::empty()).expect("a child");
        assert_eq!(wait_for(&mut child), Exit::Unknown);
        kill(&mut child);
    }

    /// Somebody else in the process has reaped the child, and its number is a stranger's now.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_stranger_with_the_childs_number_is_left_alone() {
        let (mut child, _stdin) = shell("exit 5");
        waitpid(Some(child.handle.pid), WaitOptions::empty()).expect("a child");
        let (mut stranger, stdin) = shell("read line; exit 6");
        child.handle.pid = stranger.handle.pid;
        kill(&mut child);
        assert_eq!(wait_for(&mut child), Exit::Unknown);
        drop(child);
        drop(stdin);
        assert_eq!(wait_for(&mut stranger), Exit::Code(6));
    }
}
