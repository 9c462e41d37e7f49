//! What the host wants to be logged, for programs that see to it themselves.

use std::sync::Arc;

use outboard_core::hclog::Level;

use super::Plugin;

impl Plugin {
    /// Calls this with the level from which on the host wants the plugin's log: when serving begins, if the host told
    /// one at the launch, and each time it wants another. For programs that log otherwise than by
    /// [`log::Layer`](crate::log::Layer), which heeds it by itself, or with filters of their own.
    ///
    /// It is called by the task that serves, or in the handler of the host's call, so it should not block. If it
    /// panics there, that call fails.
    pub fn on_log_level(mut self, hook: impl Fn(Level) + Send + Sync + 'static) -> Self {
        self.on_log_level = Some(Arc::new(hook));
        self
    }
}
