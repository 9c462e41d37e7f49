//! What can go wrong for a host once its plugin runs, and before it is launched.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use outboard_core::checksum::ChecksumError;
use outboard_core::fault::Fault;
use outboard_core::handshake::MisconfiguredHandshake;
use outboard_core::host::StartError;
use outboard_core::rpc::Status;

use super::attach::AttachError;
use super::report::ExitReport;
use crate::client::Misfit;
use crate::peer::Health;

/// Why a plugin could not be had.
///
/// The `Display` form is one line: which plugin, and what went wrong. For a plugin that did not
/// start, `source` gives the [`Evidence`](crate::Evidence): what it wrote on stderr,
/// what may have been the mistake, and facts about its file. The `Debug` form is all of it, since
/// that is what a `main` that returns the error prints.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostError {
    /// The host itself is not set up right; nothing was launched.
    Config(ConfigError),
    /// The program's checksum is not the expected one, or could not be had; nothing was launched.
    Checksum {
        /// The plugin's name.
        name: String,
        /// Why, with the file and both digests.
        error: Box<ChecksumError>,
    },
    /// The plugin did not start, and its process, if there was one, is gone.
    Start {
        /// The plugin's name.
        name: String,
        /// Why, with what was seen of it.
        error: Box<StartError>,
    },
    /// There is no plugin to attach to, or not one that this host can use; nothing was done to it.
    Attach {
        /// The plugin's name.
        name: String,
        /// Why.
        error: Box<AttachError>,
    },
    /// The runtime was shut down while the plugin started; its process is gone.
    RuntimeGone {
        /// The plugin's name.
        name: String,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Checksum { name, error } => write!(f, "plugin {name}: {error}"),
            Self::Start { name, error } => write!(f, "plugin {name}: {error}"),
            Self::Attach { name, error } => write!(f, "plugin {name}: {error}"),
            Self::RuntimeGone { name } => write!(
                f,
                "plugin {name}: the async runtime was shut down while it started"
            ),
        }
    }
}

impl Error for HostError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            // The line holds it already.
            Self::Checksum { error, .. } => error.source(),
            Self::Start { error, .. } => error.source(),
            Self::Attach { error, .. } => error.source(),
            Self::RuntimeGone { .. } => None,
        }
    }
}

impl From<ConfigError> for HostError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

outboard_core::debug_as_text!(
    HostError,
    ConfigError,
    DispenseError,
    PingError,
    ShutdownError
);

/// How a host is set up wrongly.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no command.
    #[error("the host has no command to launch: call Host::command, or Host::attach")]
    NoCommand,
    /// The host has both a command and a plugin to attach to.
    #[error(
        "the host has a command and is to attach to a plugin that runs: keep Host::command or \
         Host::attach"
    )]
    TwoWaysToStart,
    /// The host is to attach to a plugin, and to start one in memory.
    #[error(
        "the host is to attach to a plugin that runs, and to start another in memory: keep Host::attach, \
         or memory::start with a host that does not attach"
    )]
    MemoryAndAttach,
    /// The host is to attach to a plugin, and to keep one up.
    #[error(
        "the host is to attach to a plugin that runs, and to start one anew whenever it ends: call \
         Host::command in place of Host::attach, or Host::start in place of Host::supervise"
    )]
    SuperviseAndAttach,
    /// The host is to multiplex and to attach.
    #[error(
        "the host is to attach to a plugin and to multiplex, which go together with no plugin: one that \
         multiplexes takes one connection. Keep Host::multiplex or Host::attach"
    )]
    MultiplexAndAttach,
    /// The host is to check a program, and to attach to what runs already.
    #[error(
        "the host is to check the checksum of a program and to attach to a plugin that runs, whose program \
         nobody has checked: keep Host::checksum or Host::attach"
    )]
    ChecksumAndAttach,
    /// The handshake has no cookie.
    #[error(transparent)]
    Handshake(#[from] MisconfiguredHandshake),
    /// No transport is compiled in or chosen.
    #[error("the host speaks no transport: enable the feature \"h2\" or call Host::transport")]
    NoTransport,
    /// [`Host::plugins`](crate::Host::plugins) was given a name twice in one version.
    #[error("the host was told of plugin {name:?} twice in version {version}: give each name once")]
    DuplicateName {
        /// The name.
        name: String,
        /// The version.
        version: i64,
    },
    /// Both AutoMTLS and TLS of the application's own are asked for.
    #[error(
        "the host asks for AutoMTLS and has TLS of its own: keep Host::auto_mtls or Host::tls, \
         whichever the plugin has"
    )]
    TwoKindsOfTls,
    /// The host's TLS cannot be used.
    #[error("the host's TLS cannot be used: {cause}")]
    Tls {
        /// Why.
        cause: String,
    },
    /// The plugins of the host's group have been ended.
    #[error(
        "the host belongs to a group of plugins that were ended (Managed::end_all, or its guard): it \
         starts nothing any more"
    )]
    GroupOver,
    /// The plugin was to be guarded.
    #[error(
        "the plugin cannot be guarded as Command::guarded asks: this host's runner, or this system, has no \
         guards (Linux has, for children of the host, with the /proc of their own pid namespace)"
    )]
    NoGuard,
    /// Calls were to go over the plugin's stdin, which has bytes of the user's.
    #[error(
        "the plugin's stdin cannot have both the bytes of Command::stdin_bytes and calls: leave out the \
         transport Stdio"
    )]
    StdinTaken,
    /// There is no thread for what a blocking host does in the background.
    #[error(
        "the host needs a thread for what goes on in the background, and the system gives none: {0}. Is a limit \
         of threads or processes reached (ulimit -u, the cgroup's pids.max)?"
    )]
    NoThread(Fault),
    /// The lowest port is above the highest.
    #[error("the port range {min} to {max} is empty: give the lower port first")]
    EmptyPortRange {
        /// The lowest port asked for.
        min: u16,
        /// The highest port asked for.
        max: u16,
    },
}

