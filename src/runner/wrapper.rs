//! A plugin behind another command.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use outboard_core::rt::{BoxFuture, Launch, Process, Runner, SharedRunner, SharedRuntime};

use crate::command::Command;

/// Runs plugins behind another command, which is given the plugin's program and arguments behind its
/// own: `nice -n 10 PLUGIN`, `strace -f -o trace.txt PLUGIN`, `gdbserver localhost:1234 PLUGIN`.
///
/// The command must leave stdin, stdout, the environment and the working directory to the plugin, as
/// such commands do. What it writes on stderr itself is in the plugin's log. A bare name is looked up in
/// the host's own `PATH`.
///
/// The host's child is then the command: its number is [`RunningPlugin::pid`](crate::RunningPlugin::pid),
/// its end counts as the plugin's, and a kill takes along what it has started (Linux 5.4 and later). A
/// command that becomes the plugin, such as `nice`, makes no difference.
///
/// Wrappers can stand one before the other, and before other runners: [`before`](Self::before).
#[derive(Clone, Debug)]
pub struct Wrapper {
    command: Command,
    inner: SharedRunner,
}

impl Wrapper {
    /// This command, without arguments.
    pub fn new(command: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(command),
            inner: super::local(),
        }
    }

    /// Adds an argument of the command's own.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command = self.command.arg(arg);
        self
    }

    /// Adds arguments of the command's own.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command = self.command.args(args);
        self
    }

    /// Has another runner start the command; as a child of this process unless this is called.
    #[must_use]
    pub fn before(mut self, runner: impl Runner) -> Self {
        self.inner = Arc::new(runner);
        self
    }
}

impl Runner for Wrapper {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        mut launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        let command = self.command.program(self.inner.shares_files());
        let plugin = std::mem::replace(&mut launch.program, command.clone());
        let own = std::mem::take(&mut launch.args);
        let plugin = Some(plugin).filter(|plugin| !plugin.is_empty());
        let args = self.command.args.iter().cloned().chain(plugin).chain(own);
        launch.args = args.collect();
        let launching = self.inner.launch(runtime, launch);
        Box::pin(async move {
            launching.await.map_err(|error| {
                let command = command.display();
                let text =
                    format!("the command in front of it, {command}, does not start: {error}");
                io::Error::new(error.kind(), text)
            })
        })
    }

    fn shares_files(&self) -> bool {
        self.inner.shares_files()
    }

    /// What is started is the command, and what that starts is restricted as it is.
    fn confines(&self) -> bool {
        self.inner.confines()
    }

    fn guards(&self) -> bool {
        self.inner.guards()
    }

    fn name(&self) -> Option<String> {
        self.inner.name()
    }
}
