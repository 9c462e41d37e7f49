//! The host's side.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use outboard_core::handshake::Handshake;
use outboard_core::hclog::{Level, Record};
use outboard_core::reattach::ReattachConfig;
use outboard_core::rpc::Transport;
use outboard_core::rt::{Runner, SharedRuntime};
use outboard_core::supervisor::Supervision;

use super::engine::Engine;
use super::forward::forward;
use super::wait::{assert_may_block, wait};
use super::{Plugin, RunningPlugin, Supervised};
use crate::command::Command;
use crate::host::{Checksum, ConfigError, HostError, Managed};
use crate::memory;
use crate::supervisor::StartLimit;

/// A host, as [`outboard::Host`](crate::Host), in programs without async: how a plugin is to be launched
/// and used.
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use outboard::blocking::Host;
/// use outboard::{Command, Handshake};
///
/// const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
///
/// let plugin = Host::new(HANDSHAKE).command(Command::new("./greeter")).start()?;
/// plugin.ping()?;
/// plugin.shutdown()?;
/// # Ok(())
/// # }
/// ```
///
/// What goes on in the background (connections, output, logs, ends) does so on one thread, which all blocking
/// hosts of the program share and which ends with the last of their plugins. Hooks and writers are called
/// there: they may not make blocking calls of this library, and should not block for long.
#[derive(Clone, Debug)]
#[must_use = "a host does nothing until it is started"]
pub struct Host(pub(super) crate::Host);

impl Host {
    /// A host of plugins with this handshake, over gRPC, or over stdio in a build without gRPC.
    pub fn new(handshake: Handshake) -> Self {
        Self(crate::Host::new(handshake))
    }

    /// Launches the plugin, shakes hands and connects; or connects to the one that it is to
    /// [attach](Self::attach) to. On every way out but success nothing of the plugin is left running.
    ///
    /// # Errors
    /// [`HostError`] says whether the host is set up wrongly or the plugin did not start, in which phase, and
    /// what was seen of it.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn start(&self) -> Result<RunningPlugin, HostError> {
        // Before there is anything that a panic would have to undo.
        assert_may_block();
        let engine = Self::engine()?;
        let runtime = engine.runtime();
        start(&self.0, &runtime, engine)
    }

    /// Starts `plugin` in this process, in memory, for tests and for programs that bring a plugin along; see
    /// [`memory::start`](crate::memory::start).
    ///
    /// # Errors
    /// Those of [`start`](Self::start); also if the host is to attach to a plugin.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn start_in_memory(&self, plugin: Plugin) -> Result<RunningPlugin, HostError> {
        assert_may_block();
        let engine = Self::engine()?;
        let (host, runtime) = memory::prepare(&self.0, plugin.into(), engine.runtime())?;
        start(&host, &runtime, engine)
    }

    /// Keeps a plugin of this host up, as the policy says: the clients of what it dispenses stay valid when its
    /// process is another; see [`Host::supervise`](crate::Host::supervise). Nothing is waited for.
    ///
    /// # Errors
    /// [`ConfigError::NoThread`] alone: whatever else is wrong shows in the plugin's state.
    pub fn supervise(&self, policy: Supervision) -> Result<Supervised, HostError> {
        let engine = Self::engine()?;
        let plugin = self.0.supervise(policy, engine.runtime());
        Ok(Supervised::new(plugin, engine))
    }

    fn engine() -> Result<Engine, ConfigError> {
        Engine::get().map_err(|error| ConfigError::NoThread(error.into()))
    }

    /// Writers of what the plugin prints on its stdout, made by `make` for each start; see
    /// [`Host::sync_stdout`](crate::Host::sync_stdout).
    pub fn sync_stdout<W>(self, make: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Write + Send + 'static,
    {
        Self(self.0.sync_stdout(make))
    }

    /// Writers of what the plugin prints on its stderr; see
    /// [`Host::sync_stderr`](crate::Host::sync_stderr).
    pub fn sync_stderr<W>(self, make: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Write + Send + 'static,
    {
        Self(self.0.sync_stderr(make))
    }

    /// Writers of the lines of the plugin's stderr as they come; see
    /// [`Host::log_sink`](crate::Host::log_sink).
    pub fn log_sink<W>(self, make: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Write + Send + 'static,
    {
        Self(self.0.log_sink(make))
    }
}

fn start(
    host: &crate::Host,
    runtime: &SharedRuntime,
    engine: Engine,
) -> Result<RunningPlugin, HostError> {
    let (started, gone) = host.start_leased(runtime);
    let plugin = wait(started)?;
    Ok(RunningPlugin::new(plugin, gone, engine))
}

forward! { Host:
    command(command: impl Into<Command>);
    attach(record: ReattachConfig);
    name(name: impl Into<String>);
    versions(versions: impl IntoIterator<Item = impl Into<i64>>);
    plugins(version: impl Into<i64>, names: impl IntoIterator<Item = impl Into<String>>);
    inherit_env(inherit: bool);
    ports(min: u16, max: u16);
    socket_group(group: impl Into<String>);
    socket_dir(dir: impl Into<PathBuf>);
    private_socket_dir(private: bool);
    sweep(sweep: bool);
    allow_users(users: impl IntoIterator<Item = u32>);
    allow_any_user(allow: bool);
    start_timeout(timeout: Duration);
    shutdown_grace(grace: Duration);
    terminate_grace(grace: Duration);
    reap_timeout(timeout: Duration);
    last_output_within(within: Duration);
    reconnect_within(within: Duration);
    kill_unreachable(kill: bool);
    max_message_size(bytes: usize);
    transport(transport: impl Transport);
    runner(runner: impl Runner);
    managed(group: &Managed);
    start_limit(limit: &StartLimit);
    checksum(checksum: Checksum);
    on_log(hook: impl Fn(&Record) + Send + Sync + 'static);
    log_rate(records_per_second: u32);
    log_level(level: Level);
    log_level_variables(names: impl IntoIterator<Item = impl Into<String>>);
    figures(count: bool);
    parse_log(parse: bool);
}

#[cfg(feature = "multiplex")]
forward! { Host:
    multiplex(multiplex: bool);
}

#[cfg(feature = "tls")]
forward! { Host:
    auto_mtls(wanted: bool);
    identity_key(kind: crate::tls::KeyKind);
    identity(identity: crate::tls::Identity);
    tls(tls: crate::tls::Tls);
}

/// What is set holds here as well.
impl From<crate::Host> for Host {
    fn from(host: crate::Host) -> Self {
        Self(host)
    }
}
