//! What a host and its plugin must agree on, put together before anything is launched.

use std::collections::BTreeSet;

use outboard_core::env::{HostEnv, SocketGroup};
use outboard_core::handshake::{HostExpectation, Protocol};

use super::{ConfigError, Host};

impl Host {
    /// What is put into the plugin's environment, and what its line must agree with.
    ///
    /// `fed`: whether the plugin's stdin has bytes of the user's, so that no calls can go over it.
    pub(super) fn contract(
        &mut self,
        fed: bool,
    ) -> Result<(HostEnv, HostExpectation), ConfigError> {
        self.handshake.check()?;
        let (min, max) = self.ports;
        if min > max {
            return Err(ConfigError::EmptyPortRange { min, max });
        }
        if self.transports.is_empty() {
            self.transports = crate::transports::of_hosts();
            self.transports
                .retain(|transport| !fed || transport.protocol().has_socket());
        } else if fed && !self.transports.iter().all(|t| t.protocol().has_socket()) {
            return Err(ConfigError::StdinTaken);
        }
        let protocols: Vec<Protocol> = self.transports.iter().map(|t| t.protocol()).collect();
        if protocols.is_empty() {
            return Err(ConfigError::NoTransport);
        }
        if self.settings.plugins.is_empty() {
            self.settings
                .plugins
                .insert(self.handshake.protocol_version(), None);
        }
        for (&version, names) in &self.settings.plugins {
            let mut seen = BTreeSet::new();
            if let Some(name) = names.iter().flatten().find(|name| !seen.insert(*name)) {
                let name = name.clone();
                return Err(ConfigError::DuplicateName { name, version });
            }
        }
        let versions: BTreeSet<i64> = self.settings.plugins.keys().copied().collect();
        let mut env = HostEnv::new(self.handshake)
            .ports(min, max)
            .versions(versions.clone());
        env = self.log_level.within(env);
        if let Some(group) = &self.socket_group {
            env = env.socket_group(SocketGroup::from(group.clone()));
        }
        if let Some(dir) = &self.socket_dir {
            env = env.socket_dir(dir);
        }
        if protocols.contains(&Protocol::Stdio) {
            env = env.transports(protocols.clone());
        }
        let expectation = HostExpectation::new(versions).allowing(protocols);
        let multiplex = self.multiplex;
        Ok((
            env.multiplexing(multiplex),
            expectation.multiplexing(multiplex),
        ))
    }
}
