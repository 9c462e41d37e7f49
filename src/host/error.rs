//! What can go wrong for a host once its plugin runs, and before it is launched.

use std::fmt;
use std::time::Duration;

use outboard_core::handshake::MisconfiguredHandshake;
use outboard_core::host::StartError;
use outboard_core::rpc::Status;

use super::running::{ExitReport, Health};

/// Why a plugin could not be had.
///
/// Its `Debug` form is the text for people with all causes, since that is what a `main` that
/// returns the error prints.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The host itself is not set up right; nothing was launched.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The plugin did not start, and its process, if there was one, is gone.
    #[error("plugin {name}")]
    Start {
        /// The plugin's name.
        name: String,
        /// Why, with what was seen of it.
        #[source]
        error: Box<StartError>,
    },
    /// The runtime was shut down while the plugin started; its process is gone.
    #[error("plugin {name}: the async runtime was shut down while it started")]
    RuntimeGone {
        /// The plugin's name.
        name: String,
    },
}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::chain(self))
    }
}

/// How a host is set up wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no command.
    #[error("the host has no command to launch: call Host::command")]
    NoCommand,
    /// The handshake has no cookie.
    #[error(transparent)]
    Handshake(#[from] MisconfiguredHandshake),
    /// No transport is compiled in or chosen.
    #[error("the host speaks no transport: enable the feature \"h2\" or call Host::transport")]
    NoTransport,
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// The plugin has ended.
    #[error("the plugin {name} {report}")]
    Exited {
        /// The plugin's name.
        name: String,
        /// How it ended.
        report: ExitReport,
    },
    /// The plugin refused.
    #[error("the plugin did not dispense the interface")]
    Refused(#[source] Status),
}

/// Why a ping failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The health call itself failed.
    #[error("the plugin's health could not be asked for")]
    Call(#[source] Status),
    /// The plugin answered, but is not serving.
    #[error("the plugin answers that it is not serving ({0:?})")]
    NotServing(Health),
}

/// Why a shutdown was not one in good order. The plugin is gone in every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The plugin was asked to end, did not, and was killed.
    #[error(
        "the plugin {name} did not end within {grace:?} after it was asked to, so it was killed; \
         raise Host::shutdown_grace if it needs longer"
    )]
    GraceExpired {
        /// The plugin's name.
        name: String,
        /// The grace period.
        grace: Duration,
    },
    /// The plugin cannot be asked to end, did not end by itself, and was killed.
    #[error(
        "the plugin {name} has no controller (the service plugin.GRPCController), so it cannot be \
         asked to end; it did not by itself within {grace:?} and was killed. If that is how it is \
         to end, RunningPlugin::kill does not wait"
    )]
    NoController {
        /// The plugin's name.
        name: String,
        /// The grace period.
        grace: Duration,
    },
    /// The plugin could not be reached to be asked to end, and was killed.
    #[error(
        "the connection to the plugin {name} was lost and could not be made again within {grace:?} \
         to ask it to end, so it was killed"
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
