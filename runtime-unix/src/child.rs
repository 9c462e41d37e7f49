//! A child process that cannot be forgotten.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::rt::{BoxFuture, Child};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::wait;

/// A child of this process: killed and reaped when dropped.
pub(crate) struct UnixChild {
    child: process::Child,
    /// Resolves once the child has ended.
    ended: Option<BoxFuture<'static, io::Result<()>>>,
    /// Set when the child was reaped; its pid is no longer ours from then on.
    exit: Option<Exit>,
    /// How long dropping it may wait for it to end.
    patience: Duration,
}

/// A killed process is gone in well under a millisecond unless it has gigabytes to free or is stuck
/// in the kernel; a guess at what an async thread can be held up for.
const PATIENCE: Duration = Duration::from_millis(100);

impl UnixChild {
    pub(crate) fn new(child: process::Child) -> Self {
        Self {
            child,
            ended: None,
            exit: None,
            patience: PATIENCE,
        }
    }

    /// Sets the event that says that the child has ended.
    pub(crate) fn watch(&mut self, ended: BoxFuture<'static, io::Result<()>>) {
        self.ended = Some(ended);
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Reaps the child if it has ended.
    fn try_reap(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            self.exit = match self.child.try_wait() {
                Ok(status) => status.map(exit),
                // Someone else reaped it, or SIGCHLD is ignored: it has ended, with what status
                // nobody can tell.
                Err(error) if is(&error, Errno::CHILD) => Some(Exit::Unknown),
                Err(error) => return Err(error),
            };
        }
        Ok(self.exit)
    }
}

impl Child for UnixChild {
    fn id(&self) -> u32 {
        self.child.id()
    }

    fn kill(&mut self) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        match self.child.kill() {
            Err(error) if is(&error, Errno::SRCH) => Ok(()),
            result => result,
        }
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
                self.ended = Some(wait::ended_by_thread(self.pid())?);
            }
        }
    }
}

impl Drop for UnixChild {
    fn drop(&mut self) {
        // Errors: there is nobody to tell, and the later steps do not depend on the earlier.
        if matches!(self.try_reap(), Ok(Some(_))) {
            return;
        }
        let _ = self.child.kill();
        wait::linger(self.pid(), self.patience);
        if !matches!(self.try_reap(), Ok(Some(_))) {
            wait::reap_by_thread(self.pid());
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn exit(status: ExitStatus) -> Exit {
    Exit::from_wait_status(status.into_raw())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::task::{Wake, Waker};
    use std::thread::{self, Thread};
    use std::time::Instant;

    use rustix::process::{WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

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

    fn shell(script: &str) -> UnixChild {
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut child = UnixChild::new(child);
        child.watch(wait::ended_by_thread(child.pid()).expect("a thread"));
        child
    }

    /// Where there is no pidfd.
    #[test]
    fn a_thread_notices_the_end_of_a_child() {
        let mut child = shell("read line; exit 3");
        let stdin = child.child.stdin.take();
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
            let mut child = shell("read line");
            child.patience = Duration::ZERO;
            let pid = child.pid();
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
    fn a_status_taken_by_others_is_unknown() {
        let mut child = shell("exit 5");
        waitpid(Some(child.pid()), WaitOptions::empty()).expect("a child");
        assert_eq!(wait_for(&mut child), Exit::Unknown);
        child.kill().expect("killing what has ended is no error");
    }
}
