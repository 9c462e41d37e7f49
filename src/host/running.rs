//! A plugin that runs, as its host's user holds it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::future::select;
use outboard_core::handshake::Protocol;
use outboard_core::reattach::ReattachConfig;
use outboard_core::rpc::{Channel, DispenseFailure, Status};
use outboard_core::rt::SharedRuntime;

use super::error::{DispenseError, PingError, ShutdownError};
use super::figures::began;
use super::link::{Link, Started};
use super::origin::{NoRecord, Origin};
use super::report::{ExitReason, ExitReport};
use super::shared::{Shared, Verb};
use crate::broker::Broker;
use crate::client::Dispense;
use crate::figures::{Measured, StartTimes, Tally};
use crate::peer::Health;
use crate::time;

/// A plugin that has been started: its process runs and the host is connected to it.
///
/// Dropping it kills the plugin and reaps its process, by a task of the runtime, or with the runtime
/// if that is dropped first; [`shutdown`](Self::shutdown) ends it in good order. One that the host has
/// [attached](crate::Host::attach) to is left running when it is dropped. Clients that were
/// dispensed keep working as long as the plugin runs, also when its connection is lost and made
/// again, and fail with a status that says how it ended from then on.
pub struct RunningPlugin {
    shared: Arc<Shared>,
    runtime: SharedRuntime,
    /// Whoever else has it holds it weakly: the channel closes with this handle.
    verbs: Arc<mpsc::UnboundedSender<Verb>>,
    version: i64,
    protocol: Protocol,
    origin: Origin,
    link: Link,
    times: StartTimes,
    /// When the process began, as the system tells it.
    began: Option<String>,
    /// Of its calls, if they are counted.
    tally: Option<Tally>,
}

/// What [`RunningPlugin::shutdown`] and [`RunningPlugin::kill`] wait beyond the time that the last
/// output may take: a bound for a runtime that has stopped running tasks.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);

impl RunningPlugin {
    pub(super) fn new(
        shared: Arc<Shared>,
        runtime: SharedRuntime,
        verbs: mpsc::UnboundedSender<Verb>,
        started: Started,
    ) -> Self {
        let tally = shared.settings().figures.then(|| Tally::new(&runtime));
        let mut link = started.link;
        if let Some(tally) = &tally {
            // Only the user's calls: the driver has the link as it is.
            link.connection = Measured::around(link.connection, tally);
        }
        let began = began(shared.process().and_then(|(_, pid)| pid));
        Self {
            shared,
            runtime,
            verbs: Arc::new(verbs),
            version: started.version,
            protocol: started.protocol,
            origin: started.origin,
            link,
            times: started.times,
            began,
            tally,
        }
    }

    /// A client of the interface that the plugin provides under `name`.
    ///
    /// Over gRPC this takes no time: the name never travels, since all plugins of a process share
    /// one connection, and the first call fails if there is no such interface. Over stdio the plugin
    /// has told the names that it provides, or is about to. Over net/rpc the plugin makes an instance, and
    /// this waits for it.
    ///
    /// What is dispensed is a client of the protocol that was negotiated: a generated one over gRPC and
    /// stdio, one of `netrpc` over Go's net/rpc. A host of both asks [`protocol`](Self::protocol) which.
    ///
    /// # Errors
    /// [`DispenseError`] if the host was told which plugins there are and this is none of them, if
    /// the plugin tells that it provides nothing of this name, if the client is of another protocol, or if
    /// the plugin has ended.
    ///
    /// Cancel-safe.
    pub async fn dispense<D: Dispense>(&self, name: &str) -> Result<D, DispenseError> {
        if let Some(known) = self.shared.settings().names_of(self.version)
            && !known.iter().any(|known| known == name)
        {
            return Err(DispenseError::UnknownPlugin {
                name: name.to_owned(),
                version: self.version,
                known: known.to_vec(),
            });
        }
        if let Some(report) = self.shared.report() {
            return Err(DispenseError::Exited {
                name: self.name().to_owned(),
                report,
            });
        }
        let dispensed = self.link.peer.dispense(&self.link.connection, name);
        match dispensed.await {
            Ok(dispensed) => {
                D::from_dispensed(dispensed).map_err(|misfit| DispenseError::OtherProtocol {
                    name: name.to_owned(),
                    misfit,
                })
            }
            Err(failure) => Err(self.not_dispensed(name, failure)),
        }
    }

