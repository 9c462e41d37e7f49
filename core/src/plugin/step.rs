//! How a plugin machine answers what happens.

use std::time::Instant;

use super::{
    ListenSpec, Plugin, PluginAction, PluginError, PluginEvent, SocketKind, State, StopReason,
};
use crate::handshake::{HandshakeLine, Location, Protocol};
use crate::timer::TimerKind;

/// Starting.
impl Plugin {
    /// What to serve, and where to listen for it.
    pub(super) fn plan(&self) -> Result<(Protocol, ListenSpec), PluginError> {
        let version = self.choice.version;
        let Some(protocols) = self.config.versions.get(&version) else {
            return Err(PluginError::NothingToServe);
        };
        // The host's order counts among what it offered; what every host takes comes after.
        let offered = self.config.env.transports().iter();
        let protocol = offered
            .copied()
            .find(|offer| protocols.contains(offer))
            .or_else(|| {
                protocols
                    .iter()
                    .copied()
                    .find(|own| *own != Protocol::Stdio)
            })
            .ok_or(match protocols.as_slice() {
                [] => PluginError::NothingToServe,
                [_, ..] => PluginError::NoCommonProtocol { version },
            })?;
        let spec = match (protocol, self.config.socket) {
            (Protocol::Stdio, _) => ListenSpec::Stdio,
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
            self.timers.arm(TimerKind::FirstConnection, now, wait);
        }
    }
}

/// Serving and ending.
impl Plugin {
    pub(super) fn on_accepted(&mut self) {
        match self.state {
            State::Serving => {
                self.connections = self.connections.saturating_add(1);
                self.timers.disarm(TimerKind::FirstConnection);
                if self.multiplexing() {
                    self.stop_listening();
                }
            }
            // Accepted before the listener was closed; its closing will be told as well.
            State::Draining => self.connections = self.connections.saturating_add(1),
            State::Listening | State::Announcing | State::Finished => {}
        }
    }

    pub(super) fn on_connection_closed(&mut self) {
        self.connections = self.connections.saturating_sub(1);
        if self.connections > 0 {
            return;
        }
        match self.state {
            State::Serving if self.protocol == Protocol::Stdio => {
                self.abort(StopReason::HostGone);
            }
            State::Serving if self.multiplexing() => self.abort(StopReason::Disconnected),
            // Another connection may come, also from another host.
            State::Serving => {}
            // Nobody is left who waits for an answer.
            State::Draining => self.finish(StopReason::Shutdown),
            State::Listening | State::Announcing | State::Finished => {}
        }
    }

    pub(super) fn on_host_gone(&mut self) {
        // Nobody else can reach a plugin that has not announced itself or serves its own pipes.
        let reachable = match self.state {
            State::Serving | State::Draining => self.protocol != Protocol::Stdio,
            State::Listening | State::Announcing | State::Finished => false,
        };
        if !(self.config.outlive_host && reachable) {
            self.abort(StopReason::HostGone);
        }
    }

    pub(super) fn on_interrupted(&mut self, now: Instant) {
        match self.state {
            // As in go-plugin, interrupts count until the line is written.
            State::Listening | State::Announcing => self.abort(StopReason::Interrupted),
            State::Serving if !self.config.held => self.stop(now, StopReason::Interrupted),
            State::Draining if !self.config.held => self.abort(StopReason::Interrupted),
            State::Serving | State::Draining => {
                self.interrupts = self.interrupts.saturating_add(1);
                let count = self.interrupts;
                if let Some(PluginEvent::Interrupted { count: last }) = self.events.back_mut() {
                    *last = count;
                } else {
                    self.events.push_back(PluginEvent::Interrupted { count });
                }
            }
            State::Finished => {}
        }
    }

    pub(super) fn on_timer(&mut self, kind: TimerKind) {
        match kind {
            TimerKind::FirstConnection => self.abort(StopReason::NobodyConnected),
            TimerKind::Drain => {
                self.actions.push_back(PluginAction::Abort);
                self.finish(StopReason::Shutdown);
            }
            // Not of this machine.
            TimerKind::Start
            | TimerKind::Reconnect
            | TimerKind::Unreachable
            | TimerKind::Evidence
            | TimerKind::ShutdownGrace
            | TimerKind::Reap
            | TimerKind::LastOutput
            | TimerKind::Silence
            | TimerKind::PipeDrain
            | TimerKind::Announcement(_)
            | TimerKind::Dial(_)
            | TimerKind::Open(_)
            | TimerKind::Knock(_)
            | TimerKind::Stream(_) => {}
        }
    }

    /// The end in good order.
    pub(super) fn stop(&mut self, now: Instant, reason: StopReason) {
        match self.state {
            State::Listening | State::Announcing => self.abort(reason),
            State::Serving => {
                self.stopping(reason.clone());
                self.stop_listening();
                if self.connections == 0 {
                    self.finish(reason);
                    return;
                }
                self.state = State::Draining;
                self.timers.clear();
                self.actions.push_back(PluginAction::Drain);
                let wait = self.config.drain_timeout;
                self.timers.arm(TimerKind::Drain, now, wait);
            }
            State::Draining | State::Finished => {}
        }
    }

    /// The end at once.
    pub(super) fn abort(&mut self, reason: StopReason) {
        if self.state == State::Finished {
            return;
        }
        if self.connections > 0 {
            self.actions.push_back(PluginAction::Abort);
        }
        self.finish(reason);
    }

    pub(super) fn stop_listening(&mut self) {
        if std::mem::take(&mut self.listening) {
            self.actions.push_back(PluginAction::StopListening);
        }
    }

    /// Notes the first reason; later ones are its consequences.
    pub(super) fn stopping(&mut self, reason: StopReason) {
        if self.reason.is_none() {
            self.reason = Some(reason.clone());
            self.events.push_back(PluginEvent::Stopping(reason));
        }
    }

    pub(super) fn finish(&mut self, reason: StopReason) {
        if self.state == State::Finished {
            return;
        }
        self.timers.clear();
        self.stopping(reason.clone());
        self.stop_listening();
        self.state = State::Finished;
        let reason = self.reason.clone().unwrap_or(reason);
        self.actions.push_back(PluginAction::Finish {
            code: reason.code(),
            reason,
        });
    }
}
