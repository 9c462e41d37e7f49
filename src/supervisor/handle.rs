//! A plugin that is kept up, as its user holds it.

use std::fmt;
use std::sync::Arc;

use futures_channel::mpsc;
use outboard_core::handshake::Protocol;
use outboard_core::rpc::{Channel, Connection};
use outboard_core::rt::SharedRuntime;
use outboard_core::supervisor::{Supervision, Supervisor};

use super::board::{Board, Events, States};
use super::driver::{Driver, DriverParts, Shared, Verb};
use super::error::NotUp;
use super::front::Front;
use super::usage::Usage;
use super::{Phase, State};
use crate::broker::Broker;
use crate::client::{Dispense, Dispensed};
use crate::host::{DispenseError, Host, RunningPlugin, ShutdownError};
use crate::link::Stable;
use crate::sys::random;

/// A plugin that is kept up: [`Host::supervise`](crate::Host::supervise) makes it, and
/// [`supervisor`](crate::supervisor) tells what stays when its process is another.
///
/// Clones share it. When the last one is dropped its process is killed and reaped, by a task of the runtime;
/// [`shutdown`](Self::shutdown) ends it in good order. Clients do not hold it.
#[derive(Clone)]
pub struct Supervised(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    front: Arc<dyn Connection>,
    may_speak_netrpc: bool,
    /// Closed with the last clone.
    verbs: mpsc::UnboundedSender<Verb>,
}

impl Supervised {
    pub(crate) fn new(mut host: Host, policy: Supervision, runtime: SharedRuntime) -> Self {
        let machine = Supervisor::new(policy.clone(), random::number());
        let stable = Stable::of_processes(&runtime, policy.waiting.limit());
        let usage = policy.idle.map(|_| Usage::new(&runtime));
        let policy = Arc::new(policy);
        let front = Front::new(&runtime, &stable, &policy, usage.clone());
        let shared = Arc::new(Shared::new(host.known_as(), Board::new(machine.state())));
        let (verbs, wanted) = mpsc::unbounded();
        let handle = Handle {
            shared: Arc::clone(&shared),
            front: Arc::new(front),
            may_speak_netrpc: host.may_speak_netrpc(),
            verbs,
        };
        let limit = host.take_start_limit();
        let driver = Driver::new(DriverParts {
            runtime: Arc::clone(&runtime),
            host,
            limit,
            machine,
            stable,
            usage,
            shared,
            verbs: wanted,
        });
        runtime.spawn(Box::pin(driver));
        Self(Arc::new(handle))
    }

    /// A client of the interface that the plugin provides under `name`, which stays valid when the plugin's
    /// process is another. Nothing is started for it, and the first call fails if there is no such interface;
    /// where the plugin is up and knows its names, this does.
    ///
    /// Where the host may speak Go's net/rpc it waits until the plugin is up, as [`ready`](Self::ready) does:
    /// over net/rpc the client is one of an instance in that process, and lives with it. Dispense it again
    /// after a call of it has failed with a lost connection.
    ///
    /// # Errors
    /// Those of [`RunningPlugin::dispense`] that another process would not help against; over net/rpc also
    /// [`DispenseError::Refused`] if the plugin is not up and not to be.
    ///
    /// Cancel-safe.
    pub async fn dispense<D: Dispense>(&self, name: &str) -> Result<D, DispenseError> {
        let channel = Dispensed::Channel(self.channel());
        let dispensed = loop {
            let plugin = match self.plugin() {
                Some(plugin) => plugin,
                None if self.0.may_speak_netrpc => {
                    let up = self.up().await;
                    up.map_err(|not_up| DispenseError::Refused(not_up.status()))?
                }
                None => break channel,
            };
            match plugin.dispense::<Dispensed>(name).await {
                Ok(Dispensed::Channel(_)) => break channel,
                #[cfg(feature = "netrpc")]
                Ok(instance) => break instance,
                Err(error) if !is_of_process(&error) => return Err(error),
                // The next process will do.
                Err(_) if plugin.protocol() != Protocol::NetRpc => break channel,
                Err(_) => self.end_of(plugin).await,
            }
        };
        D::from_dispensed(dispensed).map_err(|misfit| DispenseError::OtherProtocol {
            name: name.to_owned(),
            misfit,
        })
    }

