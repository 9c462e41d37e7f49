//! What a plugin's driver is made of, put together from what its author has said and what its host asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::mpsc;
use outboard_core::env::PluginEnv;
use outboard_core::handshake::Protocol;
use outboard_core::plugin::{self as machine, PluginConfig, SocketKind};
use outboard_core::rt::SharedRuntime;

use super::driver::{Around, DriverParts};
use super::{Plugin, ServeError, sets, sockets};
use crate::carrier::Security;
use crate::serve::tracked::InFlight;

impl Plugin {
    /// What a driver is made of, for a plugin with nothing around it. Nothing has happened yet.
    pub(super) fn parts(
        mut self,
        runtime: SharedRuntime,
        env: PluginEnv,
    ) -> Result<DriverParts, ServeError> {
        if let Some(note) = env.invalid_note() {
            crate::log::write(outboard_core::hclog::Level::Warn, "outboard", &note);
        }
        if self.transports.is_empty() {
            self.transports = crate::transports::of_plugins();
        }
        let protocols: Vec<Protocol> = self.transports.iter().map(|t| t.protocol()).collect();
        if protocols.is_empty() {
            return Err(ServeError::NoTransport);
        }
        let in_flight = Arc::new(InFlight::default());
        let mut routers = BTreeMap::new();
        let mut versions = BTreeMap::new();
        for (version, set) in std::mem::take(&mut self.sets) {
            let (router, spoken) = sets::router(version, set, &protocols, &in_flight)?;
            routers.insert(version, router);
            versions.insert(version, spoken);
        }
        let mut config = PluginConfig::new(env.clone(), versions);
        config.outlive_host = self.outlive_host;
        config.can_multiplex = self.multiplex;
        if self.tcp {
            config.socket = SocketKind::Tcp;
        }
        let mut brokered = config.socket;
        let given = self.given.take();
        if let Some(given) = &given {
            brokered = sockets::of_the_same_kind(given, brokered);
            config.socket = SocketKind::Given;
        }
        if let Some(limit) = self.alone_limit {
            config.alone_limit = limit;
        }
        if let Some(timeout) = self.drain_timeout {
            config.drain_timeout = timeout;
        }
        let protocol = machine::Plugin::new(config.clone(), runtime.now()).protocol();
        // Pipes are private as they are.
        let (security, certificate) = if protocol.has_socket() {
            self.security.answer(&env)?
        } else {
            (Security::default(), None)
        };
        config.certificate = certificate;
        #[cfg(feature = "tls")]
        security
            .can_accept()
            .map_err(|fault| ServeError::TlsProvider(fault.into()))?;
        #[cfg(feature = "log")]
        if let (Some(level), Some(hook)) = (env.log_level(), &self.on_log_level) {
            hook(level);
        }
        let (asked, shutdown_calls) = mpsc::unbounded();
        Ok(DriverParts {
            runtime,
            config,
            env,
            around: Around::default(),
            dir: self.dir,
            given,
            brokered,
            events: self.events,
            routers,
            transports: self.transports,
            health: self.health,
            #[cfg(feature = "log")]
            on_log_level: self.on_log_level,
            in_flight,
            shutdown: self.shutdown,
            security,
            allowed: self.allowed,
            max_message_size: self.max_message_size,
            asked,
            shutdown_calls,
        })
    }
}
