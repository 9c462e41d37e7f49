//! A plugin that runs, as its host's user holds it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::FutureExt as _;
use futures_util::future::{Shared as SharedFuture, join, select};
use outboard_core::exit::Exit;
use outboard_core::handshake::Protocol;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{Channel, Status};
use outboard_core::rt::SharedRuntime;
use outboard_core::wire::health::{
    CHECK, HEALTH, HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};

pub use outboard_core::host::ExitReason;

use super::Settings;
use super::driver::{Request, Started};
use super::error::{DispenseError, PingError, ShutdownError};
use super::link::Link;
use super::printed::{Progress, Said};
use crate::broker::Broker;
use crate::client::Client;
use crate::codegen::call_unary;
use crate::services::health::PLUGIN;
use crate::time;

/// How a plugin ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitReport {
    /// How the process ended.
    pub exit: Exit,
    /// How that came: asked, killed, or by itself.
    pub reason: ExitReason,
    /// What its last panic said, if there was one and little was logged since; one line.
    pub panic: Option<String>,
    /// Its last lines on stderr, oldest first; a bounded number. Before them how its last panic
    /// began, if the stack behind that would have pushed it out.
    pub stderr: Vec<String>,
}

impl ExitReport {
    /// The status of calls to a plugin that has ended so.
    pub(super) fn status(&self, name: &str) -> Status {
        Status::connection_lost(format!("the plugin {name} {self}"))
    }
}

/// A phrase that completes "the plugin …".
impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            ExitReason::Shutdown => write!(f, "was shut down and {}", self.exit),
            ExitReason::GraceExpired => f.write_str(
                "did not end within the grace period after it was asked to: it was killed",
            ),
            ExitReason::NoController => f.write_str(
                "has no controller that could ask it to end, and did not end by itself within the \
                 grace period: it was killed",
            ),
            ExitReason::NotAsked => f.write_str(
                "could not be reached within the grace period to be asked to end: it was killed",
            ),
            ExitReason::Killed => f.write_str("was killed by its host"),
            ExitReason::Unreachable => f.write_str(
                "could not be reached again after its connection was lost: it was killed",
            ),
            ExitReason::Crashed => {
                write!(f, "{}", self.exit)?;
                if let Some(panic) = &self.panic {
                    write!(f, " after a panic: {panic}")?;
                }
                if !self.stderr.is_empty() {
                    f.write_str("; its last lines on stderr:")?;
                    for line in &self.stderr {
                        write!(f, "\n  {line}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// What the plugin's health service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It takes calls.
    Serving,
    /// It runs and takes no calls for now.
    NotServing,
    /// It does not know, or answers with a value this version of the health service has not.
    Unknown,
}

/// A phrase that completes "the plugin …".
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serving => "takes calls",
            Self::NotServing => "takes no calls for now",
            Self::Unknown => "does not know whether it takes calls",
        })
    }
}

/// What the driver and the handles of one plugin share.
pub(super) struct Shared {
    name: String,
    settings: Settings,
    pid: Mutex<Option<u32>>,
    disconnected: AtomicBool,
    report: Mutex<Option<oneshot::Sender<ExitReport>>>,
    exited: SharedFuture<oneshot::Receiver<ExitReport>>,
    stdio: Mutex<Option<oneshot::Sender<()>>>,
    stdio_ended: SharedFuture<oneshot::Receiver<()>>,
    direct: Mutex<Option<oneshot::Sender<()>>>,
    direct_ended: SharedFuture<oneshot::Receiver<()>>,
    /// What goes to the user's writers.
    pub(super) printed: Progress,
    /// What came of the plugin's stderr over the connection, for the evidence.
    pub(super) said: Said,
    log_ended: AtomicBool,
    link_ended: AtomicBool,
    settle: Mutex<Option<oneshot::Sender<()>>>,
    settled: SharedFuture<oneshot::Receiver<()>>,
}

