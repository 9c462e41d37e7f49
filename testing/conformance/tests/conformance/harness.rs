//! Runs a case: on a fresh runtime, in a directory of its own, under a watchdog, and looks
//! afterwards whether anything was left behind.

use std::ffi::OsStr;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use outboard::rt::SharedRuntime;
use outboard::{Command, Host, HostError, Plugin, RunningPlugin, StartError, memory};
use outboard_conformance::axes::{self, RuntimeKind, TransportKind};
use outboard_conformance::probe::Prober;
use outboard_conformance::process::ThisProcess;
use outboard_conformance::proto::{ProbeClient, ProbeServer, ProcessClient, ProcessServer};
use outboard_conformance::{HANDSHAKE, PROBE, PROCESS};
use tempfile::TempDir;

use crate::leftovers::{self, files_in, processes_of};
use crate::sealed::Sealed;

/// What a case runs on.
#[derive(Clone, Copy, Debug)]
pub struct Combination {
    pub host: RuntimeKind,
    pub plugin: RuntimeKind,
    pub transport: TransportKind,
    pub output: Output,
}

/// How what a plugin prints gets to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Through pipes that the host makes for it.
    Piped,
    /// Over the connection, as under hosts that make none.
    Sent,
    /// Not at all: the plugin is in the host's own process, and in memory.
    None,
}

macro_rules! output {
    () => {
        crate::harness::Output::Piped
    };
    (sent) => {
        crate::harness::Output::Sent
    };
    (memory) => {
        crate::harness::Output::None
    };
}
pub(crate) use output;

/// A time that no healthy case comes near, also on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(120);

/// A time in which what should happen at once has happened, also on a busy machine; well below
/// every timeout that could be mistaken for it (5 s of the broker, 60 s of the start).
const PROMPT: Duration = Duration::from_secs(4);

/// How long a plugin may take to end where no case is about that. What a library's user would wait is
/// over before a busy machine has done what a case waits for.
const GRACE: Duration = Duration::from_secs(60);

pub const PLUGIN: &str = env!("CARGO_BIN_EXE_suite-plugin");
pub const FAKE: &str = env!("CARGO_BIN_EXE_suite-fake");
pub const HOST: &str = env!("CARGO_BIN_EXE_suite-host");
pub const OCI: &str = env!("CARGO_BIN_EXE_suite-oci");

/// Runs a case.
pub fn run<F: Future<Output = ()>>(
    on: Combination,
    case: impl FnOnce(Harness) -> F + Send + 'static,
) {
    let dir = TempDir::with_prefix("suite").expect("a directory can be made");
    let path = dir.path().to_owned();
    let (done, finished) = mpsc::channel();
    let running = thread::spawn({
        let path = path.clone();
        move || {
            axes::block_on(on.host, |runtime| {
                case(Harness {
                    on,
                    runtime,
                    dir: path,
                })
            });
            done.send(())
        }
    });
    if finished.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
        let left = processes_of(&path);
        left.iter().copied().for_each(leftovers::kill);
        panic!("the case hangs on {on:?}, with processes {left:?}");
    }
    let outcome = running.join();
    let left = processes_of(&path);
    let alive: Vec<u32> = left
        .into_iter()
        .filter(|pid| !leftovers::gone(*pid))
        .collect();
    alive.iter().copied().for_each(leftovers::kill);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    assert!(alive.is_empty(), "processes were left running: {alive:?}");
    let files = files_in(&path);
    assert!(files.is_empty(), "files were left behind: {files:?}");
}

/// What a case works with.
pub struct Harness {
    pub on: Combination,
    pub runtime: SharedRuntime,
    dir: PathBuf,
}

/// A started plugin and clients of both its services.
pub struct Rig {
    pub plugin: RunningPlugin,
    pub probe: ProbeClient,
    pub process: ProcessClient,
}

impl Harness {
    /// The directory in which host and plugin put their files, and the case its own; it must be
    /// empty at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A host of any command that runs in the case's directory.
    pub fn host_of(&self, command: Command) -> Host {
        self.set_up(
            axes::of_host(self.on.transport, Host::new(HANDSHAKE)),
            command,
        )
    }

    /// This host, of a command that runs in the case's directory.
    pub fn set_up(&self, host: Host, command: Command) -> Host {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let command = command
            .inherit_stdin(false)
            .env("TMPDIR", &self.dir)
            .env("PATH", path);
        // The pipes are in the directory of a launch's own.
        let host = match self.on.output {
            Output::Piped => host,
            Output::Sent | Output::None => host.private_socket_dir(false),
        };
        host.socket_dir(&self.dir)
            .shutdown_grace(GRACE)
            .inherit_env(false)
            .command(command)
    }

