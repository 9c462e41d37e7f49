//! A host whose plugin is in its own process.

use outboard_core::rt::SharedRunner;

use super::{ConfigError, Host};

impl Host {
    /// This host, to start what `runner` has in this process.
    ///
    /// # Errors
    /// If it is to attach to a plugin.
    pub(crate) fn in_memory(&self, runner: SharedRunner) -> Result<Self, ConfigError> {
        if self.attach.is_some() {
            return Err(ConfigError::MemoryAndAttach);
        }
        let mut host = self.clone().private_socket_dir(false).sweep(false);
        host.runner = runner;
        // Nothing is executed.
        host.command = None;
        host.checksum = None;
        Ok(host)
    }
}