impl Shared {
    pub(super) fn new(name: String, settings: Settings) -> Self {
        let (report, exited) = oneshot::channel();
        let (stdio, stdio_ended) = oneshot::channel();
        let (direct, direct_ended) = oneshot::channel();
        let (settle, settled) = oneshot::channel();
        Self {
            name,
            settings,
            pid: Mutex::new(Rank::Driver, None),
            disconnected: AtomicBool::new(false),
            report: Mutex::new(Rank::Driver, Some(report)),
            exited: exited.shared(),
            stdio: Mutex::new(Rank::Driver, Some(stdio)),
            stdio_ended: stdio_ended.shared(),
            direct: Mutex::new(Rank::Driver, Some(direct)),
            direct_ended: direct_ended.shared(),
            printed: Progress::default(),
            said: Said::default(),
            log_ended: AtomicBool::new(false),
            link_ended: AtomicBool::new(false),
            settle: Mutex::new(Rank::Driver, Some(settle)),
            settled: settled.shared(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn set_pid(&self, pid: Option<u32>) {
        *self.pid.lock() = pid;
    }

    pub(super) fn set_disconnected(&self) {
        self.disconnected.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_exited(&self, report: ExitReport) {
        let sender = self.report.lock().take();
        if let Some(sender) = sender {
            // The receiver lives in the same struct.
            let _delivered = sender.send(report);
        }
    }

    /// What the plugin sent of its output over the connection has been handed over, to its end.
    pub(super) fn set_stdio_ended(&self) {
        finish(&self.stdio);
    }

    /// What the plugin printed on pipes of their own has been handed over, to its end, or it has none.
    pub(super) fn set_printed_ended(&self) {
        finish(&self.direct);
    }

    /// Resolves after [`set_printed_ended`](Self::set_printed_ended).
    pub(super) fn printed_ended(&self) -> impl Future + Send + Unpin + use<> {
        self.direct_ended.clone()
    }

    /// Resolves when all that the plugin printed has been handed over, whatever way it came.
    pub(super) fn output_ended(&self) -> impl Future + Send + Unpin + use<> {
        join(self.stdio_ended.clone(), self.direct_ended.clone())
    }

    /// The process is gone, and so is the connection: what the plugin printed has been handed over,
    /// and later calls say how it ended.
    pub(super) fn set_link_ended(&self) {
        self.link_ended.store(true, Ordering::SeqCst);
        self.settle();
    }

    /// The process is gone, and its log has been handed over.
    pub(super) fn set_log_ended(&self) {
        self.log_ended.store(true, Ordering::SeqCst);
        self.settle();
    }

    fn settle(&self) {
        if self.link_ended.load(Ordering::SeqCst) && self.log_ended.load(Ordering::SeqCst) {
            finish(&self.settle);
        }
    }

    /// Resolves when the process has ended and what it printed and logged has been handed over, as
    /// far as there was time for that.
    fn settled(&self) -> impl Future<Output = ExitReport> + Send + Unpin + use<> {
        let settled = self.settled.clone();
        // Its sender is used at the latest by the drop of the driver.
        join(self.exited(), settled).map(|(report, _)| report)
    }

    /// Resolves when the process has ended.
    pub(super) fn exited(&self) -> impl Future<Output = ExitReport> + Send + Unpin + use<> {
        // The sender is in the same struct, and the driver uses it at the latest in its drop.
        self.exited.clone().map(|report| {
            report.unwrap_or_else(|_| ExitReport {
                exit: Exit::Unknown,
                reason: ExitReason::Killed,
                panic: None,
                stderr: Vec::new(),
            })
        })
    }

    /// How the process ended, if it is known to have.
    pub(super) fn report(&self) -> Option<ExitReport> {
        // A look is not enough: the shared future learns of its end only when it is polled.
        self.exited.clone().now_or_never()?.ok()
    }
}

/// Resolves the other end.
fn finish(sender: &Mutex<Option<oneshot::Sender<()>>>) {
    let sender = sender.lock().take();
    // It wakes who waits: without the lock.
    drop(sender);
}

/// A plugin that has been started: its process runs and the host is connected to it.
///
/// Dropping it kills the plugin and reaps its process, by a task of the runtime, or with the runtime
/// if that is dropped first; [`shutdown`](Self::shutdown) ends it in good order. Clients that were
/// dispensed keep working as long as the plugin runs, also when its connection is lost and made
/// again, and fail with a status that says how it ended from then on.
pub struct RunningPlugin {
    shared: Arc<Shared>,
    runtime: SharedRuntime,
    requests: mpsc::UnboundedSender<Request>,
    version: i64,
    protocol: Protocol,
    link: Link,
}

/// What [`RunningPlugin::shutdown`] and [`RunningPlugin::kill`] wait beyond the time that the last
/// output may take: a bound for a runtime that has stopped running tasks.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);

impl RunningPlugin {
    pub(super) fn new(
        shared: Arc<Shared>,
        runtime: SharedRuntime,
        requests: mpsc::UnboundedSender<Request>,
        started: Started,
    ) -> Self {
        Self {
            shared,
            runtime,
            requests,
            version: started.line.app_version(),
            protocol: started.line.protocol(),
            link: started.link,
        }
    }

    /// A client of the interface that the plugin provides under `name`.
    ///
    /// Over gRPC this takes no time: the name never travels, since all plugins of a process share
    /// one connection.
    ///
    /// # Errors
    /// [`DispenseError`] if the host was told which plugins there are and this is none of them, or
    /// if the plugin has ended.
    ///
    /// Cancel-safe.
    pub async fn dispense<C: Client>(&self, name: &str) -> Result<C, DispenseError> {
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
        let channel = match self.link.connection.dispense(name) {
            Some(dispensed) => dispensed.await.map_err(DispenseError::Refused)?,
            None => self.channel(),
        };
        Ok(C::from_channel(channel))
    }

    /// The channel that all clients of this plugin share.
    #[must_use]
    pub fn channel(&self) -> Channel {
        Channel::new(Arc::clone(&self.link.connection))
    }

    /// The broker: serves interfaces to the plugin, and dials those that the plugin serves.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.link.broker
    }

    /// What people call this plugin; also the `plugin` field of its log events.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// The process id; `None` after the process has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        *self.shared.pid.lock()
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
        self.shared.disconnected.load(Ordering::Relaxed) && !self.is_exited()
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

    /// Asks the plugin's health service. Cancel-safe.
    ///
    /// # Errors
    /// The status of the call, which says how the plugin ended if it has.
    pub async fn health(&self) -> Result<Health, Status> {
        let request = HealthCheckRequest {
            service: PLUGIN.to_owned(),
        };
        let answer: HealthCheckResponse =
            call_unary(&self.channel(), HEALTH.methods[CHECK].path, &request).await?;
        Ok(match answer.status() {
            ServingStatus::Serving => Health::Serving,
            ServingStatus::NotServing => Health::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Health::Unknown,
        })
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

    /// Ends the plugin in good order: closes the broker, asks the plugin to end, and kills it if it
    /// is still there after the grace period. When this returns, the process is gone and reaped, and
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
        let report = self.end(Request::Shutdown).await;
        let name = self.name().to_owned();
        let grace = self.shared.settings().shutdown_grace;
        match report.reason {
            ExitReason::Shutdown
            | ExitReason::Killed
            | ExitReason::Unreachable
            | ExitReason::Crashed => Ok(report),
            ExitReason::GraceExpired => Err(ShutdownError::GraceExpired { name, grace }),
            ExitReason::NoController => Err(ShutdownError::NoController { name, grace }),
            ExitReason::NotAsked => Err(ShutdownError::NotAsked { name, grace }),
        }
    }

    /// Kills the plugin at once and waits until it is reaped. If the future is dropped, the plugin is
    /// killed all the same.
    pub async fn kill(self) -> ExitReport {
        self.end(Request::Kill).await
    }

    async fn end(&self, request: Request) -> ExitReport {
        // If the driver is gone, so is the process, and `exited` resolves.
        let _over = self.requests.unbounded_send(request);
        let report = self.shared.exited().await;
        let limit = self.shared.settings().last_output_within;
        let limit = time::sleep(&self.runtime, limit.saturating_add(SETTLED_WITHIN));
        select(self.shared.settled(), limit).await;
        report
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
