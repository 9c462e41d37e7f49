//! What the driver, the tasks and the handles of one plugin share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join;
use outboard_core::exit::Exit;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::told::Teller;

use super::Settings;
use super::logs::LogPump;
#[cfg(feature = "netrpc")]
use super::progress::LastLines;
use super::progress::{Progress, Said};
use super::report::{ExitReason, ExitReport};
use super::sync::SyncWriters;

/// What a handle asks of the driver. A closed channel means that all handles are gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Shutdown,
    Kill,
    Detach,
}

/// What the driver and the handles of one plugin share.
pub(super) struct Shared {
    name: String,
    settings: Settings,
    /// The user's writers for what the plugin prints.
    pub(super) sync: SyncWriters,
    /// The process while it is there: what it is called where it runs, and its number here.
    process: Mutex<Option<(String, Option<u32>)>>,
    disconnected: AtomicBool,
    exited: Teller<ExitReport>,
    stdio_ended: Teller<()>,
    direct_ended: Teller<()>,
    /// What goes to the user's writers.
    pub(super) printed: Progress,
    /// What came of the plugin's stderr over the connection, for the evidence.
    pub(super) said: Said,
    /// For the log of a plugin that this host has no pipe for, until its output is taken.
    logs: Mutex<Option<LogPump>>,
    /// What the log said last.
    #[cfg(feature = "netrpc")]
    pub(super) last_lines: LastLines,
    log_ended: AtomicBool,
    link_ended: AtomicBool,
    settled: Teller<()>,
}

impl Shared {
    pub(super) fn new(name: String, settings: Settings, sync: SyncWriters) -> Self {
        Self {
            name,
            settings,
            sync,
            process: Mutex::new(Rank::Driver, None),
            disconnected: AtomicBool::new(false),
            exited: Teller::new(),
            stdio_ended: Teller::new(),
            direct_ended: Teller::new(),
            printed: Progress::default(),
            said: Said::default(),
            logs: Mutex::new(Rank::Driver, None),
            #[cfg(feature = "netrpc")]
            last_lines: LastLines::default(),
            log_ended: AtomicBool::new(false),
            link_ended: AtomicBool::new(false),
            settled: Teller::new(),
        }
    }

    /// Has the log that comes over the connection go there.
    pub(super) fn set_logs(&self, logs: LogPump) {
        let before = self.logs.lock().replace(logs);
        drop(before);
    }

    /// Where the log that comes over the connection goes, once.
    pub(super) fn take_logs(&self) -> Option<LogPump> {
        self.logs.lock().take()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn set_process(&self, process: Option<(String, Option<u32>)>) {
        let earlier = std::mem::replace(&mut *self.process.lock(), process);
        drop(earlier);
    }

    /// What the process is called while it is there, and its number.
    pub(super) fn process(&self) -> Option<(String, Option<u32>)> {
        self.process.lock().clone()
    }

    pub(super) fn set_disconnected(&self) {
        self.disconnected.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_disconnected(&self) -> bool {
        self.disconnected.load(Ordering::Relaxed)
    }

    pub(super) fn set_exited(&self, report: ExitReport) {
        self.exited.tell(report);
    }

    /// What the plugin sent of its output over the connection has been handed over, to its end.
    pub(super) fn set_stdio_ended(&self) {
        self.stdio_ended.tell(());
    }

    /// What the plugin printed on pipes of their own has been handed over, to its end, or it has none.
    pub(super) fn set_printed_ended(&self) {
        self.direct_ended.tell(());
    }

    /// Resolves after [`set_printed_ended`](Self::set_printed_ended).
    pub(super) fn printed_ended(&self) -> impl Future + Send + Unpin + use<> {
        self.direct_ended.told()
    }

    /// Resolves when all that the plugin printed has been handed over, whatever way it came.
    pub(super) fn output_ended(&self) -> impl Future + Send + Unpin + use<> {
        join(self.stdio_ended.told(), self.direct_ended.told())
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
            self.settled.tell(());
        }
    }

    /// Resolves when the process has ended and what it printed and logged has been handed over, as
    /// far as there was time for that.
    pub(super) fn settled(&self) -> impl Future<Output = ExitReport> + Send + Unpin + use<> {
        let settled = self.settled.told();
        // Its sender is used at the latest by the drop of the driver.
        join(self.exited(), settled).map(|(report, _)| report)
    }

    /// Resolves when the process has ended.
    pub(super) fn exited(&self) -> impl Future<Output = ExitReport> + Send + Unpin + use<> {
        // The sender is in the same struct, and the driver uses it at the latest in its drop.
        self.exited.told().map(|report| {
            report.unwrap_or_else(|| ExitReport::new(Exit::Unknown, ExitReason::Killed))
        })
    }

    /// How the process ended, if it is known to have.
    pub(super) fn report(&self) -> Option<ExitReport> {
        self.exited.value()
    }
}

/// Tells that a task has ended, also if it is dropped with its runtime: then nobody may wait for it,
/// and least of all with a timer, which a runtime that is gone does not have.
pub(super) struct AtEnd(pub(super) Arc<Shared>, pub(super) fn(&Shared));

impl Drop for AtEnd {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}
