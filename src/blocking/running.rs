//! A plugin that runs, for code that blocks.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use outboard_core::hclog::Level;
use outboard_core::rpc::Status;
use outboard_core::told::Told;

use super::Broker;
use super::engine::Engine;
use super::wait::{wait, wait_anywhere, wait_for_call, wait_within};
use crate::client::Dispense;
use crate::host::{DispenseError, ExitReport, Health, LevelAnswer, PingError, ShutdownError};

/// A plugin that has been started, as [`outboard::RunningPlugin`](crate::RunningPlugin): what that says
/// of itself without waiting, such as [`pid`](crate::RunningPlugin::pid) or
/// [`exit_report`](crate::RunningPlugin::exit_report), is to be had here as well.
///
/// Dropping it kills the plugin and waits until it is reaped (one that the host has attached to is let go);
/// [`shutdown`](Self::shutdown) ends it in good order. Its clients work from any thread.
pub struct RunningPlugin {
    /// `None` once it is on its way out.
    plugin: Option<crate::RunningPlugin>,
    /// Resolves when nothing of the plugin runs any more.
    gone: Told<()>,
    /// To be let go last.
    _engine: Engine,
}

impl RunningPlugin {
    pub(super) fn new(plugin: crate::RunningPlugin, gone: Told<()>, engine: Engine) -> Self {
        Self {
            plugin: Some(plugin),
            gone,
            _engine: engine,
        }
    }

    fn plugin(&self) -> &crate::RunningPlugin {
        let there = self.plugin.as_ref();
        there.expect("only what takes the handle itself takes it out")
    }

    fn take(&mut self) -> crate::RunningPlugin {
        let there = self.plugin.take();
        there.expect("only what takes the handle itself takes it out")
    }

    /// A client of the interface that the plugin provides under `name`: a generated one that blocks, such as
    /// `GreeterBlockingClient`, or an async one for async code of the program's.
    ///
    /// # Errors
    /// As [`RunningPlugin::dispense`](crate::RunningPlugin::dispense).
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn dispense<D: Dispense>(&self, name: &str) -> Result<D, DispenseError> {
        wait(self.plugin().dispense(name))
    }

    /// The broker: serves interfaces to the plugin, and dials those that the plugin serves.
    #[must_use]
    pub fn broker(&self) -> Broker {
        self.plugin().broker().clone().into()
    }

    /// Waits until the process has ended, however that comes, and what it printed and logged has been handed
    /// over.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn exited(&self) -> ExitReport {
        wait(self.plugin().exited())
    }

    /// The same, for so long at most; `None` if it still runs then.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn exited_within(&self, limit: Duration) -> Option<ExitReport> {
        wait_within(limit, self.plugin().exited())
    }

    /// Asks the plugin's health service.
    ///
    /// # Errors
    /// The status of the call, which says how the plugin ended if it has.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn health(&self) -> Result<Health, Status> {
        wait_for_call(self.plugin().health())
    }

    /// The names of the services that the plugin says it has; see
    /// [`RunningPlugin::interfaces`](crate::RunningPlugin::interfaces).
    ///
    /// # Errors
    /// The status of the call.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn interfaces(&self) -> Result<Vec<String>, Status> {
        wait_for_call(self.plugin().interfaces())
    }

    /// Checks that the plugin takes calls: its health service answers SERVING.
    ///
    /// # Errors
    /// [`PingError`].
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn ping(&self) -> Result<(), PingError> {
        wait(self.plugin().ping())
    }

    /// Has the plugin log from this level on; see
    /// [`RunningPlugin::set_log_level`](crate::RunningPlugin::set_log_level).
    ///
    /// # Errors
    /// The status of the call.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn set_log_level(&self, level: Level) -> Result<LevelAnswer, Status> {
        wait_for_call(self.plugin().set_log_level(level))
    }

    /// Ends the plugin in good order, and waits until it is gone; see
    /// [`RunningPlugin::shutdown`](crate::RunningPlugin::shutdown).
    ///
    /// # Errors
    /// [`ShutdownError`] if the plugin did not end by itself within the grace period. It is gone all the
    /// same.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn shutdown(mut self) -> Result<ExitReport, ShutdownError> {
        wait(self.take().shutdown())
    }

    /// Kills the plugin at once and waits until it is reaped.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn kill(mut self) -> ExitReport {
        wait(self.take().kill())
    }

    /// Lets go of the plugin, which runs on, and waits until the connection to it is given up; see
    /// [`RunningPlugin::detach`](crate::RunningPlugin::detach).
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn detach(mut self) -> ExitReport {
        wait(self.take().detach())
    }
}

/// What the async handle tells without waiting, and what async code of the program's has of it.
impl Deref for RunningPlugin {
    type Target = crate::RunningPlugin;

    fn deref(&self) -> &crate::RunningPlugin {
        self.plugin()
    }
}

impl Drop for RunningPlugin {
    fn drop(&mut self) {
        // Before the wait: it is this that ends the plugin.
        drop(self.plugin.take());
        wait_anywhere(self.gone.clone());
    }
}

impl fmt::Debug for RunningPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.plugin, f)
    }
}
