//! Child processes on Windows, on tokio's own.

use std::future::Future;
use std::io::Result;
use std::pin::pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use outboard_core::exit::Exit;
use outboard_core::rt::{self, BoxWriter, Launch, Process, Stdin};
use tokio::process::{Child, Command};

use crate::io::{Closing, Compat};

pub(crate) fn launch(launch: Launch) -> Result<Process> {
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
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(dir) = launch.dir {
        command.current_dir(dir);
    }
    let mut child = command.spawn()?;
    let (stdin, Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        unreachable!("stdout and stderr were asked to be pipes");
    };
    Ok(Process {
        stdin: stdin.map(|pipe| Box::new(Closing(Some(Compat(pipe)))) as BoxWriter),
        stdout: Box::new(Compat(stdout)),
        stderr: Box::new(Compat(stderr)),
        child: Box::new(TokioChild {
            id: child.id().unwrap_or_default(),
            child,
        }),
    })
}

struct TokioChild {
    child: Child,
    /// tokio forgets it when the child has ended.
    id: u32,
}

impl rt::Child for TokioChild {
    fn id(&self) -> u32 {
        self.id
    }

    fn kill(&mut self) -> Result<()> {
        // tokio refuses to kill what has ended.
        match self.child.try_wait()? {
            Some(_) => Ok(()),
            None => self.child.start_kill(),
        }
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exit>> {
        // The registration for the event is in the child, not in this future.
        let status = ready!(pin!(self.child.wait()).poll(cx))?;
        Poll::Ready(Ok(status.code().map_or(Exit::Unknown, Exit::Code)))
    }
}
