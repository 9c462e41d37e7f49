//! Child processes on Windows, on tokio's own.

use std::future::Future;
use std::io::Result;
use std::pin::pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use outboard_core::exit::Exit;
use outboard_core::rt::{
    self, BoxFuture, BoxWriter, Launch, Process, Runner, SharedRuntime, Stdin,
};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use crate::io::{Closing, Compat};

/// Starts programs as tokio does, on Windows.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioProcesses;

impl Runner for TokioProcesses {
    /// Fails outside a task of tokio's.
    fn launch(&self, _: &SharedRuntime, launch: Launch) -> BoxFuture<'static, Result<Process>> {
        Box::pin(async move {
            Handle::try_current().map_err(std::io::Error::other)?;
            start(launch)
        })
    }
}

fn start(launch: Launch) -> Result<Process> {
    let mut command = Command::new(launch.program);
    command
        .args(launch.args)
        .env_clear()
        .envs(launch.env)
        .stdin(match launch.stdin {
            Stdin::Inherit => Stdio::inherit(),
            Stdin::Null => Stdio::null(),
            Stdin::Pipe => Stdio::piped(),
            other => {
                let text = format!("this runner gives no process a stdin of the kind {other:?}");
                return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, text));
            }
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
    let mut process = Process::new(Box::new(TokioChild {
        id: child.id().unwrap_or_default().to_string(),
        pid: child.id(),
        child,
    }));
    process.stdin = stdin.map(|pipe| Box::new(Closing(Some(Compat(pipe)))) as BoxWriter);
    process.stdout = Some(Box::new(Compat(stdout)));
    process.stderr = Some(Box::new(Compat(stderr)));
    Ok(process)
}

struct TokioChild {
    child: Child,
    id: String,
    /// tokio forgets it when the child has ended.
    pid: Option<u32>,
}

impl rt::Child for TokioChild {
    fn id(&self) -> &str {
        &self.id
    }

    fn pid(&self) -> Option<u32> {
        self.pid
    }

    fn poll_kill(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        // tokio refuses to kill what has ended.
        Poll::Ready(match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.child.start_kill(),
            Err(error) => Err(error),
        })
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exit>> {
        // The registration for the event is in the child, not in this future.
        let status = ready!(pin!(self.child.wait()).poll(cx))?;
        Poll::Ready(Ok(status.code().map_or(Exit::Unknown, Exit::Code)))
    }

    fn release(self: Box<Self>) {
        // Whoever kills on drop keeps the handle for that: it is left open, once.
        std::mem::forget(self);
    }
}
