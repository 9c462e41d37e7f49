//! What a host wants its plugin to log.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{Either, select};
use outboard_core::env::HostEnv;
use outboard_core::hclog::Level;
use outboard_core::rpc::Status;
use outboard_core::rt::SharedRuntime;

use super::{Host, RunningPlugin};
use crate::command::Command;
use crate::peer::LevelAnswer;
use crate::time;

/// How long a host that attaches waits for the plugin's answer. (A choice.)
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// What is wanted from the start.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    level: Option<Level>,
    variables: Vec<String>,
}

impl Host {
    /// The level from which on the plugin is to log, from its start. What it logs below does not even travel.
    /// Each plugin decides for itself unless this is called.
    ///
    /// A plugin of outboard is told by the variable `OUTBOARD_LOG_LEVEL`, and
    /// [`log::Layer`](https://docs.rs/outboard/latest/outboard/log/struct.Layer.html) heeds it. One in Go reads what its
    /// author wrote, if anything: name that variable with [`log_level_variables`](Self::log_level_variables). A
    /// plugin that this host [attaches](Self::attach) to is told over the connection.
    /// [`RunningPlugin::set_log_level`] changes it while the plugin runs.
    ///
    /// What becomes of the records that come is another matter: see [`on_log`](Self::on_log).
    pub fn log_level(mut self, level: Level) -> Self {
        self.log_level.level = Some(level);
        self
    }

    /// The variables from which the logger of the plugin reads its level, where that is not of outboard: they are set to the
    /// name of the [`log_level`](Self::log_level), in capitals, as `DEBUG`. Of no effect without that. The host's own
    /// variables of these names are not passed on then; what [`Command::env_override`] sets stays.
    ///
    /// go-plugin tells its plugins no level, and hclog reads no variable, so each kind of Go plugin has one of its
    /// own, or none: the SDKs of Vault and Nomad log everything and leave the choice to the host. Some that are read:
    ///
    /// | Variable | Read by |
    /// | --- | --- |
    /// | [`TF_LOG_PROVIDER`](crate::hclog::TF_LOG_PROVIDER) | providers of Terraform and OpenTofu (terraform-plugin-log) |
    /// | [`STEAMPIPE_LOG_LEVEL`](crate::hclog::STEAMPIPE_LOG_LEVEL) | plugins of Steampipe |
    /// | [`VAULT_LOG_LEVEL`](crate::hclog::VAULT_LOG_LEVEL) | some plugins of Vault, and Vault itself |
    pub fn log_level_variables(
        mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let names = names.into_iter().map(Into::into);
        self.log_level.variables.extend(names);
        self
    }
}

impl Wanted {
    /// The level, if one is wanted.
    pub(super) fn level(&self) -> Option<Level> {
        self.level
    }

    /// With the variables of other loggers.
    pub(super) fn on(&self, mut command: Command) -> Command {
        if let Some(level) = self.level {
            for name in &self.variables {
                command = command.env_override_unless_set(name, level.name().to_uppercase());
            }
        }
        command
    }

    /// With the variable of outboard's plugins.
    pub(super) fn within(&self, env: HostEnv) -> HostEnv {
        match self.level {
            Some(level) => env.log_level(level),
            None => env,
        }
    }
}

impl RunningPlugin {
    /// Has the plugin log from this level on, from now on. It stays when the connection is lost and made again, and when
    /// this host lets go of the plugin.
    ///
    /// All who use a plugin share its level: where several hosts have attached, the last one that says something is
    /// heeded. Calls that are made at once may come in any order. A plugin that is
    /// [supervised](crate::Host::supervise) is told by [`Supervised::set_log_level`](crate::Supervised::set_log_level),
    /// which holds for its later processes as well.
    ///
    /// Cancel-safe: dropped, it may have been heeded or not.
    ///
    /// # Errors
    /// The status of the call, if the plugin has ended or does not answer as it should, within ten seconds. That it
    /// does not know the call is no error ([`LevelAnswer::Unsupported`]).
    pub fn set_log_level(
        &self,
        level: Level,
    ) -> impl Future<Output = Result<LevelAnswer, Status>> + Send + use<> {
        let link = self.link().clone();
        async move {
            // It does not wait for a stream that calls hold.
            let channel = link.beside_calls().await;
            link.peer.set_log_level(&channel, level).await
        }
    }

    /// Tells a plugin that was not launched by this host, and does not wait for ever.
    pub(super) async fn told_log_level(&self, runtime: &SharedRuntime, level: Level) {
        let telling = std::pin::pin!(self.set_log_level(level));
        let late = time::sleep(runtime, ANSWERED_WITHIN);
        let answer = match select(telling, late).await {
            Either::Left((Ok(answer), _)) => answer.to_string(),
            Either::Left((Err(status), _)) => status.to_string(),
            Either::Right(_) => "has not answered".to_owned(),
        };
        tracing::debug!(
            target: "outboard",
            plugin = self.name(),
            %level,
            answer,
            "the plugin was told what to log"
        );
    }
}
