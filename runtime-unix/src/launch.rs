//! From a [`Launch`] to a running process with its pipes in the runtime's hands.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use outboard_core::rt::{Launch, Process, Runtime, Stdin};
use rustix::process::Pid;

use crate::child::UnixChild;
use crate::handle::Handle;
use crate::{forked, launcher, wait};

/// Starts a process as `Runtime::launch` promises, with pipes and events from `runtime`.
///
/// All descriptors made on the way are close-on-exec. A program without a slash is looked up in the
/// `PATH` of [`Launch::env`].
///
/// The child begins with an empty signal mask and the default action for every signal, whatever the
/// parent blocks or ignores; a SIGHUP that is ignored stays so, for `nohup`. It is forked on one
/// thread that lives as long as the process, since the parent-death signal
/// ([`Launch::outlive_parent`]) is sent when the thread ends that forked.
///
/// # Errors
/// The system's error, unchanged. No process is left behind.
pub fn launch(runtime: &dyn Runtime, launch: Launch) -> io::Result<Process> {
    let mut command = Command::new(launch.program);
    command
        .args(launch.args)
        .env_clear()
        .envs(launch.env)
        .stdin(match launch.stdin {
            Stdin::Inherit => Stdio::inherit(),
            Stdin::Null => Stdio::null(),
            Stdin::Pipe => Stdio::piped(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(dir) = launch.dir {
        command.current_dir(dir);
    }
    forked::prepare(&mut command, launch.outlive_parent);
    let mut child = launcher::spawn(command)?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // From here on an early return drops the child, which kills and reaps it.
    let mut child = UnixChild::new(
        Handle::new(Pid::from_child(&child)),
        launch.spare_descendants,
    );
    child.watch(wait::ended(runtime, child.handle())?);
    let (stdin, Some(stdout), Some(stderr)) = pipes else {
        unreachable!("stdout and stderr were asked to be pipes");
    };
    Ok(Process {
        child: Box::new(child),
        stdin: stdin
            .map(|pipe| runtime.pipe_writer(OwnedFd::from(pipe).into()))
            .transpose()?,
        stdout: runtime.pipe_reader(OwnedFd::from(stdout).into())?,
        stderr: runtime.pipe_reader(OwnedFd::from(stderr).into())?,
    })
}
