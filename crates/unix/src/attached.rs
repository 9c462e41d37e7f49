//! A process that somebody else has launched: found by its number, watched, and killed only if it is
//! known to be the one that is meant.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::rt::{BoxFuture, Child, SharedRuntime};
#[cfg(target_os = "linux")]
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::handle::ended_is_fine;

/// How often a process is looked at of which there is no event: as often as go-plugin does.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A process that this one has not launched. Dropping it leaves it running.
///
/// Its end is told by its pidfd where there is one (Linux since 5.3), else it is looked at once a second.
/// How it ended only its parent learns: [`Exit::Unknown`].
#[derive(Debug)]
pub struct Attached {
    process: Known,
    id: String,
    may_kill: bool,
    /// Its end, until that has come.
    ended: Option<Ended>,
}

/// Why there is no such process to attach to.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// No process has this number.
    Process,
    /// Another one has it by now.
    Taken {
        /// When that one began, as [`started`] tells it.
        started: String,
    },
}

/// A process by all that tells it from others.
#[derive(Debug)]
struct Known {
    pid: Pid,
    started: Option<String>,
    #[cfg(target_os = "linux")]
    pidfd: Option<OwnedFd>,
}

struct Ended(BoxFuture<'static, ()>);

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ended")
    }
}

impl Attached {
    /// The process with this number, if it began when the record says, or the record does not say when.
    /// In the latter case it is not killed, unless [`trusted`](Self::trusted) is called.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn find(runtime: &SharedRuntime, pid: u32, began: Option<&str>) -> Result<Self, Missing> {
        let process = Known::find(pid)?;
        let began = began.map(str::to_owned);
        if let (Some(now), Some(_)) = (&process.started, &began)
            && process.started != began
        {
            let started = now.clone();
            return Err(Missing::Taken { started });
        }
        Ok(Self {
            // Where the system does not tell when a process began, nothing is known by the record's word.
            may_kill: began.is_some() && process.started == began,
            id: process.pid.as_raw_nonzero().to_string(),
            ended: Some(Ended(process.watch(runtime))),
            process,
        })
    }

    /// The same, which is known to be the right one by something else than when it began.
    #[must_use]
    pub fn trusted(mut self, trusted: bool) -> Self {
        self.may_kill |= trusted;
        self
    }

    /// Whether it is known to be the right one. If not, a kill is refused.
    #[must_use]
    pub fn may_be_killed(&self) -> bool {
        self.may_kill
    }
}

/// When the process with this number began: a text that no other process of this system has or had
/// together with the number. `None` if there is no such process, it has ended, or the system does not tell
/// (known on Linux and Android).
#[must_use]
pub fn started(pid: u32) -> Option<String> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        linux::started(pid)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _not_told = pid;
        None
    }
}

/// Whether the process is there. One that may not be signalled is, and a zombie is not.
fn lives(pid: Pid) -> bool {
    is_there(test_kill_process(pid)) && !is_zombie(pid)
}

/// What the answer to a signal that is none says of the process.
fn is_there(answer: rustix::io::Result<()>) -> bool {
    !matches!(answer, Err(Errno::SRCH))
}

fn is_zombie(pid: Pid) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        linux::is_zombie(pid)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _not_told = pid;
        false
    }
}

impl Known {
    fn find(number: u32) -> Result<Self, Missing> {
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(Missing::Process)?;
        // First what stands for the process: what is read then is of no other.
        #[cfg(target_os = "linux")]
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        #[cfg(target_os = "linux")]
        if matches!(pidfd, Err(Errno::SRCH | Errno::INVAL)) {
            return Err(Missing::Process);
        }
        let started = started(number);
        if !lives(pid) {
            return Err(Missing::Process);
        }
        Ok(Self {
            pid,
            started,
            #[cfg(target_os = "linux")]
            pidfd: pidfd.ok(),
        })
    }

    /// Whether what has its number now is still itself, as far as can be told.
    fn is_itself(&self) -> bool {
        let number = self.pid.as_raw_nonzero().get().unsigned_abs();
        lives(self.pid) && started(number) == self.started
    }

    /// Resolves when it has ended.
    fn watch(&self, runtime: &SharedRuntime) -> BoxFuture<'static, ()> {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd
            && let Ok(pidfd) = pidfd.try_clone()
            && let Ok(descriptors) = runtime.descriptors()
            && let Ok(ended) = descriptors.watch(pidfd)
        {
            return Box::pin(async move {
                // Whatever the watch says, there is nothing more to wait for.
                let _told = ended.await;
            });
        }
        Box::pin(self.look(runtime))
    }

    /// The same, by looking.
    fn look(&self, runtime: &SharedRuntime) -> impl Future<Output = ()> + Send + use<> {
        let runtime = runtime.clone();
        let bare = Self {
            pid: self.pid,
            started: self.started.clone(),
            #[cfg(target_os = "linux")]
            pidfd: None,
        };
        async move {
            while bare.is_itself() {
                let mut pause = runtime.timer(runtime.now() + LOOK_EVERY);
                std::future::poll_fn(|cx| pause.as_mut().poll_expired(cx)).await;
            }
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            return ended_is_fine(rustix::process::pidfd_send_signal(pidfd, signal));
        }
        if !self.is_itself() {
            return Ok(());
        }
        ended_is_fine(kill_process(self.pid, signal))
    }
}

