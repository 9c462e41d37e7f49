//! What launching a plugin and attaching to one have in common.

use std::path::PathBuf;
use std::sync::Arc;

use futures_channel::{mpsc, oneshot};
use outboard_core::handshake::HostExpectation;
use outboard_core::host::{self as machine, StartError};

use super::driver::{Driver, DriverParts};
use super::shared::Shared;
use super::sync::SyncWriters;
use super::{ConfigError, Host, HostError, Managed, RunningPlugin, Settings};
use crate::broker::ListenPolicy;

impl Host {
    /// The group that the plugin is to be in, if that is not over.
    pub(super) fn group(&mut self) -> Result<Option<Managed>, ConfigError> {
        match self.managed.take() {
            Some(group) if group.is_over() => Err(ConfigError::GroupOver),
            group => Ok(group),
        }
    }

    /// How the machine is set up, as far as the host says so.
    pub(super) fn machine(&self, expectation: HostExpectation) -> machine::HostConfig {
        let mut config = machine::HostConfig::new(expectation);
        config.shutdown_grace = self.settings.shutdown_grace;
        config.terminate_grace = self.terminate_grace.unwrap_or(config.terminate_grace);
        config.reap_timeout = self.reap_timeout.unwrap_or(config.reap_timeout);
        if let Some(timeout) = self.start_timeout {
            config.start_timeout = timeout;
        }
        if let Some(within) = self.reconnect_within {
            config.link.within = within;
        }
        config.end_unreachable = self.kill_unreachable;
        config
    }
}

/// What a driver shares with handles; sockets of the broker are made in `dir`.
pub(super) fn share(
    name: String,
    mut settings: Settings,
    dir: Option<PathBuf>,
    group: Option<String>,
    sync: SyncWriters,
) -> Arc<Shared> {
    settings.listen = ListenPolicy {
        dir,
        group,
        ports: None,
        allowed: settings.listen.allowed,
        leave_signals: false,
    };
    Arc::new(Shared::new(name, settings, sync))
}

/// Runs a driver until its plugin is up, which is then one of the group. Where that ended meanwhile, the
/// plugin goes as when its handle is dropped.
pub(super) async fn drive(
    parts: DriverParts,
    group: Option<Managed>,
) -> Result<Result<RunningPlugin, StartError>, HostError> {
    let (runtime, shared) = (parts.runtime.clone(), Arc::clone(&parts.shared));
    let (verbs, wanted) = mpsc::unbounded();
    let (ready, outcome) = oneshot::channel();
    runtime.spawn(Box::pin(Driver::new(parts, wanted, ready)));
    let started = match outcome.await {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => return Ok(Err(error)),
        Err(oneshot::Canceled) => {
            let name = shared.name().to_owned();
            return Err(HostError::RuntimeGone { name });
        }
    };
    let plugin = RunningPlugin::new(shared, runtime, verbs, started);
    if group.is_some_and(|group| !group.add(&plugin)) {
        return Err(ConfigError::GroupOver.into());
    }
    Ok(Ok(plugin))
}