    /// The channel that all clients of this plugin share, which goes to whichever process is there. Over
    /// net/rpc its calls fail: nothing there goes by messages.
    #[must_use]
    pub fn channel(&self) -> Channel {
        Channel::new(Arc::clone(&self.0.front))
    }

    /// The broker of the present process, while one is up. What is served on it, and what was dialled there,
    /// goes with the process.
    #[must_use]
    pub fn broker(&self) -> Option<Broker> {
        self.plugin().map(|plugin| plugin.broker().clone())
    }

    /// What people call this plugin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.shared.name
    }

    /// What the plugin is doing now.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.shared.board.state()
    }

    /// What it is doing, from now on.
    #[must_use]
    pub fn states(&self) -> States {
        self.0.shared.board.states()
    }

    /// What happens to it, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.shared.board.events()
    }

    /// Waits until the plugin is up. It is started if it rests, since it is lazy or was stopped for want of
    /// calls. Cancel-safe.
    ///
    /// # Errors
    /// [`NotUp`] if it is not, and not to be by itself: it ended too often, or for good.
    pub async fn ready(&self) -> Result<(), NotUp> {
        self.up().await.map(drop)
    }

    /// Starts the plugin now if it rests, waits for its next attempt, or was restarted too often; after that,
    /// the count of restarts starts over. No effect where it is up, being started, or has ended for good.
    pub fn start(&self) {
        self.0.shared.ask_start();
        // If the driver is gone, so is the plugin.
        let _over = self.0.verbs.unbounded_send(Verb::Start);
    }

    /// Ends the plugin in good order, as [`RunningPlugin::shutdown`] does, and starts it no more: for all
    /// clones. Calls fail from then on. When this returns, the process is gone and reaped. Calling it once more
    /// is fine. If the future is dropped, the plugin ends all the same.
    ///
    /// # Errors
    /// [`ShutdownError`] if the plugin did not end by itself within the grace period. It is gone
    /// all the same.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let _over = self.0.verbs.unbounded_send(Verb::Shutdown);
        let mut states = self.states();
        while states.next().await.is_some() {}
        self.0.shared.judged().map_or(Ok(()), Err)
    }

    fn plugin(&self) -> Option<Arc<RunningPlugin>> {
        self.0.shared.plugin()
    }

    /// Waits until this is not the process that is up.
    async fn end_of(&self, plugin: Arc<RunningPlugin>) {
        let mut states = self.states();
        while states.next().await.is_some() {
            let present = self.plugin();
            if present.is_none_or(|present| !Arc::ptr_eq(&present, &plugin)) {
                return;
            }
        }
    }

    async fn up(&self) -> Result<Arc<RunningPlugin>, NotUp> {
        let mut states = self.states();
        loop {
            // Before the look: whatever was asked for earlier shows there.
            let asked = self.0.shared.is_start_asked();
            let Some(state) = states.next().await else {
                return Err(NotUp::new(self.name(), self.state()));
            };
            match state.phase {
                Phase::Up => {
                    // None if it has ended since.
                    if let Some(plugin) = self.plugin() {
                        return Ok(plugin);
                    }
                }
                Phase::Resting => self.start(),
                Phase::CrashLoop if asked => {}
                phase if phase.is_final() => return Err(NotUp::new(self.name(), state)),
                _ => {}
            }
        }
    }
}

/// Whether nothing was dispensed since the process has ended, or is about to.
fn is_of_process(error: &DispenseError) -> bool {
    match error {
        DispenseError::Exited { .. } => true,
        DispenseError::Refused(status) => status.is_connection_lost(),
        _ => false,
    }
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Supervised")
            .field("name", &self.name())
            .field("phase", &state.phase)
            .field("generation", &state.generation)
            .finish_non_exhaustive()
    }
}
