//! The host's side: launching a plugin and using it.

mod attach;
mod begin;
mod checksum;
mod contract;
mod diagnosis;
mod driver;
mod ends;
mod error;
mod explain;
mod figures;
mod in_memory;
mod lease;
mod link;
mod log_level;
mod logs;
mod managed;
mod origin;
mod output;
mod pipes;
mod places;
mod printed;
mod process;
mod progress;
mod report;
mod running;
mod security;
mod shared;
mod sockets;
mod standing;
mod supervised;
mod sync;
#[cfg(all(test, unix, feature = "tokio", feature = "h2"))]
mod tests;
mod uplink;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use outboard_core::env::UNIX_SOCKET_DIR;
use outboard_core::handshake::Handshake;
use outboard_core::host as machine;
use outboard_core::reattach::ReattachConfig;
use outboard_core::rpc::{DEFAULT_MAX_MESSAGE_SIZE, Transport};
use outboard_core::rt::{Launch, Runner, SharedRunner, SharedRuntime, Stdin};

use crate::broker::ListenPolicy;
use crate::command::Command;
use crate::supervisor::StartLimit;
use crate::time;

pub use self::attach::AttachError;
pub use self::checksum::Checksum;
pub use self::error::{ConfigError, DispenseError, HostError, PingError, ShutdownError};
pub use self::logs::LOG_TARGET;
pub use self::managed::{Managed, ManagedGuard};
pub use self::origin::NoRecord;
pub use self::report::{EndStage, ExitReason, ExitReport, StageOutcome, StageReport};
pub use self::running::RunningPlugin;
pub(crate) use self::supervised::Ended;
pub use crate::peer::{Health, LevelAnswer};

use self::begin::{drive, share};
use self::driver::DriverParts;
use self::lease::Lease;
use self::logs::{LOG_RATE, LogHook, LogPump};
use self::pipes::Pipes;
use self::process::Running;
use self::sync::{MakeWriter, SyncWriters};

/// A host: how a plugin is to be launched and used. go-plugin calls this a client.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use outboard::{Command, Handshake, Host, Tokio};
///
/// const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
///
/// let plugin = Host::new(HANDSHAKE)
///     .command(Command::new("./greeter"))
///     .start(Tokio::current())
///     .await?;
/// plugin.ping().await?;
/// plugin.shutdown().await?;
/// # Ok(())
/// # }
/// ```
///
/// A host can be started any number of times, also at once, and cloned to change something first:
/// each start is a plugin of its own.
///
/// ```no_run
/// # async fn example(host: outboard::Host) -> Result<(), Box<dyn std::error::Error>> {
/// # use outboard::Tokio;
/// let one = host.start(Tokio::current()).await?;
/// let another = host.clone().name("another").start(Tokio::current()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a host does nothing until it is started"]
pub struct Host {
    handshake: Handshake,
    command: Option<Command>,
    attach: Option<ReattachConfig>,
    name: Option<String>,
    inherit_env: bool,
    ports: (u16, u16),
    socket_group: Option<String>,
    socket_dir: Option<PathBuf>,
    private_socket_dir: bool,
    sweep: bool,
    start_timeout: Option<Duration>,
    terminate_grace: Option<Duration>,
    reap_timeout: Option<Duration>,
    reconnect_within: Option<Duration>,
    kill_unreachable: bool,
    multiplex: bool,
    transports: Vec<Arc<dyn Transport>>,
    runner: SharedRunner,
    managed: Option<Managed>,
    start_limit: Option<StartLimit>,
    lease: Option<Lease>,
    checksum: Option<Checksum>,
    security: security::Wanted,
    sync_stdout: Option<MakeWriter>,
    sync_stderr: Option<MakeWriter>,
    log_sink: Option<MakeWriter>,
    on_log: Option<LogHook>,
    log: bool,
    log_rate: u32,
    log_level: log_level::Wanted,
    settings: Settings,
}

/// What stays of the configuration while the plugin runs.
#[derive(Clone)]
pub(crate) struct Settings {
    max_message_size: usize,
    shutdown_grace: Duration,
    last_output_within: Duration,
    listen: ListenPolicy,
    /// Whether calls are counted.
    figures: bool,
    /// The names of the plugins per version, where the user told them.
    plugins: BTreeMap<i64, Option<Vec<String>>>,
}

