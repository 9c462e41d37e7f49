//! How a host ends its plugins: which limits the stages of the end have.

use std::time::Duration;

use super::Host;

/// The end of its plugins.
impl Host {
    /// How long the plugin may take to end after it was asked to, before force is used: it is told to end
    /// by a signal ([`terminate_grace`](Self::terminate_grace)), and then killed. 2 s if this is not
    /// called.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.settings.shutdown_grace = grace;
        self
    }

    /// How long a plugin that did not end as it was asked to may take after a SIGTERM, before it is
    /// killed. 500 ms if this is not called; zero leaves the signal out, as go-plugin does.
    ///
    /// The signal goes to the plugin's process alone. What that has started by then is killed once it has
    /// ended, as by a kill, unless it is to be [spared](crate::Command::spare_descendants). A plugin of this
    /// library that still finishes calls, a second or more after it was asked to end, drops them at the
    /// signal and ends in order. Where there are no signals, and with runners that cannot send any, the kill
    /// comes at once.
    pub fn terminate_grace(mut self, grace: Duration) -> Self {
        self.terminate_grace = Some(grace);
        self
    }

    /// How long a plugin that was killed may take to be gone, before it is given up: a process that hangs
    /// in the kernel does not die. 10 s if this is not called.
    pub fn reap_timeout(mut self, timeout: Duration) -> Self {
        self.reap_timeout = Some(timeout);
        self
    }

    /// Whether a plugin that cannot be reached again is killed, with
    /// [`ExitReason::Unreachable`](crate::ExitReason::Unreachable). It lives on unless this is called, since it may be at work.
    pub fn kill_unreachable(mut self, kill: bool) -> Self {
        self.kill_unreachable = kill;
        self
    }
}
