//! What is expected of a plugin under a Rust host, whatever its language.
//!
//! Each function starts the plugin anew on a runtime of its own, uses it through outboard's
//! [`Host`] and asserts on what it sees; each panics when an expectation is not met. The plugin
//! takes the modes of `go-plugin-peer` as its arguments.

use std::ffi::OsString;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use outboard::{Client, Command, ExitReason, Handshake, Host, RunningPlugin, Stdio, Tokio};

use crate::proto::probe::{Observed, Probe as _, ProbeClient};
use crate::{GoPeers, PythonStdioPeer, is_alive};

pub mod calls;
pub mod checksum;
pub mod few_streams;
pub mod life;
pub mod output;
pub mod reconnect;
pub mod recorder;
pub mod refused;
pub mod services;
pub mod supervised;
pub mod told;
pub mod wrapped;

/// The handshake of go-plugin's examples, which all peers use.
pub const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// How long a scenario may take. Reached only by a failure.
const LIMIT: Duration = Duration::from_secs(90);

/// What a plugin is written in, where that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// On go-plugin.
    Go,
    /// On outboard.
    Rust,
    /// By hand, in the standard library alone.
    Python,
}

/// The plugin under test.
#[derive(Clone, Debug)]
pub struct Peer {
    program: OsString,
    /// What goes before the mode.
    arguments: Vec<OsString>,
    /// Whether its host speaks stdio, and nothing else.
    over_stdio: bool,
    /// What it is written in.
    pub language: Language,
    /// What its plain KV adds below a stored value.
    pub put_note: &'static str,
}

impl Peer {
    /// The Go plugin.
    #[must_use]
    pub fn go(peers: &GoPeers) -> Self {
        Self {
            program: peers.plugin.clone().into(),
            arguments: Vec::new(),
            over_stdio: false,
            language: Language::Go,
            put_note: "\n\nWritten from plugin-go-grpc",
        }
    }

    /// The Rust plugin, built as this program.
    #[must_use]
    pub fn rust(program: &str) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            over_stdio: false,
            language: Language::Rust,
            put_note: "\n\nWritten from plugin-rust",
        }
    }

    /// The Python plugin that speaks the stdio protocol.
    #[must_use]
    pub fn python(peer: &PythonStdioPeer) -> Self {
        let (program, arguments) = peer.command();
        Self {
            program,
            arguments,
            over_stdio: true,
            language: Language::Python,
            put_note: "\n\nWritten from plugin over stdio",
        }
    }

    /// The same under a host that speaks stdio, and nothing else.
    #[must_use]
    pub fn over_stdio(self) -> Self {
        Self {
            over_stdio: true,
            ..self
        }
    }

    /// Its command in a mode (and its arguments).
    #[must_use]
    pub fn command(&self, mode: &[&str]) -> Command {
        Command::new(&self.program)
            .args(&self.arguments)
            .args(mode)
            .inherit_stdin(false)
    }

    /// A host of it in a mode (and its arguments).
    pub fn host(&self, mode: &[&str]) -> Host {
        let host = Host::new(HANDSHAKE).command(self.command(mode));
        if self.over_stdio {
            host.transport(Stdio::new())
        } else {
            host
        }
    }

    /// Starts it in a mode.
    pub(crate) async fn start(&self, mode: &[&str]) -> RunningPlugin {
        start(self.host(mode)).await
    }

    /// Starts it with the probe, and dispenses that.
    pub(crate) async fn probe(&self) -> (RunningPlugin, ProbeClient) {
        dispense(self.start(&["probe"]).await, "probe").await
    }
}

/// Runs a scenario on a runtime of its own; one that takes too long ends the test program, also
/// when it blocks its thread.
///
/// # Panics
/// When there is no runtime to be had.
pub fn run<F: Future>(scenario: F) -> F::Output {
    run_on(tokio::runtime::Builder::new_current_thread(), scenario)
}

/// The same on a runtime with threads, which do something while the scenario waits for nothing.
pub(crate) fn run_threaded<F: Future>(scenario: F) -> F::Output {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.worker_threads(2);
    run_on(threads, scenario)
}

fn run_on<F: Future>(mut runtime: tokio::runtime::Builder, scenario: F) -> F::Output {
    let (done, waiting) = channel::<()>();
    std::thread::spawn(move || {
        if waiting.recv_timeout(LIMIT + LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a scenario blocks its thread");
            std::process::abort();
        }
    });
    let output = runtime
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async { tokio::time::timeout(LIMIT, scenario).await })
        .expect("the scenario ends in time");
    drop(done);
    output
}

/// Starts a plugin that must start.
pub(crate) async fn start(host: Host) -> RunningPlugin {
    host.start(Tokio::current())
        .await
        .unwrap_or_else(|error| panic!("the plugin does not start: {error:?}"))
}

/// A client of a plugin, beside its handle.
pub(crate) async fn dispense<C: Client>(plugin: RunningPlugin, name: &str) -> (RunningPlugin, C) {
    let client = plugin
        .dispense(name)
        .await
        .unwrap_or_else(|error| panic!("{name} is not dispensed: {error}"));
    (plugin, client)
}

/// Ends a plugin that must end by itself, with status 0.
///
/// # Panics
/// When it does not.
pub async fn end(plugin: RunningPlugin) {
    let pid = plugin.pid().expect("a running plugin");
    let report = plugin
        .shutdown()
        .await
        .unwrap_or_else(|error| panic!("no end in good order: {error}"));
    assert_eq!(report.reason, ExitReason::Shutdown, "{report}");
    assert!(report.exit.success(), "{report}");
    assert!(!is_alive(pid), "the process is still there");
}

/// Asks until the plugin's Sleep counts satisfy a condition. Each answer comes over the wire, so
/// this does not spin.
pub(crate) async fn observed(
    probe: &ProbeClient,
    condition: impl Fn(&Observed) -> bool,
) -> Observed {
    loop {
        let seen = probe
            .observe(crate::proto::probe::Nothing {})
            .await
            .expect("the plugin answers");
        if condition(&seen) {
            return seen;
        }
    }
}

/// Bytes whose content shows where they belong.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}