impl Settings {
    fn names_of(&self, version: i64) -> Option<&[String]> {
        self.plugins.get(&version)?.as_deref()
    }
}

impl Host {
    /// A host of plugins with this handshake, over gRPC, or over stdio in a build without gRPC.
    pub fn new(handshake: Handshake) -> Self {
        Self {
            handshake,
            command: None,
            attach: None,
            name: None,
            inherit_env: true,
            ports: (0, 0),
            socket_group: None,
            socket_dir: None,
            private_socket_dir: true,
            sweep: true,
            start_timeout: None,
            terminate_grace: None,
            reap_timeout: None,
            reconnect_within: None,
            kill_unreachable: false,
            multiplex: false,
            transports: Vec::new(),
            runner: crate::runner::local(),
            managed: None,
            start_limit: None,
            lease: None,
            checksum: None,
            security: security::Wanted::default(),
            sync_stdout: None,
            sync_stderr: None,
            log_sink: None,
            on_log: None,
            log: true,
            log_rate: LOG_RATE,
            log_level: log_level::Wanted::default(),
            settings: Settings {
                max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
                shutdown_grace: Duration::from_secs(2),
                last_output_within: Duration::from_secs(5),
                listen: ListenPolicy::default(),
                figures: false,
                plugins: BTreeMap::new(),
            },
        }
    }

    /// What to launch. Without a path separator in its name, the program is looked up in `PATH`.
    pub fn command(mut self, command: impl Into<Command>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// What to call this plugin in logs and errors; the program's file name if this is not called.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Offers these versions of the interface. Without this, and without
    /// [`plugins`](Self::plugins), the handshake's own version is offered. The highest that the
    /// plugin has too is used. 0 is a version like any other.
    pub fn versions<V: Into<i64>>(mut self, versions: impl IntoIterator<Item = V>) -> Self {
        for version in versions {
            self.settings.plugins.entry(version.into()).or_default();
        }
        self
    }

    /// Offers this version and says which plugins it has, so that a mistyped name is an error of
    /// [`dispense`](RunningPlugin::dispense) instead of one of the first call. Calls for the same
    /// version add up; a name that is given twice in it is an error of the start.
    pub fn plugins(
        mut self,
        version: impl Into<i64>,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let known = self.settings.plugins.entry(version.into()).or_default();
        known
            .get_or_insert_default()
            .extend(names.into_iter().map(Into::into));
        self
    }

    /// Whether the plugin gets the host's environment; it does unless this is called. As in
    /// go-plugin, the host's variables win over those of [`Command::env`], and the variables of the
    /// handshake over both; [`Command::env_override`] and [`Command::env_remove`] win over the
    /// host's. Variables of the handshake that the host itself was launched with are
    /// never passed on.
    pub fn inherit_env(mut self, inherit: bool) -> Self {
        self.inherit_env = inherit;
        self
    }

    /// The TCP ports a plugin may listen on, where it does not use a unix socket. go-plugin's 10000
    /// to 25000 if this is not called.
    pub fn ports(mut self, min: u16, max: u16) -> Self {
        self.ports = (min, max);
        self
    }

    /// Lets the members of a group, given by name or number, connect to the plugin's sockets and
    /// those of the host's broker.
    pub fn socket_group(mut self, group: impl Into<String>) -> Self {
        self.socket_group = Some(group.into());
        self
    }

    /// Where the plugin and the host's broker make their unix sockets: in a directory of this
    /// plugin's own within this one, see [`private_socket_dir`](Self::private_socket_dir). The
    /// directory must exist; the system's directory for temporary files if this is not called.
    pub fn socket_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.socket_dir = Some(dir.into());
        self
    }

    /// Whether each launch has a directory of its own, `plugin-dir` and a number, for its unix sockets
    /// and for the pipes that a plugin of outboard prints into; it is removed with all that is in it
    /// when the plugin has ended. It has unless this is called with `false`. Only this user may enter it, and the members of the
    /// [`socket_group`](Self::socket_group) if there is one.
    ///
    /// A host that [attaches](Self::attach) has one for what its broker serves alone; it goes with the host.
    ///
    /// Without it the plugin's sockets are made in the [`socket_dir`](Self::socket_dir), or where the
    /// plugin itself keeps temporary files, and one that is killed before it has said where it
    /// listens leaves its socket behind. What a plugin prints comes over the connection then, as from
    /// one in Go, and is lost with it as far as a plugin that crashes has not sent it. That is for
    /// programs that run as another user or with other
    /// directories than this host: wrappers that change the user, containers.
    ///
    /// Where the sockets in it would have too long a path (107 bytes are the limit on Linux, about 50 of
    /// which the names take), it is made in `XDG_RUNTIME_DIR`, or else in `/tmp`. There is none either where none
    /// can be made, which is logged at debug. Where [`Command::env`] sets
    /// `PLUGIN_UNIX_SOCKET_DIR` and `socket_dir` is not called, the sockets are where that says.
    pub fn private_socket_dir(mut self, private: bool) -> Self {
        self.private_socket_dir = private;
        self
    }

