//! The plugin's side.

use std::time::Duration;

use outboard_core::handshake::Handshake;
use outboard_core::plugin::StopReason;
use outboard_core::reattach::ReattachConfig;
use outboard_core::rpc::Transport;
use outboard_core::rt::OsSocket;
use outboard_runtime_smol::Smol;

use super::forward::forward;
use super::wait::assert_may_block;
use crate::plugin::{Provide, ServeError};
use crate::serve::shutdown::Shutdown;
use crate::services::health::HealthReporter;

/// A plugin, as [`outboard::Plugin`](crate::Plugin), in programs without async: which interfaces a program
/// serves to the host that launched it. Make it first thing in `main`.
///
/// ```no_run
/// # fn example(service: std::sync::Arc<dyn outboard::Service>) {
/// use outboard::Handshake;
/// use outboard::blocking::Plugin;
///
/// const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
///
/// Plugin::new(HANDSHAKE).provide("greeter", service).serve_or_exit();
/// # }
/// ```
///
/// The thread that serves does what a runtime does elsewhere, and runs no handler of a blocking service: those
/// have threads of their own, see [`blocking`](super). It takes services that are async as well.
#[derive(Debug)]
#[must_use = "a plugin does nothing until it serves"]
pub struct Plugin(crate::Plugin);

impl Plugin {
    /// A plugin with this handshake, over every transport compiled in; see
    /// [`Plugin::new`](crate::Plugin::new).
    pub fn new(handshake: Handshake) -> Self {
        Self(crate::Plugin::new(handshake))
    }

    /// A handle to say, at any time, that the plugin takes calls or does not.
    #[must_use]
    pub fn health(&self) -> HealthReporter {
        self.0.health()
    }

    /// Tells, at any time and anywhere, that the plugin begins to end. Blocking work looks at
    /// [`has_begun`](Shutdown::has_begun), or waits with
    /// [`wait_for_shutdown`](super::wait_for_shutdown).
    #[must_use]
    pub fn shutdown_token(&self) -> Shutdown {
        self.0.shutdown_token()
    }

    /// Serves on this thread until the host asks for the end or dies, and says why it ended; see
    /// [`Plugin::serve`](crate::Plugin::serve). Calls in flight are finished first, within the
    /// [`drain_timeout`](Self::drain_timeout): a handler that blocks for longer goes on, and nobody gets its
    /// answer.
    ///
    /// # Errors
    /// [`ServeError`] if the plugin cannot start, or [`ServeError::Cookie`] if no host has launched it.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn serve(self) -> Result<StopReason, ServeError> {
        assert_may_block();
        Smol::block_on(|smol| self.0.serve(smol))
    }

    /// Serves like [`serve`](Self::serve), in a program that is there for nothing else; see
    /// [`Plugin::serve_or_exit`](crate::Plugin::serve_or_exit).
    ///
    /// **Ends the process** with status 1 and an explanation on stderr if no host has launched it, or if it
    /// cannot start; and if it still runs five seconds after the host has died.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn serve_or_exit(self) {
        assert_may_block();
        Smol::block_on(|smol| self.0.serve_or_exit(smol));
    }

    /// Serves in a program that somebody has started by hand, until an interrupt (Ctrl-C) ends it; see
    /// [`Plugin::serve_for_debugging`](crate::Plugin::serve_for_debugging).
    ///
    /// # Errors
    /// [`ServeError`] if it cannot listen, or has no transport that uses a socket.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn serve_for_debugging(
        self,
        told: impl FnOnce(&ReattachConfig),
    ) -> Result<StopReason, ServeError> {
        assert_may_block();
        Smol::block_on(|smol| self.0.serve_for_debugging(smol, told))
    }

    /// TLS of the plugin's own in place of AutoMTLS; see
    /// [`Plugin::tls_provider`](crate::Plugin::tls_provider).
    #[cfg(feature = "tls")]
    pub fn tls_provider<E>(
        self,
        provide: impl FnOnce() -> Result<crate::tls::Tls, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self(self.0.tls_provider(provide))
    }
}

forward! { Plugin:
    provide(name: impl Into<String>, service: impl Provide);
    provide_version(version: impl Into<i64>, name: impl Into<String>, service: impl Provide);
    transport(transport: impl Transport);
    max_message_size(bytes: usize);
    drain_timeout(timeout: Duration);
    outlive_host(outlive: bool);
    alone_limit(limit: Duration);
    backlog_limit(bytes: usize);
    tcp(tcp: bool);
    listener(socket: impl Into<OsSocket>);
    remove_socket(remove: bool);
    allow_users(users: impl IntoIterator<Item = u32>);
    allow_any_user(allow: bool);
    logging(logging: bool);
}

#[cfg(feature = "log")]
forward! { Plugin:
    install_logging();
    on_log_level(hook: impl Fn(outboard_core::hclog::Level) + Send + Sync + 'static);
}

#[cfg(feature = "multiplex")]
forward! { Plugin:
    multiplex(multiplex: bool);
}

#[cfg(feature = "tls")]
forward! { Plugin:
    identity_key(kind: crate::tls::KeyKind);
}

/// What is set and provided holds here as well.
impl From<crate::Plugin> for Plugin {
    fn from(plugin: crate::Plugin) -> Self {
        Self(plugin)
    }
}

impl From<Plugin> for crate::Plugin {
    fn from(plugin: Plugin) -> Self {
        plugin.0
    }
}
