//! The one thread that forks. A child's parent-death signal is sent when the *thread* dies that
//! forked it, so that has to be one that lives as long as the process.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{self, Child};
use std::sync::{LazyLock, mpsc};
use std::thread;

use futures_channel::oneshot;
use outboard_core::lock::{Mutex, Rank};
use rustix::process::Pid;

use crate::child::{Care, UnixChild};
use crate::forked::Prepared;
#[cfg(target_os = "linux")]
use crate::guard::Guard;
use crate::handle::Handle;
use crate::signals;

/// What comes of a command, which can be tried again.
type Outcome = (Prepared, io::Result<Spawned>);

struct Job {
    command: Prepared,
    care: Care,
    outcome: oneshot::Sender<Outcome>,
}

/// A child that nobody has taken over yet. Dropping it kills and reaps it.
pub(crate) struct Spawned {
    child: UnixChild,
    std: Child,
}

impl Spawned {
    fn new(std: Child, care: Care) -> Self {
        let handle = Handle::new(Pid::from_child(&std));
        let child = UnixChild::new(handle, care);
        Self { child, std }
    }

    /// Takes note that it is a guard, whose child is the plugin.
    #[cfg(target_os = "linux")]
    pub(crate) fn guarded(&mut self, guard: Guard) -> io::Result<()> {
        self.child.guarded(guard)
    }

    /// The child, and what the standard library has of it: its pipes.
    pub(crate) fn into_child(self) -> (UnixChild, Child) {
        (self.child, self.std)
    }
}

/// The thread's queue, and the process it is a thread of: one that was forked has not got it.
type Queue = Option<(u32, mpsc::Sender<Job>)>;
static LAUNCHER: LazyLock<Mutex<Queue>> = LazyLock::new(|| Mutex::new(Rank::Process, None));

/// Forks on that thread. It is started with the first call. If the future is dropped, nothing is left
/// of the child.
pub(crate) async fn spawn(command: Prepared, care: Care) -> io::Result<Outcome> {
    let (outcome, spawned) = oneshot::channel();
    let gone = || io::Error::other("the thread that launches processes is gone");
    let job = Job {
        command,
        care,
        outcome,
    };
    queue()?.send(job).map_err(|_| gone())?;
    spawned.await.map_err(|_| gone())
}

fn queue() -> io::Result<mpsc::Sender<Job>> {
    let mut launcher = LAUNCHER.lock();
    let this = process::id();
    if let Some((process, queue)) = &*launcher
        && *process == this
    {
        return Ok(queue.clone());
    }
    let (queue, jobs) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("outboard-launch".to_owned())
        .spawn(move || {
            signals::block();
            for job in jobs {
                // Whatever it is (of what is dropped here, a `tracing` subscriber may be told): all
                // that were forked here would die with the thread.
                let _panicked = catch_unwind(AssertUnwindSafe(|| run(job)));
            }
        })?;
    *launcher = Some((this, queue.clone()));
    Ok(queue)
}

fn run(job: Job) {
    let Job {
        mut command,
        care,
        outcome,
    } = job;
    if outcome.is_canceled() {
        return;
    }
    let spawned = command.spawn();
    let spawned = spawned.map(|child| Spawned::new(child, care));
    // If nobody waits any more, the child is dropped.
    let _unwanted = outcome.send((command, spawned));
}