    /// How long each phase of the start may take: launch, handshake, connection. 60 s if this is
    /// not called; [`Duration::MAX`] for no limit.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = Some(timeout);
        self
    }

    /// How long a connection that is lost while the plugin's process lives is tried to be made
    /// again: 10 s if this is not called, zero for not at all, [`Duration::MAX`] for no limit. The
    /// first try comes at once, later ones after pauses of up to a second.
    ///
    /// Calls in flight fail when a connection is lost, with a status for which
    /// [`Status::is_connection_lost`](crate::Status::is_connection_lost) holds; later calls wait for
    /// the new connection, within their own timeouts. Where the plugin merely wants a new connection
    /// (HTTP/2's GOAWAY, as Go servers send at a connection's maximal age) no call fails. After
    /// that time [`is_disconnected`](RunningPlugin::is_disconnected) holds and calls fail at once.
    ///
    /// Of no effect over stdio, since the pipes of a process cannot be made again, and over net/rpc, where
    /// what was dispensed lives with its connection.
    pub fn reconnect_within(mut self, within: Duration) -> Self {
        self.reconnect_within = Some(within);
        self
    }

    /// Whether all goes over one connection, brokered calls as well, as with go-plugin's
    /// `GRPCBrokerMultiplex`: where plugins can be reached at one address only, or files of sockets are not
    /// wanted. Sockets of their own are used unless this is called. A plugin over gRPC that cannot
    /// multiplex is an error of the start, which says what to do.
    ///
    /// The plugin takes that one connection and no other: once it is lost, calls fail for good.
    ///
    /// Of no effect over stdio, where everything goes over the plugin's pipes anyway, and over net/rpc, which
    /// always has one connection.
    #[cfg(feature = "multiplex")]
    pub fn multiplex(mut self, multiplex: bool) -> Self {
        self.multiplex = multiplex;
        self
    }

    /// The largest message either side may send, in bytes: calls in both directions and brokered
    /// ones. 2^31 - 1 if this is not called, as in go-plugin's host.
    ///
    /// Whatever its size, a message that is nested deeper than 100 fails its call where it is decoded. Over
    /// net/rpc the limits of gob apply as well.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.settings.max_message_size = bytes;
        self
    }

    /// Speaks this transport, and of the others only those chosen in the same way. The plugin uses
    /// the first that it has too.
    ///
    /// A plugin over Go's net/rpc needs `NetRpc` here (feature `netrpc`): go-plugin's `AllowedProtocols`.
    ///
    /// With [`Stdio`](crate::Stdio) among them the plugin's stdin is a pipe, and no longer the
    /// host's own.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transports.push(Arc::new(transport));
        self
    }

    /// How the plugin's process comes about and ends: a child of this process unless this is called.
    ///
    /// A runner can start it behind another command or in a container (see [`runner`](crate::runner)),
    /// or, one of your own, on another machine. It translates the addresses between there and here.
    /// With a runner that has a name of its own for what it runs, there need be no
    /// [`command`](Self::command).
    pub fn runner(mut self, runner: impl Runner) -> Self {
        self.runner = Arc::new(runner);
        self
    }

    /// Adds the plugins that this host starts to a group, which one call ends.
    pub fn managed(mut self, group: &Managed) -> Self {
        self.managed = Some(group.clone());
        self
    }

    /// Launches the plugin, shakes hands and connects; or connects to the one that it is to
    /// [attach](Self::attach) to.
    ///
    /// On every way out but success nothing of the plugin is left running. Dropping the future
    /// kills what was started. It does not borrow the host, and nothing happens before it is polled.
    ///
    /// # Errors
    /// [`HostError`] says whether the host is set up wrongly or the plugin did not start, in which
    /// phase, and what was seen of it.
    pub fn start<R: Into<SharedRuntime>>(
        &self,
        runtime: R,
    ) -> impl Future<Output = Result<RunningPlugin, HostError>> + Send + use<R> {
        self.clone().launch(runtime.into())
    }

    async fn launch(mut self, runtime: SharedRuntime) -> Result<RunningPlugin, HostError> {
        let _place = match self.start_limit.take() {
            Some(limit) => Some(limit.place().await),
            None => None,
        };
        if let Some(record) = self.attach.take() {
            return self.take_over(record, runtime).await;
        }
        let (command, name) = self.command_and_name()?;
        let group = self.group()?;
        let feed = command.stdin_bytes.clone();
        let contract = self.contract(feed.is_some())?;
        let guarded = command.guarded && !command.outlive_host;
        if guarded && !self.runner.guards() {
            return Err(ConfigError::NoGuard.into());
        }
        let here = self.runner.shares_files();
        let mut launch = Launch::new(command.program(here));
        launch.dir.clone_from(&command.dir);
        self.check(&mut launch, &name).await?;
        let (secure, (mut env, expectation)) = self.security.begin(self.has_sockets(), contract)?;
        let offers_stdio = self.transports.iter().any(|t| !t.protocol().has_socket());
        let (own_env, host_env) = command.environment(std::env::vars_os());
        // Code of the user's: before there is anything to be left behind.
        let sync = SyncWriters::new(self.sync_stdout.as_ref(), self.sync_stderr.as_ref());
        let log_sink = self.log_sink.as_ref().map(|make| make());
        let (dir, swept) = self.make_private_dir(&name, guarded)?;
        let mut printed = None;
        if let Some(dir) = &dir {
            printed = self.make_output_pipes(&runtime, dir, &name);
            if printed.is_some() {
                env = env.output_dir(dir.path());
            }
            let asked = |(variable, _): &(OsString, OsString)| variable == UNIX_SOCKET_DIR;
            let elsewhere = self.socket_dir.is_none() && own_env.iter().any(asked);
            if self.has_sockets() && !elsewhere {
                env = env.socket_dir(dir.path());
                self.socket_dir = Some(dir.path().to_owned());
            }
        }
        launch.args = command.args;
        launch.own_env = env.merge(own_env.clone(), [], true);
        launch.env = env.merge(own_env, host_env, !self.inherit_env);
        launch.socket_dir = dir.as_ref().map(|dir| dir.path().to_owned());
        launch.socket_group = self.socket_group.clone();
        // The pipes of a plugin that will not use them for calls cost nothing.
        launch.stdin = if offers_stdio || feed.is_some() {
            Stdin::Pipe
        } else {
            command.stdin
        };
        launch.outlive_parent = command.outlive_host;
        launch.spare_descendants = command.spare_descendants;
        launch.process_group = command.process_group;
        launch.guarded = guarded;
        let mut config = self.machine(expectation);
        config.direct_output = printed.is_some();
        let shared = share(
            name.clone(),
            self.settings,
            self.socket_dir,
            self.socket_group,
            sync,
        );
        match &mut printed {
            Some(printed) => printed.start(&runtime, &shared),
            None => shared.set_printed_ended(),
        }
        let logs = LogPump::new(name.clone(), self.log, log_sink, self.on_log, self.log_rate);
        let parts = DriverParts {
            runtime: Arc::clone(&runtime),
            machine: machine::Host::new(config, runtime.now()),
            program: here.then(|| (PathBuf::from(&launch.program), launch.dir.clone())),
            process: Running::to_be_launched(self.runner, launch).fed(feed),
            attached: None,
            addresses: None,
            pipes: Pipes::new(printed, logs),
            dir,
            transports: self.transports,
            secure,
            shared: Arc::clone(&shared),
            lease: self.lease,
        };
        let driven = drive(parts, group).await;
        // Long done, as a rule. Whoever has started a plugin need not wonder what is still at work.
        let _done = swept.await;
        match driven? {
            Ok(plugin) => Ok(plugin),
            Err(error) => {
                let limit = time::sleep(&runtime, shared.settings().last_output_within);
                select(shared.printed_ended(), limit).await;
                shared.printed.end();
                Err(HostError::Start {
                    name,
                    error: Box::new(error),
                })
            }
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("handshake", &self.handshake)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}
