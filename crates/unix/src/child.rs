//! A child process that cannot be forgotten.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::rt::{BoxFuture, Child};
#[cfg(target_os = "linux")]
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group};

#[cfg(target_os = "linux")]
use crate::guard::Guard;
use crate::handle::{Ended, Handle};
use crate::wait;

/// A child of this process: killed and reaped when dropped, unless it is released.
pub(crate) struct UnixChild {
    handle: Handle,
    /// Its number, and that as text.
    pid: u32,
    id: String,
    /// Nobody is to kill it or wait for it any more.
    released: bool,
    /// Resolves once the child has ended.
    ended: Option<BoxFuture<'static, io::Result<()>>>,
    /// Set when the child was reaped; its pid is no longer ours from then on.
    exit: Option<Exit>,
    /// How long dropping it may wait for it to end.
    patience: Duration,
    care: Care,
    /// What descended from it when it was asked to end, or told to, and is killed once it has.
    #[cfg(target_os = "linux")]
    noted: Vec<Handle>,
    /// Where the child is a guard, whose own child is the plugin.
    #[cfg(target_os = "linux")]
    guard: Option<Guard>,
    /// Resolves once that has told something.
    #[cfg(target_os = "linux")]
    told: Option<BoxFuture<'static, io::Result<()>>>,
}

/// What becomes of what a child has started itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Care {
    /// Ends are for the child alone.
    pub(crate) spare_descendants: bool,
    /// It leads a process group, which ends with it.
    pub(crate) group: bool,
}

/// A killed process is gone in well under a millisecond unless it has gigabytes to free or is stuck
/// in the kernel; a guess at what an async thread can be held up for.
const PATIENCE: Duration = Duration::from_millis(100);

impl UnixChild {
    pub(crate) fn new(handle: Handle, care: Care) -> Self {
        Self {
            pid: handle.pid.as_raw_nonzero().get().unsigned_abs(),
            id: handle.pid.as_raw_nonzero().to_string(),
            handle,
            released: false,
            ended: None,
            exit: None,
            patience: PATIENCE,
            care,
            #[cfg(target_os = "linux")]
            noted: Vec::new(),
            #[cfg(target_os = "linux")]
            guard: None,
            #[cfg(target_os = "linux")]
            told: None,
        }
    }

    /// Takes note that the child is a guard. Its plugin's is the number to be told from here on.
    #[cfg(target_os = "linux")]
    pub(crate) fn guarded(&mut self, mut guard: Guard) -> io::Result<()> {
        let plugin = guard.plugin();
        self.guard = Some(guard);
        let plugin = plugin?.as_raw_nonzero();
        self.id = plugin.to_string();
        self.pid = plugin.get().unsigned_abs();
        Ok(())
    }

    /// Sets the event that says that the child has ended.
    pub(crate) fn watch(&mut self, ended: BoxFuture<'static, io::Result<()>>) {
        self.ended = Some(ended);
    }

    /// What can be read when its guard has told something, if it has a guard.
    #[cfg(target_os = "linux")]
    pub(crate) fn guard_tells(&self) -> io::Result<Option<OwnedFd>> {
        self.guard.as_ref().map(Guard::told).transpose()
    }

    /// Sets the event that says that.
    #[cfg(target_os = "linux")]
    pub(crate) fn watch_guard(&mut self, told: BoxFuture<'static, io::Result<()>>) {
        self.told = Some(told);
    }

    /// The plugin's end, where its guard is held up by what is left of it.
    #[cfg(target_os = "linux")]
    fn poll_lingers(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(told) = &mut self.told else {
            return Ok(());
        };
        let Poll::Ready(result) = told.as_mut().poll(cx) else {
            return Ok(());
        };
        // It tells this, or that it has ended, which is seen by itself.
        self.told = None;
        result?;
        if let Some(exit) = self.guard.as_mut().and_then(Guard::lingers) {
            tracing::warn!(
                pid = self.id,
                "something that a plugin has started cannot be killed yet"
            );
            wait::reap_by_thread(self.handle.try_clone()?)?;
            self.over(exit);
        }
        Ok(())
    }

