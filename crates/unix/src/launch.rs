//! From a [`Launch`] to a running process with its pipes in the runtime's hands.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use outboard_core::rt::{BoxFuture, Launch, Process, Runner, SharedRuntime, Stdin};

use crate::child::{Care, UnixChild};
#[cfg(target_os = "linux")]
use crate::confine::Confine;
use crate::forked::{Before, Prepared};
#[cfg(target_os = "linux")]
use crate::guard::{self, Split};
use crate::launcher::{self, Spawned};
use crate::wait;

/// Starts programs of this system as children of this process.
///
/// All descriptors made on the way are close-on-exec. A program without a slash is looked up in the
/// `PATH` of [`Launch::env`]. One whose file is still open for writing ("text file busy": whoever has
/// just written it, or forked meanwhile, is about to close it) is tried again for about a second.
///
/// A child begins with an empty signal mask and the default action for every signal, whatever the
/// parent blocks or ignores; a SIGHUP that is ignored stays so, for `nohup`. It is forked on one
/// thread that lives as long as the process, since the parent-death signal
/// ([`Launch::outlive_parent`]) is sent when the thread ends that forked; no other thread waits for
/// that.
///
/// On Linux a program that is [open](Launch::open) is executed from its descriptor, also where there is
/// no `/proc`; only one that is kept open for its interpreter needs that.
///
/// The runtime has to take over [descriptors](outboard_core::rt::Descriptors).
#[derive(Clone, Copy, Debug, Default)]
pub struct ForkExec;

impl Runner for ForkExec {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        let runtime = runtime.clone();
        Box::pin(async move {
            let care = Care {
                spare_descendants: launch.spare_descendants,
                group: launch.process_group,
            };
            #[cfg(target_os = "linux")]
            {
                let (guard, split) = if launch.guarded && !launch.outlive_parent {
                    let (guard, split) = guard::pair()?;
                    (Some(guard), Some(split))
                } else {
                    (None, None)
                };
                let mut spawned = spawn(&runtime, command(launch, split)?, care).await?;
                if let Some(guard) = guard {
                    spawned.guarded(guard)?;
                }
                registered(&runtime, spawned)
            }
            #[cfg(not(target_os = "linux"))]
            {
                let spawned = spawn(&runtime, command(launch)?, care).await?;
                registered(&runtime, spawned)
            }
        })
    }

    fn executes_open(&self) -> bool {
        cfg!(target_os = "linux")
    }

    fn confines(&self) -> bool {
        cfg!(target_os = "linux")
    }

    fn guards(&self) -> bool {
        #[cfg(target_os = "linux")]
        return guard::can_be();
        #[cfg(not(target_os = "linux"))]
        false
    }
}

fn command(
    launch: Launch,
    #[cfg(target_os = "linux")] split: Option<Split>,
) -> io::Result<Prepared> {
    let stdin = match launch.stdin {
        Stdin::Inherit => Stdio::inherit(),
        Stdin::Null => Stdio::null(),
        Stdin::Pipe => Stdio::piped(),
        other => {
            let text = format!("this runner gives no process a stdin of the kind {other:?}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    };
    let mut command = Command::new(launch.program);
    command
        .args(launch.args)
        .env_clear()
        .envs(launch.env)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(dir) = launch.dir {
        command.current_dir(dir);
    }
    if launch.process_group {
        command.process_group(0);
    }
    let before = Before {
        outlive_parent: launch.outlive_parent,
        #[cfg(target_os = "linux")]
        group: launch.process_group,
        #[cfg(target_os = "linux")]
        split,
        open: launch.open,
        #[cfg(target_os = "linux")]
        confine: launch.confinement.map(Confine::new).transpose()?,
    };
    Prepared::new(command, before)
}

/// How often a launch is tried again while the program's file is still open for writing, and the
/// pause before the first of these tries; each later one is longer by as much. Together about a
/// second, the time an installer may take to let go. (A choice.)
const BUSY_LAUNCHES: u32 = 14;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

async fn spawn(runtime: &SharedRuntime, mut command: Prepared, care: Care) -> io::Result<Spawned> {
    let mut busy = 0;
    loop {
        let outcome = launcher::spawn(command, care).await?;
        match outcome {
            (again, Err(error))
                if error.kind() == io::ErrorKind::ExecutableFileBusy && busy < BUSY_LAUNCHES =>
            {
                command = again;
                busy += 1;
                let mut pause = runtime.timer(runtime.now() + BUSY_PAUSE * busy);
                std::future::poll_fn(|cx| pause.as_mut().poll_expired(cx)).await;
            }
            (_, spawned) => return spawned,
        }
    }
}

/// Puts what was spawned into the runtime's hands. With an error it is killed and reaped.
fn registered(runtime: &SharedRuntime, spawned: Spawned) -> io::Result<Process> {
    let descriptors = runtime.descriptors()?;
    let (mut child, pipes) = spawned.into_parts();
    child.watch(wait::ended(descriptors, child.handle())?);
    #[cfg(target_os = "linux")]
    if let Some(told) = child.guard_tells()? {
        child.watch_guard(descriptors.watch(told)?);
    }
    let Pipes {
        stdin,
        stdout,
        stderr,
    } = pipes;
    let mut process = Process::new(Box::new(child));
    if let Some(stdin) = stdin {
        process.stdin = Some(descriptors.pipe_writer(OwnedFd::from(stdin).into())?);
    }
    if let Some(stdout) = stdout {
        process.stdout = Some(descriptors.pipe_reader(OwnedFd::from(stdout).into())?);
    }
    if let Some(stderr) = stderr {
        process.stderr = Some(descriptors.pipe_reader(OwnedFd::from(stderr).into())?);
    }
    Ok(process)
}

/// This side's ends of a child's pipes.
pub(crate) struct Pipes {
    stdin: Option<process::ChildStdin>,
    stdout: Option<process::ChildStdout>,
    stderr: Option<process::ChildStderr>,
}

impl Spawned {
    fn into_parts(self) -> (UnixChild, Pipes) {
        let (child, mut ours) = self.into_child();
        let pipes = Pipes {
            stdin: ours.stdin.take(),
            stdout: ours.stdout.take(),
            stderr: ours.stderr.take(),
        };
        (child, pipes)
    }
}
