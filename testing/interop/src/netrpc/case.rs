//! A plugin over net/rpc under a Rust host, on each runtime, with and without AutoMTLS, and what is left of
//! it afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use outboard::hclog::Record;
use outboard::netrpc::Instance;
use outboard::rt::SharedRuntime;
use outboard::{Command, ExitReport, Host, NetRpc, Protocol, RunningPlugin};
use outboard_conformance::axes::RuntimeKind;
use tempfile::TempDir;

use crate::rust_host::recorder::Recorder;
use crate::rust_host::{HANDSHAKE, Language};
use crate::tls::on;
use crate::{GoPeers, is_alive};

/// A plugin's program.
#[derive(Clone, Debug)]
pub struct Subject {
    program: PathBuf,
    /// What it is written in.
    pub language: Language,
}

impl Subject {
    /// That on go-plugin.
    #[must_use]
    pub fn go(peers: &GoPeers) -> Self {
        Self {
            program: peers.netrpc.clone(),
            language: Language::Go,
        }
    }

    /// That on outboard, built as this program.
    #[must_use]
    pub fn rust(program: &str) -> Self {
        Self {
            program: program.into(),
            language: Language::Rust,
        }
    }

    /// Whether it is go-plugin's.
    #[must_use]
    pub fn is_go(&self) -> bool {
        self.language == Language::Go
    }

    /// Runs a check on each runtime, with and without AutoMTLS.
    pub fn each(&self, check: impl AsyncFn(&Case<'_>)) {
        for runtime in [RuntimeKind::Tokio, RuntimeKind::Smol] {
            for tls in [false, true] {
                on(runtime, async |shared| {
                    let case = Case::new(self, runtime, shared, tls);
                    check(&case).await;
                    case.assert_nothing_left();
                });
            }
        }
    }

    /// Runs a check on each runtime.
    pub fn on_each_runtime(&self, check: impl AsyncFn(&Case<'_>)) {
        for runtime in [RuntimeKind::Tokio, RuntimeKind::Smol] {
            on(runtime, async |shared| {
                let case = Case::new(self, runtime, shared, false);
                check(&case).await;
                case.assert_nothing_left();
            });
        }
    }
}

/// One of these.
#[derive(Debug)]
pub struct Case<'a> {
    /// The plugin.
    pub subject: &'a Subject,
    /// That of the host.
    pub runtime: SharedRuntime,
    kind: RuntimeKind,
    tls: bool,
    /// Where all sockets are.
    dir: TempDir,
}

impl<'a> Case<'a> {
    fn new(subject: &'a Subject, kind: RuntimeKind, runtime: SharedRuntime, tls: bool) -> Self {
        Self {
            subject,
            runtime,
            kind,
            tls,
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    /// A host of the plugin in a mode, without a transport.
    pub fn bare_host(&self, mode: &str) -> Host {
        // The plugin's runtime is another one than the host's.
        let other = match self.kind {
            RuntimeKind::Smol => RuntimeKind::TokioThreads,
            _ => RuntimeKind::Smol,
        };
        let command = Command::new(&self.subject.program)
            .args([mode])
            .env("INTEROP_RUNTIME", other.to_string())
            .inherit_stdin(false);
        Host::new(HANDSHAKE)
            .command(command)
            .auto_mtls(self.tls)
            .socket_dir(self.dir.path())
            .start_timeout(Duration::from_secs(30))
    }

    /// A host of the plugin in a mode, over net/rpc.
    pub fn host(&self, mode: &str) -> Host {
        self.bare_host(mode).transport(NetRpc::new())
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(&self, mode: &str) -> Running {
        self.started(self.host(mode)).await
    }

    /// Starts this host.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn started(&self, host: Host) -> Running {
        let (stdout, stderr, log) = (Recorder::new(), Recorder::new(), Recorder::new());
        let hook = log.clone();
        let host = host
            .sync_stdout(stdout.writer())
            .sync_stderr(stderr.writer())
            .on_log(move |record| hook.extend(std::slice::from_ref(record)));
        let plugin = host.start(self.runtime.clone()).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{self:?}: {error:?}"));
        let pid = plugin.pid().expect("it runs");
        Running {
            plugin,
            pid,
            stdout,
            stderr,
            log,
        }
    }

    /// Starts it, and dispenses the greeter.
    ///
    /// # Panics
    /// If one of both fails.
    pub async fn greeter(&self) -> (Running, Instance) {
        let running = self.start("plain").await;
        assert_eq!(running.plugin.protocol(), Protocol::NetRpc);
        let greeter = running.greeter().await;
        (running, greeter)
    }

    /// Where all sockets are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// No file is left where sockets and directories are made.
    ///
    /// # Panics
    /// If one is.
    pub fn assert_nothing_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.dir())
            .expect("the directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left, [""; 0], "{self:?}");
    }
}

/// A plugin that runs.
#[derive(Debug)]
pub struct Running {
    /// Its handle.
    pub plugin: RunningPlugin,
    /// Its process.
    pub pid: u32,
    /// What it printed.
    pub stdout: Recorder<u8>,
    /// What it printed on stderr.
    pub stderr: Recorder<u8>,
    /// What it logged.
    pub log: Recorder<Record>,
}

impl Running {
    /// An instance.
    ///
    /// # Panics
    /// If it is not dispensed.
    pub async fn greeter(&self) -> Instance {
        let dispensed = self.plugin.dispense::<Instance>("greeter").await;
        dispensed.unwrap_or_else(|error| panic!("no greeter: {error:?}"))
    }

    /// Ends it in good order.
    ///
    /// # Panics
    /// If it does not end so.
    pub async fn end(self) -> ExitReport {
        let report = self.plugin.shutdown().await;
        let report = report.unwrap_or_else(|error| panic!("no end in good order: {error:?}"));
        assert!(report.exit.success(), "{report}");
        assert!(!is_alive(self.pid), "the process is still there");
        report
    }

    /// Drops the handle, which kills it.
    ///
    /// # Panics
    /// If the process stays.
    pub async fn drop_it(self) {
        let exited = self.plugin.exited();
        drop(self.plugin);
        let report = exited.await;
        assert!(!is_alive(self.pid), "it runs on: {report}");
    }
}