    /// It has been seen to its end.
    #[cfg(target_os = "linux")]
    fn over(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.told = None;
        // Of no use any more, while the owner may be kept.
        self.guard = None;
        self.handle.pidfd = None;
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Reaps the child if it has ended.
    fn try_reap(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            if self.ends_group() && self.handle.has_ended() {
                // As long as it is not reaped, nobody else's group has its number.
                self.kill_group();
            }
            self.exit = match self.handle.try_reap()? {
                Ended::No => None,
                Ended::Yes(exit) => Some(exit),
                Ended::Gone => Some(Exit::Unknown),
            };
            #[cfg(target_os = "linux")]
            if let Some(mut exit) = self.exit {
                if let Some(guard) = &mut self.guard {
                    // The guard's own end tells nothing, unless somebody else has ended it.
                    let own = exit.signal().map_or(Exit::Unknown, |_| exit);
                    exit = guard.status().unwrap_or(own);
                }
                self.over(exit);
                for noted in std::mem::take(&mut self.noted) {
                    if !crate::descendants::kill(&noted)
                        && let Err(error) = noted.kill()
                    {
                        tracing::warn!(pid = self.id, %error, "what a plugin has started goes on");
                    }
                }
            }
        }
        Ok(self.exit)
    }

    fn ends_group(&self) -> bool {
        #[cfg(target_os = "linux")]
        if self.guard.is_some() {
            // The group is the guard's own, which ends more than that.
            return false;
        }
        self.care.group && !self.care.spare_descendants
    }

    /// For as long as nobody has reaped it: afterwards the number may be that of a stranger's group.
    fn kill_group(&self) {
        if !self.handle.is_there() {
            return;
        }
        if let Err(error) = kill_process_group(self.handle.pid, Signal::KILL)
            && error != Errno::SRCH
        {
            tracing::warn!(pid = self.id, %error, "a plugin's process group cannot be killed");
        }
    }

    /// For as long as it has not been reaped.
    fn kill_all(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(guard) = &self.guard {
            guard.kill();
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        let killed = !self.care.spare_descendants && crate::descendants::kill(&self.handle);
        #[cfg(not(target_os = "linux"))]
        let killed = false;
        if self.ends_group() {
            self.kill_group();
        }
        if killed {
            return Ok(());
        }
        self.handle.kill()
    }
}

impl Child for UnixChild {
    fn id(&self) -> &str {
        &self.id
    }

    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    fn begin_end(&mut self) {
        // A guard knows all that there is.
        #[cfg(target_os = "linux")]
        if self.exit.is_none() && self.guard.is_none() && !self.care.spare_descendants {
            self.noted = crate::descendants::note(&self.handle);
        }
    }

    fn poll_terminate(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exit.is_some() {
            return Poll::Ready(Ok(()));
        }
        #[cfg(target_os = "linux")]
        if let Some(guard) = &self.guard {
            guard.terminate();
            return Poll::Ready(Ok(()));
        }
        self.begin_end();
        Poll::Ready(self.handle.terminate())
    }

    fn poll_kill(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.exit {
            Some(_) => Ok(()),
            None => self.kill_all(),
        })
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        loop {
            #[cfg(target_os = "linux")]
            self.poll_lingers(cx)?;
            if let Some(exit) = self.exit {
                return Poll::Ready(Ok(exit));
            }
            if let Some(ended) = &mut self.ended {
                let result = ready!(ended.as_mut().poll(cx));
                self.ended = None;
                result?;
            }
            // Its last thread tells its end before it is done with its entries in `/proc`, where somebody
            // looked. The kernel lets whoever reaps it turn in circles meanwhile: for a whole turn of this
            // thread, if both share a processor.
            #[cfg(target_os = "linux")]
            std::thread::yield_now();
            if self.try_reap()?.is_none() {
                // Ended, but a debugger that is attached to it has the first claim on its status.
                self.ended = Some(wait::ended_by_thread(self.handle.try_clone()?)?);
            }
        }
    }

    fn release(mut self: Box<Self>) {
        #[cfg(target_os = "linux")]
        if let Some(guard) = &self.guard {
            guard.release();
        }
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
    use std::os::unix::process::CommandExt as _;
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
            // A number that it has is that of a group, too.
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let stdin = child.stdin.take().expect("a pipe");
        let mut child = UnixChild::new(Handle::new(Pid::from_child(&child)), Care::default());
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

    /// Somebody else in the process has reaped the child, and its number is a stranger's now, or that of a
    /// stranger's group.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_stranger_with_the_childs_number_is_left_alone() {
        let (mut child, _stdin) = shell("exit 5");
        waitpid(Some(child.handle.pid), WaitOptions::empty()).expect("a child");
        let (mut stranger, stdin) = shell("read line; exit 6");
        child.care.group = true;
        child.handle.pid = stranger.handle.pid;
        kill(&mut child);
        assert_eq!(wait_for(&mut child), Exit::Unknown);
        drop(child);
        drop(stdin);
        assert_eq!(wait_for(&mut stranger), Exit::Code(6));
    }
}
