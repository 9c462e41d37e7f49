//! A plugin that is kept up, for code that blocks.

use std::iter::from_fn;
use std::ops::Deref;
use std::time::Duration;

use outboard_core::hclog::Level;
use outboard_core::rpc::Status;

use super::engine::Engine;
use super::wait::{wait, wait_for_call, wait_within};
use super::{Broker, Host};
use crate::client::Dispense;
use crate::host::{DispenseError, LevelAnswer, ShutdownError};
use crate::supervisor::{Event, NotUp, State, Swap, SwapError, SwapReport};

/// A plugin that is kept up, as [`outboard::Supervised`](crate::Supervised): what that says of itself
/// without waiting, such as [`state`](crate::Supervised::state), is to be had here as well.
///
/// Clones share it. When the last one is dropped its process is killed and reaped in the background;
/// [`shutdown`](Self::shutdown) ends it in good order. Clients do not hold it.
#[derive(Clone, Debug)]
pub struct Supervised {
    plugin: crate::Supervised,
    /// To be let go last.
    _engine: Engine,
}

impl Supervised {
    pub(super) fn new(plugin: crate::Supervised, engine: Engine) -> Self {
        Self {
            plugin,
            _engine: engine,
        }
    }

    /// A client of the interface that the plugin provides under `name`, valid across its processes; see
    /// [`Supervised::dispense`](crate::Supervised::dispense).
    ///
    /// # Errors
    /// As that.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn dispense<D: Dispense>(&self, name: &str) -> Result<D, DispenseError> {
        wait(self.plugin.dispense(name))
    }

    /// The broker of the present process, while one is up.
    #[must_use]
    pub fn broker(&self) -> Option<Broker> {
        self.plugin.broker().map(Into::into)
    }

    /// Waits until the plugin is up. It is started if it rests.
    ///
    /// # Errors
    /// [`NotUp`] if it is not, and not to be by itself: it ended too often, or for good.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    #[allow(clippy::result_large_err, reason = "it is that of the async one")]
    pub fn ready(&self) -> Result<(), NotUp> {
        wait(self.plugin.ready())
    }

    /// The same, for so long at most; `None` if it is not up then.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn ready_within(&self, limit: Duration) -> Option<Result<(), NotUp>> {
        wait_within(limit, self.plugin.ready())
    }

    /// What it is doing: the present state, and from then on the latest each time that it has changed, for which
    /// this waits. It ends when nothing changes any more.
    ///
    /// # Panics
    /// `next` does in async code.
    pub fn states(&self) -> impl Iterator<Item = State> + Send + use<> {
        let mut states = self.plugin.states();
        from_fn(move || wait(states.next()))
    }

    /// What happens to it from now on, for which this waits; see [`Supervised::events`](crate::Supervised::events).
    ///
    /// # Panics
    /// `next` does in async code.
    pub fn events(&self) -> impl Iterator<Item = Event> + Send + use<> {
        let mut events = self.plugin.events();
        from_fn(move || wait(events.next()))
    }

    /// Replaces the plugin by a new program under its callers, and waits until the old process has ended; see
    /// [`Supervised::swap`](crate::Supervised::swap).
    ///
    /// # Errors
    /// As that.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn swap(&self, host: &Host, plan: Swap) -> Result<SwapReport, SwapError> {
        wait(self.plugin.swap(&host.0, plan))
    }

    /// Has the plugin log from this level on, this process and each later one; see
    /// [`Supervised::set_log_level`](crate::Supervised::set_log_level).
    ///
    /// # Errors
    /// The status of the call to a process that is up and does not answer as it should.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn set_log_level(&self, level: Level) -> Result<LevelAnswer, Status> {
        wait_for_call(self.plugin.set_log_level(level))
    }

    /// Ends the plugin in good order, and starts it no more: for all clones. When this returns, the process is
    /// gone and reaped.
    ///
    /// # Errors
    /// [`ShutdownError`] if the plugin did not end by itself within the grace period. It is gone all the
    /// same.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn shutdown(&self) -> Result<(), ShutdownError> {
        wait(self.plugin.shutdown())
    }
}

/// What the async handle tells without waiting, and what async code of the program's has of it.
impl Deref for Supervised {
    type Target = crate::Supervised;

    fn deref(&self) -> &crate::Supervised {
        &self.plugin
    }
}
