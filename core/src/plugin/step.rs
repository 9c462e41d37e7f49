//! How a plugin machine answers what happens until it serves.

use std::time::Instant;

use super::{
    ListenSpec, Plugin, PluginAction, PluginError, PluginEvent, PluginTimer, SocketKind, State,
    StopReason,
};
use crate::handshake::{HandshakeLine, Location, Protocol};

impl Plugin {
    /// What to serve, and where to listen for it.
    pub(super) fn plan(&self) -> Result<(Protocol, ListenSpec), PluginError> {
        let version = self.choice.version;
        let Some(protocols) = self.config.versions.get(&version) else {
            return Err(PluginError::NothingToServe);
        };
        // The host's order counts among what it offered; what every host takes comes after.
        let offered = self.config.env.transports().iter();
        let given = self.config.socket == SocketKind::Given;
        let protocol = offered
            .copied()
            .find(|offer| protocols.contains(offer) && (offer.has_socket() || !given))
            .or_else(|| protocols.iter().copied().find(|own| own.has_socket()))
            .ok_or(match protocols.as_slice() {
                [] => PluginError::NothingToServe,
                [_, ..] if given => PluginError::NoUseForListener { version },
                [_, ..] => PluginError::NoCommonProtocol { version },
            })?;
        let spec = match (protocol, self.config.socket) {
            (Protocol::Stdio, _) => ListenSpec::Stdio,
            (Protocol::Grpc | Protocol::NetRpc, SocketKind::Given) => ListenSpec::Given,
            (Protocol::Grpc | Protocol::NetRpc, SocketKind::Unix) => ListenSpec::Unix {
                dir: self.config.env.socket_dir().map(Into::into),
                group: self.config.env.socket_group().cloned(),
            },
            (Protocol::Grpc | Protocol::NetRpc, SocketKind::Tcp) => ListenSpec::Tcp {
                ports: self.config.env.ports().map_err(PluginError::Ports)?,
            },
        };
        Ok((protocol, spec))
    }

    pub(super) fn on_listening(&mut self, now: Instant, location: Location) {
        if self.state != State::Listening {
            // It came too late: `StopListening` has been asked for already.
            return;
        }
        if let Some(endpoint) = location.endpoint() {
            let address = endpoint.address();
            if address.contains(|c: char| c == '|' || c.is_control()) {
                self.finish(StopReason::Failed(PluginError::UnprintableAddress {
                    address,
                }));
                return;
            }
        }
        let env = &self.config.env;
        let mentioned = self.config.can_multiplex && env.multiplexing_mentioned();
        let mut line = HandshakeLine::new(self.choice.version, location, self.protocol)
            .with_multiplexing_mentioned(mentioned);
        if let (Some(_), Some(der)) = (env.client_cert(), &self.config.certificate) {
            line = line.with_certificate(der.clone());
        }
        let bytes = line.to_bytes();
        self.line = Some(line);
        if self.config.announce {
            self.state = State::Announcing;
            self.actions.push_back(PluginAction::WriteHandshake(bytes));
        } else {
            self.serve(now);
        }
    }

    pub(super) fn serve(&mut self, now: Instant) {
        self.state = State::Serving;
        self.actions.push_back(PluginAction::Serve);
        if let Some(line) = &self.line {
            self.events.push_back(PluginEvent::Serving(line.clone()));
        }
        if self.multiplexing() {
            let wait = self.config.first_connection;
            self.timers.arm(PluginTimer::FirstConnection, now, wait);
        }
        self.count_hosts(now);
    }
}