    fn not_dispensed(&self, name: &str, failure: DispenseFailure) -> DispenseError {
        match (failure, self.shared.report()) {
            (DispenseFailure::NotProvided { provided }, _) => DispenseError::NotProvided {
                name: name.to_owned(),
                version: self.version,
                provided,
            },
            // It ended before it told.
            (DispenseFailure::Refused(_), Some(report)) => DispenseError::Exited {
                name: self.name().to_owned(),
                report,
            },
            (DispenseFailure::Refused(status), None) => DispenseError::Refused(status),
            // Of a later core.
            (other, _) => DispenseError::Refused(Status::unknown(format!("{other:?}"))),
        }
    }

    /// The channel that all clients of this plugin share. Over net/rpc its calls fail: nothing there goes by
    /// messages.
    #[must_use]
    pub fn channel(&self) -> Channel {
        Channel::new(Arc::clone(&self.link.connection))
    }

    /// The broker: serves interfaces to the plugin, and dials those that the plugin serves. Over net/rpc it
    /// is another one, which each instance that was dispensed has.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.link.broker
    }

    /// What people call this plugin; also the `plugin` field of its log events.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// What the process is called where it runs: its number, or the name of its container; see
    /// [`Child::id`](crate::rt::Child::id). `None` after it has ended.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.shared.process().map(|(id, _)| id)
    }

    /// The number of the process, if it is one of this system; `None` after it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.shared.process().and_then(|(_, pid)| pid)
    }

    /// The version of the interface that host and plugin agreed on.
    #[must_use]
    pub fn negotiated_version(&self) -> i64 {
        self.version
    }

    /// The protocol that the plugin speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The record by which another host attaches to this plugin ([`Host::attach`](crate::Host::attach)),
    /// as JSON also one in Go. It holds no key. Of a plugin that this host has attached to, it is the record
    /// that it was given.
    ///
    /// A plugin of outboard goes on without the host that has launched it only if it is told so:
    /// [`Plugin::outlive_host`](crate::Plugin::outlive_host).
    ///
    /// # Errors
    /// [`NoRecord`] if the plugin has ended, or takes no other connection than this host's.
    pub fn reattach_config(&self) -> Result<ReattachConfig, NoRecord> {
        if self.is_exited() {
            return Err(NoRecord::Exited);
        }
        let (protocol, version) = (self.protocol, self.version);
        self.origin.record(protocol, version, self.shared.process())
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn is_exited(&self) -> bool {
        self.shared.report().is_some()
    }

    /// Whether the connection was lost although the process lives, and could not be made again
    /// within [`Host::reconnect_within`](crate::Host::reconnect_within). Calls fail then; only a
    /// new plugin helps.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.shared.is_disconnected() && !self.is_exited()
    }

    /// How the plugin ended, once it has. The last of what it printed may still be on its way to the
    /// writers; [`exited`](Self::exited) waits for that.
    #[must_use]
    pub fn exit_report(&self) -> Option<ExitReport> {
        self.shared.report()
    }

    /// Resolves when the process has ended, however that comes, and what it printed and logged has
    /// been handed over; see [`Host::last_output_within`](crate::Host::last_output_within). Calls
    /// fail before that, as soon as the end is known. It does not hold the plugin: when
    /// the handle is dropped, the future resolves with the kill. Cancel-safe.
    pub fn exited(&self) -> impl Future<Output = ExitReport> + Send + Unpin + use<> {
        self.shared.settled()
    }

    /// Asks the plugin's health service. Over net/rpc, which has none, a plugin that answers a ping serves.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The status of the call, which says how the plugin ended if it has.
    pub async fn health(&self) -> Result<Health, Status> {
        self.link.peer.health(&self.channel()).await
    }

    /// The names of the services that the plugin says it has, sorted, without those of gRPC and of
    /// go-plugin itself: by its reflection service, which plugins on outboard and on go-plugin have.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The status of the call: `UNIMPLEMENTED` over net/rpc, and where a plugin has no reflection.
    pub async fn interfaces(&self) -> Result<Vec<String>, Status> {
        self.link.peer.interfaces(&self.channel()).await
    }

    /// Checks that the plugin takes calls: its health service answers SERVING. Cancel-safe.
    ///
    /// go-plugin's ping is content with any answer; this one is not.
    ///
    /// # Errors
    /// [`PingError`].
    pub async fn ping(&self) -> Result<(), PingError> {
        match self.health().await.map_err(PingError::Call)? {
            Health::Serving => Ok(()),
            health @ (Health::NotServing | Health::Unknown) => Err(PingError::NotServing(health)),
        }
    }

    /// Ends the plugin in good order: closes the broker and asks the plugin to end. If it is still there
    /// after the grace period, its process is told to end (SIGTERM, on unix) and then killed, each with
    /// a limit of its own; [`ExitReport::stages`] has what came of each. When this returns, the process is gone and reaped, and
    /// what the plugin printed has been handed to the writers, as far as they took it within
    /// [`Host::last_output_within`](crate::Host::last_output_within).
    ///
    /// Calling it for a plugin that has ended already is fine. If the future is dropped, the plugin
    /// is killed.
    ///
    /// # Errors
    /// [`ShutdownError`] if the plugin did not end by itself within the grace period. It is gone
    /// all the same.
    pub async fn shutdown(self) -> Result<ExitReport, ShutdownError> {
        let report = self.end(Verb::Shutdown).await;
        judged(&self.shared, report)
    }

    /// Kills the plugin at once and waits until it is reaped. If the future is dropped, the plugin is
    /// killed all the same.
    pub async fn kill(self) -> ExitReport {
        self.end(Verb::Kill).await
    }

    /// Lets go of the plugin, which runs on, and waits until the connection to it is given up: also of one
    /// that this host has launched. Clients that were dispensed fail from then on. A host with writers for
    /// what the plugin prints gets what is on its way first, until nothing has come for 100 ms. If the future is dropped
    /// before it is polled, that is as dropping the handle.
    pub async fn detach(self) -> ExitReport {
        self.end(Verb::Detach).await
    }

    async fn end(&self, verb: Verb) -> ExitReport {
        // If the driver is gone, so is the process, and `exited` resolves.
        let _over = self.verbs.unbounded_send(verb);
        end(&self.shared, &self.runtime).await
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn start_times(&self) -> StartTimes {
        self.times
    }

    pub(super) fn began(&self) -> Option<&str> {
        self.began.as_deref()
    }

    pub(super) fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// What a group of plugins has of it.
    pub(super) fn parts(
        &self,
    ) -> (
        &Arc<Shared>,
        &SharedRuntime,
        &Arc<mpsc::UnboundedSender<Verb>>,
    ) {
        (&self.shared, &self.runtime, &self.verbs)
    }
}