impl Attached {
    fn send(&self, signal: Signal) -> io::Result<()> {
        if self.ended.is_none() {
            return Ok(());
        }
        if !self.may_kill {
            let text = "its record does not say when it began, so that another process may have its \
                        number by now: it is not killed";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        self.process.signal(signal)
    }
}

impl Child for Attached {
    fn id(&self) -> &str {
        &self.id
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process.pid.as_raw_nonzero().get().unsigned_abs())
    }

    fn poll_terminate(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send(Signal::TERM))
    }

    fn poll_kill(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send(Signal::KILL))
    }
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        if let Some(Ended(ended)) = &mut self.ended {
            ready!(ended.as_mut().poll(cx));
            self.ended = None;
        }
        Poll::Ready(Ok(Exit::Unknown))
    }

    fn release(self: Box<Self>) {}
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::fs;

    use rustix::process::Pid;

    /// The fields behind the name, which may hold anything.
    fn fields(pid: &str) -> Option<String> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        stat.rsplit_once(')').map(|(_, rest)| rest.to_owned())
    }

    /// The start in ticks since the boot is the 22nd field, and the state the third: behind the name, the
    /// first.
    pub(super) fn started(pid: u32) -> Option<String> {
        let fields = fields(&pid.to_string())?;
        let mut fields = fields.split_ascii_whitespace();
        if fields.next().is_none_or(is_over) {
            return None;
        }
        let ticks = fields.nth(22 - 4)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Some(format!("{}:{ticks}", boot.trim()))
    }

    fn is_over(state: &str) -> bool {
        matches!(state, "Z" | "X")
    }

    pub(super) fn is_zombie(pid: Pid) -> bool {
        fields(&pid.as_raw_nonzero().to_string())
            .is_some_and(|fields| fields.split_ascii_whitespace().next().is_none_or(is_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_signalled_is_there() {
        assert!(is_there(Ok(())));
        assert!(is_there(Err(Errno::PERM)), "go-plugin takes it for dead");
        assert!(!is_there(Err(Errno::SRCH)));
    }

    #[test]
    fn numbers_that_cannot_be_a_process_are_missing() {
        for number in [0, u32::MAX, i32::MAX as u32] {
            assert_eq!(
                Known::find(number).err(),
                Some(Missing::Process),
                "{number}"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        use std::process::{Command, Stdio};

        let mut child = Command::new("/bin/sh")
            .args(["-c", "read line"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let began = started(child.id()).expect("it runs");
        assert_eq!(
            started(child.id()),
            Some(began.clone()),
            "it stays the same"
        );
        // This one may have begun within the same tick as its child, and its parent has not.
        assert_ne!(
            started(std::os::unix::process::parent_id()),
            Some(began.clone()),
            "of others it is another"
        );
        let known = Known::find(child.id()).expect("it runs");
        assert!(known.is_itself());
        drop(child.stdin.take());
        // A zombie until it is reaped.
        let mut pidfds = [rustix::event::PollFd::new(
            known.pidfd.as_ref().expect("Linux has them"),
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut pidfds, None).expect("it ends");
        assert_eq!(started(child.id()), None);
        assert_eq!(Known::find(child.id()).err(), Some(Missing::Process));
        assert!(!known.is_itself());
        known.signal(Signal::KILL).expect("it has ended");
        child.wait().expect("it is ours");
    }

    /// The kit's runtime watches no descriptors, so that there is no event.
    #[test]
    fn without_an_event_a_process_is_looked_at_once_a_second() {
        use std::process::{Command, Stdio};
        use std::task::Waker;

        use outboard_kit::runtime::TestRuntime;

        let (runtime, _tasks, clock) = TestRuntime::with_clock();
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read line"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut attached = Attached::find(&runtime, child.id(), None).expect("it runs");
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(attached.poll_wait(&mut cx).is_pending());
            clock.advance(LOOK_EVERY);
        }
        assert!(attached.poll_wait(&mut cx).is_pending(), "it runs");
        drop(child.stdin.take());
        child.wait().expect("it is ours");
        clock.advance(LOOK_EVERY - Duration::from_millis(1));
        assert!(attached.poll_wait(&mut cx).is_pending(), "nobody looked");
        clock.advance(Duration::from_millis(1));
        for _ in 0..2 {
            let ended = attached.poll_wait(&mut cx);
            assert!(matches!(ended, Poll::Ready(Ok(Exit::Unknown))), "{ended:?}");
        }
    }
}