/// Why no client could be dispensed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DispenseError {
    /// The host was told which plugins there are, and this is none of them.
    #[error(
        "there is no plugin {name:?} in version {version}; this host knows {}",
        Names(known)
    )]
    UnknownPlugin {
        /// The name asked for.
        name: String,
        /// The negotiated version.
        version: i64,
        /// The names of that version.
        known: Vec<String>,
    },
    /// The plugin provides nothing under this name, as it tells itself: over stdio.
    #[error(
        "the plugin provides nothing under the name {name:?} in version {version}; its names are {}",
        Quoted(provided)
    )]
    NotProvided {
        /// The name asked for.
        name: String,
        /// The negotiated version.
        version: i64,
        /// The names under which it provides interfaces, as it tells them.
        provided: Vec<String>,
    },
    /// The plugin has ended.
    #[error("the plugin {name} {report}")]
    Exited {
        /// The plugin's name.
        name: String,
        /// How it ended.
        report: ExitReport,
    },
    /// The client that was asked for is of another protocol than the plugin speaks.
    #[error("{name:?} cannot be had as this client: {misfit}")]
    OtherProtocol {
        /// The name asked for.
        name: String,
        /// Which two they are.
        misfit: Misfit,
    },
    /// The plugin refused.
    #[error("the plugin did not dispense the interface: {0}")]
    Refused(Status),
}

/// Why a ping failed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The health call itself failed.
    #[error("the plugin's health could not be asked for: {0}")]
    Call(Status),
    /// The plugin answered, but is not serving.
    #[error("the plugin answers that it {0}")]
    NotServing(Health),
}

/// Why a shutdown was not one in good order. The plugin is gone in every case.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The plugin was asked to end, did not, and was ended by force.
    #[error(
        "the plugin {name} did not end within {grace:?} after it was asked to, so it was ended by force; \
         raise Host::shutdown_grace if it needs longer"
    )]
    GraceExpired {
        /// The plugin's name.
        name: String,
        /// The grace period.
        grace: Duration,
    },
    /// The plugin cannot be asked to end, did not end by itself, and was ended by force.
    #[error(
        "the plugin {name} has no controller (the service plugin.GRPCController), so it cannot be \
         asked to end; it did not by itself within {grace:?} and was ended by force. If that is how it is \
         to end, RunningPlugin::kill does not wait"
    )]
    NoController {
        /// The plugin's name.
        name: String,
        /// The grace period.
        grace: Duration,
    },
    /// The plugin could not be reached to be asked to end, and was ended by force.
    #[error(
        "the connection to the plugin {name} was lost and could not be made again within {grace:?} \
         to ask it to end, so it was ended by force"
    )]
    NotAsked {
        /// The plugin's name.
        name: String,
        /// The grace period.
        grace: Duration,
    },
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.0.join(", "))
    }
}

/// Names that the plugin told, which may be many, and any text.
struct Quoted<'a>(&'a [String]);

/// How many of them are shown.
const MOST_QUOTED: usize = 16;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (before, name) in self.0.iter().take(MOST_QUOTED).enumerate() {
            let comma = if before > 0 { ", " } else { "" };
            write!(f, "{comma}{name:?}")?;
        }
        match self.0.len().saturating_sub(MOST_QUOTED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
