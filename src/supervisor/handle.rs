//! A plugin that is kept up, as its user holds it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_channel::{mpsc, oneshot};
use outboard_core::handshake::Protocol;
use outboard_core::hclog::Level;
use outboard_core::rpc::{Channel, Connection, Status};
use outboard_core::rt::SharedRuntime;
use outboard_core::supervisor::{Supervision, Supervisor, Swap, SwapRefusal, SwapReport};

use super::board::{Board, Events, States};
use super::driver::{Driver, DriverParts, Verb, Wanted};
use super::error::{NotUp, SwapError};
use super::front::Front;
use super::programs::Program;
use super::shared::Shared;
use super::tracked::Lease;
use super::usage::Usage;
use super::{Cause, Phase, State};
use crate::broker::Broker;
use crate::client::{Dispense, Dispensed};
use crate::figures::{Figures, Measured, Tally};
use crate::host::{DispenseError, Host, LevelAnswer, RunningPlugin, ShutdownError};
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
    /// The same without what is around it.
    stable: Arc<Stable>,
    /// Of its calls, if they are counted.
    tally: Option<Tally>,
    may_speak_netrpc: AtomicBool,
    /// Closed with the last clone.
    verbs: mpsc::UnboundedSender<Verb>,
}

impl Supervised {
    pub(crate) fn new(host: &Host, policy: Supervision, runtime: SharedRuntime) -> Self {
        let machine = Supervisor::new(policy.clone(), random::number());
        let stable = Stable::of_processes(&runtime, policy.waiting.limit());
        let usage = policy.idle.map(|_| Usage::new(&runtime));
        let policy = Arc::new(policy);
        let front = Front::new(&runtime, &stable, &policy, usage.clone());
        let shared = Arc::new(Shared::new(host.known_as(), Board::new(machine.state())));
        let (verbs, wanted) = mpsc::unbounded();
        let tally = host.has_figures().then(|| Tally::new(&runtime));
        let front: Arc<dyn Connection> = Arc::new(front);
        let front = match &tally {
            Some(tally) => Measured::around(front, tally),
            None => front,
        };
        let handle = Handle {
            shared: Arc::clone(&shared),
            front,
            stable: Arc::clone(&stable),
            tally,
            may_speak_netrpc: AtomicBool::new(host.may_speak_netrpc()),
            verbs,
        };
        let driver = Driver::new(DriverParts {
            runtime: Arc::clone(&runtime),
            program: Program::new(host),
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
        let channel = || Dispensed::Channel(self.channel());
        let dispensed = loop {
            let (plugin, lease) = match self.0.shared.leased() {
                (Some(plugin), lease) => (plugin, lease),
                (None, _) if self.0.may_speak_netrpc.load(Ordering::Relaxed) => {
                    let up = self.up().await;
                    up.map_err(|not_up| DispenseError::Refused(not_up.status()))?;
                    continue;
                }
                (None, _) => break channel(),
            };
            match plugin.dispense::<Dispensed>(name).await {
                Ok(dispensed) => break lasting(dispensed, lease).unwrap_or_else(channel),
                Err(error) if !is_of_process(&error) => return Err(error),
                // The next process will do.
                Err(_) if plugin.protocol() != Protocol::NetRpc => break channel(),
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
    /// goes with the process, which is not stopped for want of calls any more.
    #[must_use]
    pub fn broker(&self) -> Option<Broker> {
        let plugin = self.0.shared.lend();
        plugin.map(|plugin| plugin.broker().clone())
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

    /// What is going on with the plugin; see [`Figures`]. Of its process it is that of the present one, and nothing
    /// while there is none; calls and restarts are of all.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let plugin = self.plugin();
        let mut figures = plugin.map_or_else(Figures::default, |plugin| plugin.figures());
        figures.restarts = self.state().restarts;
        figures.calls = self.0.tally.as_ref().map(Tally::figures);
        figures.calls_waiting += self.0.stable.waiting();
        figures
    }

    /// Waits until the plugin is up. It is started if it rests, since it is lazy or was stopped for want of
    /// calls. Cancel-safe.
    ///
    /// # Errors
    /// [`NotUp`] if it is not, and not to be by itself: it ended too often, or for good.
    pub async fn ready(&self) -> Result<(), NotUp> {
        self.up().await.map(drop)
    }

    /// Starts the plugin now if it rests, waits for its next attempt, or was restarted too often; after the
    /// last of these, its budget and its pauses start over. No effect where it is up, being started, or has ended for good.
    pub fn start(&self) {
        self.0.shared.ask_start();
        // If the driver is gone, so is the plugin.
        let _over = self.0.verbs.unbounded_send(Verb::Start);
    }

    /// Has the plugin log from this level on, this process and each later one; see
    /// [`RunningPlugin::set_log_level`]. Of calls at once the last one that was made is heeded last. Cancel-safe: the
    /// level holds from the first poll on, for whoever is told of it.
    ///
    /// # Errors
    /// The status of the call to a process that is up and does not answer as it should.
    pub async fn set_log_level(&self, level: Level) -> Result<LevelAnswer, Status> {
        self.0.shared.log_level.set(level);
        let shared = &self.0.shared;
        shared.log_level.tell(|| shared.plugin()).await
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

    /// Replaces the plugin by a new program, that of `host`, under its callers, as `plan` says; clones, clients,
    /// policy and name stay. Returns when calls go to the new one and the old one has ended.
    ///
    /// With [`Swap::beside`] the new one is started beside the old. Once it is up, speaks the version that the
    /// old one speaks and answers that it takes calls, all new calls go to it, and the old one gets time for
    /// those that it has, streaming ones too; then it is shut down as its host says. No call fails of it, nor
    /// waits. Whatever fails before that ends the new one and leaves the old one alone, which meanwhile is kept
    /// up as ever. With [`Swap::exclusive`] the old one finishes its calls and ends first, and new ones wait.
    ///
    /// From then on the plugin is restarted with the new program, with a new budget. One that rests, waits for its
    /// next attempt or was restarted too often is replaced as well: after that, it is up.
    ///
    /// What the old process knew ends with it, interfaces that were lent to it or by it too. Over Go's net/rpc the
    /// instances stay with the old one, which goes on within its limit until the last of them is dropped.
    ///
    /// If the future is dropped, the swap goes on. [`shutdown`](Self::shutdown) and the drop of the last clone end
    /// both processes.
    ///
    /// # Errors
    /// [`SwapError`]: the swap was refused, as another one is under way or the plugin has ended; or it failed,
    /// at which step, and what the plugin is doing since.
    ///
    /// ```no_run
    /// # async fn example(plugin: outboard::Supervised, host: outboard::Host) {
    /// use outboard::supervisor::Swap;
    ///
    /// match plugin.swap(&host, Swap::beside()).await {
    ///     Ok(report) => println!("{report}"),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # }
    /// ```
    pub async fn swap(&self, host: &Host, plan: Swap) -> Result<SwapReport, SwapError> {
        if host.may_speak_netrpc() {
            self.0.may_speak_netrpc.store(true, Ordering::Relaxed);
        }
        let (answer, outcome) = oneshot::channel();
        let program = Program::new(host);
        let wanted = Wanted {
            program,
            plan,
            answer,
        };
        // If the driver is gone, so is whoever would answer, once this is.
        drop(self.0.verbs.unbounded_send(Verb::Swap(Box::new(wanted))));
        outcome.await.unwrap_or_else(|oneshot::Canceled| {
            Err(match self.state().phase {
                Phase::Over(cause) if cause != Cause::Ended => {
                    SwapError::refused(self.name(), SwapRefusal::Over(cause))
                }
                _ => SwapError::runtime_gone(self.name()),
            })
        })
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
                // A start that was asked for shows before it counts as seen: so in this order.
                Phase::CrashLoop
                    if self.0.shared.is_start_asked() || self.state().phase != Phase::CrashLoop => {
                }
                phase if phase.is_final() => return Err(NotUp::new(self.name(), state)),
                _ => {}
            }
        }
    }
}

/// An instance, for which its process goes on, within its limit, when another is to take over. A channel to a
/// process is nothing that lasts.
fn lasting(dispensed: Dispensed, lease: Option<Lease>) -> Option<Dispensed> {
    match (dispensed, lease) {
        #[cfg(feature = "netrpc")]
        (Dispensed::Instance(instance), Some(lease)) => {
            Some(Dispensed::Instance(instance.keeping(lease.into_any())))
        }
        #[cfg(feature = "netrpc")]
        (Dispensed::Instance(instance), None) => Some(Dispensed::Instance(instance)),
        (Dispensed::Channel(_), _) => None,
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