    /// A host of the suite's plugin with these options.
    pub fn host(&self, options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Host {
        self.host_of(self.plugin(options))
    }

    /// The suite's plugin with these options.
    pub fn plugin(&self, options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let on = [self.on.plugin.to_string(), self.on.transport.to_string()];
        Command::new(PLUGIN).args(on).args(options)
    }

    /// A host of a shell script.
    pub fn script(&self, script: &str) -> Host {
        self.host_of(Command::new("/bin/sh").arg("-c").arg(script))
    }

    /// The suite's plugin, started without options.
    pub async fn start(&self) -> Rig {
        let host = self.host([""; 0]);
        if self.on.output == Output::None {
            return Rig::of(self.start_in_memory(&host, self.plugin_in_memory()).await).await;
        }
        self.start_host(host).await
    }

    /// What the suite's plugin serves, without its process.
    pub fn plugin_in_memory(&self) -> Plugin {
        let plugin = axes::of_plugin(self.on.transport, Plugin::new(HANDSHAKE));
        let process = ProcessServer::new(ThisProcess::new(plugin.health()));
        let probe = ProbeServer::new(Prober::default());
        plugin.provide(PROBE, probe).provide(PROCESS, process)
    }

    /// This plugin, in memory.
    pub async fn start_in_memory(&self, host: &Host, plugin: Plugin) -> RunningPlugin {
        let started = memory::start(host, plugin, Sealed::around(self.runtime.clone())).await;
        started.expect("the plugin starts")
    }

    /// The suite's plugin, started by this host.
    pub async fn start_host(&self, host: Host) -> Rig {
        let started = host.start(self.runtime.clone()).await;
        Rig::of(started.expect("the plugin starts")).await
    }

    /// A host of a plugin that runs already and listens here, told by a line as the plugin printed
    /// it. The process that it calls its own is another one.
    pub async fn second_host(&self, socket: &Path) -> RunningPlugin {
        let script = format!("echo '1|1|unix|{}|grpc|'; exec sleep 600", socket.display());
        // It is the first connection that is looked at.
        let host = self.script(&script).reconnect_within(Duration::ZERO);
        host.start(self.runtime.clone()).await.expect("it connects")
    }

    /// Why this host does not start; it must say so promptly.
    pub async fn start_error(&self, host: Host) -> StartError {
        match self.promptly(host.start(self.runtime.clone())).await {
            Err(HostError::Start { error, .. }) => *error,
            Err(other) => panic!("unexpected error: {other:?}"),
            Ok(plugin) => panic!("it started: {plugin:?}"),
        }
    }

    /// The output of what should be there at once.
    pub async fn promptly<F: Future>(&self, future: F) -> F::Output {
        self.within(PROMPT, future).await
    }

    /// The output of `future`, which must be there before the time is over: by the host's timer, and,
    /// with some patience, by a clock beside it, since a thread that is held up has late timers, too.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> F::Output {
        let began = Instant::now();
        let mut timer = self.runtime.timer(self.runtime.now() + limit);
        let over = poll_fn(|cx| timer.as_mut().poll_expired(cx));
        match select(pin!(future), over).await {
            Either::Left((output, _)) => {
                let took = began.elapsed();
                assert!(took < 2 * limit, "{took:?}, where {limit:?} were allowed");
                output
            }
            Either::Right(_) => panic!("not done within {limit:?}"),
        }
    }

    /// Runs blocking work elsewhere, so that the runtime goes on.
    pub async fn elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        outboard_kit::elsewhere(work).await
    }

    /// A case of the suite's host program, with the plugin of this combination and the case's
    /// directory as that for temporary files.
    pub fn suite_host(&self, mode: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(HOST);
        command
            .args([self.on.host.to_string(), self.on.transport.to_string()])
            .args(mode)
            .arg(PLUGIN)
            .args([self.on.plugin.to_string(), self.on.transport.to_string()])
            .env("TMPDIR", &self.dir);
        command
    }
}

impl Rig {
    async fn of(plugin: RunningPlugin) -> Self {
        Self {
            probe: plugin.dispense(PROBE).await.expect("no names are given"),
            process: plugin.dispense(PROCESS).await.expect("no names are given"),
            plugin,
        }
    }

    /// Ends the plugin in good order.
    pub async fn shutdown(self) {
        let report = self.plugin.shutdown().await.expect("it ends by itself");
        assert!(report.exit.success(), "{report}");
    }

    pub fn pid(&self) -> u32 {
        self.plugin.pid().expect("it runs")
    }
}

/// How long `future` took.
pub async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let began = Instant::now();
    let output = future.await;
    (output, began.elapsed())
}