/// Waits for the end of a plugin that was told to end.
pub(super) async fn end(shared: &Arc<Shared>, runtime: &SharedRuntime) -> ExitReport {
    let report = shared.exited().await;
    let limit = shared.settings().last_output_within;
    let limit = time::sleep(runtime, limit.saturating_add(SETTLED_WITHIN));
    select(shared.settled(), limit).await;
    report
}

/// Whether an end that was asked for came in good order.
pub(super) fn judged(shared: &Shared, report: ExitReport) -> Result<ExitReport, ShutdownError> {
    let name = shared.name().to_owned();
    let grace = shared.settings().shutdown_grace;
    match report.reason {
        ExitReason::Shutdown
        | ExitReason::Killed
        | ExitReason::Unreachable
        | ExitReason::Released
        | ExitReason::Crashed => Ok(report),
        ExitReason::GraceExpired => Err(ShutdownError::GraceExpired { name, grace }),
        ExitReason::NoController => Err(ShutdownError::NoController { name, grace }),
        ExitReason::NotAsked => Err(ShutdownError::NotAsked { name, grace }),
        // It is gone, and the report says how.
        _ => Ok(report),
    }
}

impl fmt::Debug for RunningPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningPlugin")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .field("exit", &self.exit_report())
            .finish_non_exhaustive()
    }
}
