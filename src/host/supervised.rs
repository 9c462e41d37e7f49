//! What a supervisor needs of a host and its plugins.

use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use outboard_core::handshake::Protocol;
use outboard_core::rpc::{Channel, Connection, Status};
use outboard_core::rt::{BoxFuture, SharedRuntime};
use outboard_core::supervisor::{Cause, Stop, Supervision};
use outboard_core::told::Told;

use super::lease::Lease;
use super::report::{ExitReason, ExitReport};
use super::running::{RunningPlugin, end, judged};
use super::shared::{Shared, Verb};
use super::{ConfigError, Health, Host, HostError, ShutdownError};
use crate::peer::Watched;
use crate::supervisor::{StartLimit, Supervised};

/// How the process of a supervised plugin ended.
pub(crate) struct Ended {
    pub(crate) cause: Cause,
    /// The whole story, for people.
    pub(crate) text: Arc<str>,
    /// What is wrong about it, if it was asked to end.
    pub(crate) judged: Result<(), ShutdownError>,
}

impl Host {
    /// Keeps a plugin of this host up, as the policy says: the clients of what it dispenses stay valid when
    /// its process is another. Nothing is waited for.
    ///
    /// A plugin that lives and cannot be reached again is killed, as with
    /// [`kill_unreachable`](Self::kill_unreachable), and started again.
    ///
    /// ```no_run
    /// # mod greeter {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/shared.rs"));
    /// # }
    /// # use greeter::{GreetRequest, Greeter, GreeterClient, HANDSHAKE};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use outboard::{Command, Host, Supervision, Tokio};
    ///
    /// let host = Host::new(HANDSHAKE).command(Command::new("./greeter-plugin"));
    /// let plugin = host.supervise(Supervision::new(), Tokio::current());
    /// let greeter: GreeterClient = plugin.dispense("greeter").await?;
    /// // Waits for the process, this one or the next.
    /// greeter.greet(GreetRequest { name: "world".into() }).await?;
    /// plugin.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "the plugin ends when this is dropped"]
    pub fn supervise<R: Into<SharedRuntime>>(&self, policy: Supervision, runtime: R) -> Supervised {
        Supervised::new(self, policy, runtime.into())
    }

    /// Starts no more plugins at once than this limit lets, with all others that are given it: what
    /// starts waits for its place first.
    pub fn start_limit(mut self, limit: &StartLimit) -> Self {
        self.start_limit = Some(limit.clone());
        self
    }

    /// Takes the limit of starts out: somebody else sees to it.
    pub(crate) fn take_start_limit(&mut self) -> Option<StartLimit> {
        self.start_limit.take()
    }

    /// Whether plugins of this host may speak net/rpc.
    pub(crate) fn may_speak_netrpc(&self) -> bool {
        let mut protocols = self.transports.iter().map(|transport| transport.protocol());
        protocols.any(|protocol| protocol == Protocol::NetRpc)
    }

    /// A start of a plugin that is to be started again, which one that is attached to cannot be.
    pub(crate) fn start_supervised(
        &self,
        runtime: &SharedRuntime,
    ) -> (
        BoxFuture<'static, Result<RunningPlugin, HostError>>,
        Told<()>,
    ) {
        let (start, gone) = self.start_leased(runtime);
        if self.attach.is_none() {
            return (start, gone);
        }
        let refused = Err(HostError::Config(ConfigError::SuperviseAndAttach));
        (Box::pin(std::future::ready(refused)), gone)
    }

    /// A start, and what resolves once nothing of its plugin runs any more, be it that the start failed,
    /// was given up, or that the plugin has ended.
    pub(crate) fn start_leased(
        &self,
        runtime: &SharedRuntime,
    ) -> (
        BoxFuture<'static, Result<RunningPlugin, HostError>>,
        Told<()>,
    ) {
        let (lease, gone) = Lease::new();
        let mut host = self.clone();
        host.lease = Some(lease);
        (Box::pin(host.launch(Arc::clone(runtime))), gone)
    }
}

impl HostError {
    /// Whether the plugin was not to start, since its group is over or the runtime is.
    pub(crate) fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Config(ConfigError::GroupOver) | Self::RuntimeGone { .. }
        )
    }
}

impl RunningPlugin {
    /// Resolves as soon as the process is known to have ended.
    pub(crate) fn ended(&self) -> BoxFuture<'static, Ended> {
        let (shared, ..) = self.parts();
        let shared = Arc::clone(shared);
        Box::pin(shared.exited().map(move |report| ended(&shared, report)))
    }

    /// Ends the plugin, and resolves when it has and what it printed was handed over, as far as there was time.
    pub(crate) fn stop(&self, how: Stop) -> BoxFuture<'static, Ended> {
        let (shared, runtime, verbs) = self.parts();
        let verb = match how {
            Stop::Ask => Verb::Shutdown,
            Stop::Kill => Verb::Kill,
        };
        // If the driver is gone, so is the process.
        let _over = verbs.unbounded_send(verb);
        let (shared, runtime) = (Arc::clone(shared), Arc::clone(runtime));
        Box::pin(async move {
            let report = end(&shared, &runtime).await;
            ended(&shared, report)
        })
    }

    /// What clients call through.
    pub(crate) fn connection(&self) -> &Arc<dyn Connection> {
        &self.link().connection
    }

    /// Asks whether it takes calls; calls in flight hold nothing up.
    pub(crate) fn probe(&self) -> BoxFuture<'static, Result<Health, Status>> {
        let link = self.link().clone();
        Box::pin(async move {
            let channel = link.beside_calls().await;
            link.peer.health(&channel).await
        })
    }

    /// What it says by itself of whether it takes calls, to the end of that.
    pub(crate) fn watch(&self) -> Watched {
        let link = self.link().clone();
        let watching = async move {
            let channel: Channel = link.beside_calls().await;
            link.peer.watch(&channel)
        };
        Box::pin(futures_util::stream::once(watching).flatten())
    }
}

fn ended(shared: &Shared, report: ExitReport) -> Ended {
    let text = format!("the plugin {} {report}", shared.name());
    let cause = match report.reason {
        ExitReason::Crashed => Cause::Exited(report.exit),
        ExitReason::Unreachable => Cause::Unreachable,
        _ => Cause::Ended,
    };
    Ended {
        cause,
        text: text.into(),
        judged: judged(shared, report).map(drop),
    }
}
