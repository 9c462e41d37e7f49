//! How the sockets of served ids are made.

use std::path::PathBuf;

use outboard_core::admission::Allowed;
use outboard_core::env::{PluginEnv, Ports};
use outboard_core::lock::assert_unlocked;
use outboard_core::plugin::SocketKind;

use crate::sys::files::SocketFile;
use crate::sys::socket::{self, Bound, ListenError};

/// How the sockets of served ids are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenPolicy {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) group: Option<String>,
    /// TCP on these ports instead of unix sockets.
    pub(crate) ports: Option<Ports>,
    /// Who may connect beside those who may anyway.
    pub(crate) allowed: Allowed,
    /// Whether signals are left alone, at the price of a file that stays where one ends the process.
    pub(crate) leave_signals: bool,
}

impl ListenPolicy {
    /// The same rules as for the plugin's main listener.
    pub(crate) fn of_plugin(env: &PluginEnv, kind: SocketKind, allowed: &Allowed) -> Self {
        Self {
            dir: env.socket_dir().map(std::path::Path::to_path_buf),
            group: env.socket_group().map(ToString::to_string),
            ports: match kind {
                // A bad range was refused when the main listener was made.
                SocketKind::Tcp => Some(env.ports().unwrap_or(Ports::Any)),
                _ => None,
            },
            allowed: allowed.clone(),
            leave_signals: false,
        }
    }

    /// The same, with signals left alone or not.
    #[must_use]
    pub(crate) fn leaving_signals(mut self, leave: bool) -> Self {
        self.leave_signals = leave;
        self
    }

    /// Makes one. It may ask the system, and that the network, for a group: under no lock.
    pub(super) fn listen(&self) -> Result<Bound, ListenError> {
        assert_unlocked("the making of a broker's socket");
        match self.ports {
            Some(ports) => socket::listen_tcp(ports),
            None if cfg!(windows) => socket::listen_tcp(Ports::Any),
            None => {
                let dir = self.dir.clone().unwrap_or_else(std::env::temp_dir);
                let mut bound = socket::listen_unix(&dir, self.group.as_deref())?;
                if self.leave_signals {
                    bound.file = bound.file.map(SocketFile::without_signals);
                }
                Ok(bound)
            }
        }
    }
}
