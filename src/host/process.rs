//! The process of a plugin, as far as it has one.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::AsyncWriteExt as _;
use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::host::HostInput;
use outboard_core::rt::{
    AddressTranslator, BoxFuture, BoxReader, BoxWriter, Child, Launch, Process, SharedRunner,
    SharedRuntime,
};

use super::shared::Shared;

/// A process that is to be launched, runs, or has ended; or none at all.
#[derive(Default)]
pub(super) struct Running {
    launch: Option<(SharedRunner, Launch)>,
    launching: Option<BoxFuture<'static, io::Result<Process>>>,
    child: Option<Box<dyn Child>>,
    terminating: bool,
    killing: bool,
    reaped: bool,
    stdin: Option<BoxWriter>,
    /// What its stdin is to have, where that is known before.
    feed: Option<Arc<[u8]>>,
}

/// What a launched process has for others.
pub(super) struct Launched {
    pub(super) stdout: Option<BoxReader>,
    pub(super) stderr: Option<BoxReader>,
    pub(super) addresses: Option<Arc<dyn AddressTranslator>>,
}

/// What has happened to a process.
pub(super) enum News {
    Launched(Launched),
    LaunchFailed(Fault),
    /// It cannot be told to end.
    TerminateFailed,
    Exited(Exit),
}

impl Running {
    pub(super) fn to_be_launched(runner: SharedRunner, launch: Launch) -> Self {
        Self {
            launch: Some((runner, launch)),
            ..Self::default()
        }
    }

    /// The same, with these bytes for its stdin.
    pub(super) fn fed(mut self, bytes: Option<Arc<[u8]>>) -> Self {
        self.feed = bytes;
        self
    }

    /// Writes to its stdin what that is to have, and the end behind it.
    pub(super) fn take_feeding(&mut self) -> Option<BoxFuture<'static, ()>> {
        let bytes = self.feed.take()?;
        let mut stdin = self.stdin.take()?;
        Some(Box::pin(async move {
            // A plugin that reads none of it, or ends, is none the worse for it.
            if stdin.write_all(&bytes).await.is_ok() {
                let _unread = stdin.close().await;
            }
        }))
    }

    /// One that somebody else has launched.
    pub(super) fn attached(child: Box<dyn Child>) -> Self {
        Self {
            child: Some(child),
            ..Self::default()
        }
    }

    pub(super) fn launch(&mut self, runtime: &SharedRuntime) {
        if let Some((runner, launch)) = self.launch.take() {
            self.launching = Some(runner.launch(runtime, launch));
        }
    }

    /// It is asked to end.
    pub(super) fn begin_end(&mut self) {
        if let Some(child) = &mut self.child
            && !self.reaped
        {
            child.begin_end();
        }
    }

    /// Has it told to end.
    pub(super) fn terminate(&mut self) {
        self.terminating = self.child.is_some();
    }

    /// Has it killed; or gives up the launch, with the input that says so.
    pub(super) fn kill(&mut self) -> Option<HostInput<'static>> {
        if self.launching.take().is_some() {
            let fault = Fault::other("the launch was given up");
            return Some(HostInput::LaunchFailed(fault));
        }
        self.killing = self.child.is_some();
        self.terminating = false;
        None
    }

    /// Leaves it running.
    pub(super) fn release(&mut self) {
        if let Some(child) = self.child.take() {
            child.release();
        }
    }

    /// Kills and reaps it.
    pub(super) fn drop_now(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take_stdin(&mut self) -> Option<BoxWriter> {
        self.stdin.take()
    }

    pub(super) fn is_reaped(&self) -> bool {
        self.reaped
    }

    /// What its runner can find out about it.
    pub(super) fn diagnose(&self) -> Option<BoxFuture<'static, Option<String>>> {
        self.child.as_ref().map(|child| child.diagnose())
    }

    /// What it is called where it runs, and its number here.
    pub(super) fn names(&self) -> Option<(String, Option<u32>)> {
        let child = self.child.as_ref()?;
        Some((child.id().to_owned(), child.pid()))
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.child.as_ref().map(|child| child.id())
    }

    /// What has happened, each once.
    pub(super) fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<News> {
        if let Some(launching) = &mut self.launching {
            let Poll::Ready(launched) = launching.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.launching = None;
            return Poll::Ready(match launched {
                Ok(process) => self.launched(process, shared),
                Err(error) => News::LaunchFailed(error.into()),
            });
        }
        let Some(child) = &mut self.child else {
            return Poll::Pending;
        };
        if self.reaped {
            return Poll::Pending;
        }
        if self.terminating
            && let Poll::Ready(told) = child.poll_terminate(cx)
        {
            self.terminating = false;
            if let Err(error) = told {
                let (plugin, id) = (shared.name(), child.id());
                tracing::debug!(plugin, id, %error, "the plugin cannot be told to end");
                return Poll::Ready(News::TerminateFailed);
            }
        }
        if self.killing
            && let Poll::Ready(killed) = child.poll_kill(cx)
        {
            self.killing = false;
            // If the system refuses, the machine's own deadline ends the wait.
            if let Err(error) = killed {
                let (plugin, id) = (shared.name(), child.id());
                tracing::warn!(plugin, id, %error, "the plugin cannot be killed and may go on running");
            }
        }
        let Poll::Ready(exit) = child.poll_wait(cx) else {
            return Poll::Pending;
        };
        self.reaped = true;
        Poll::Ready(News::Exited(exit.unwrap_or_else(|error| {
            let (plugin, id) = (shared.name(), child.id());
            tracing::warn!(
                plugin, id, %error,
                "the plugin's end cannot be waited for: it may go on running, or stay as a \
                 zombie; it counts as ended"
            );
            Exit::Unknown
        })))
    }

    fn launched(&mut self, process: Process, shared: &Shared) -> News {
        shared.set_process(Some((process.child.id().to_owned(), process.child.pid())));
        self.child = Some(process.child);
        self.stdin = process.stdin;
        News::Launched(Launched {
            stdout: process.stdout,
            stderr: process.stderr,
            addresses: process.addresses,
        })
    }
}
