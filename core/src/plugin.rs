//! The plugin's side of its life, from the environment to the exit.

mod types;

use std::collections::VecDeque;
use std::time::Instant;

use crate::handshake::{HandshakeLine, Location, Protocol};
use crate::timer::{TimerKind, Timers};
use crate::version::{Choice, choose};

pub use types::{
    ListenSpec, PluginAction, PluginConfig, PluginError, PluginEvent, PluginInput, SocketKind,
    StopReason,
};

/// The plugin's side of one run: negotiation, listener, handshake line, serving, draining, exit.
///
/// Its methods are getters, `handle*` for what comes from outside, the verbs
/// [`shutdown`](Self::shutdown) and [`kill`](Self::kill) for what the program itself wants, and
/// `poll_*` for what goes outside. The crate's documentation says in which order to use them. No
/// input in any order makes it panic; inputs that make no sense in a state are ignored.
///
/// ```text
///  Listening ── ListenFailed, Interrupted, HostGone ──▶ Finished
///      │ Listening                                        ▲ ▲
///      ▼                                                  │ │
///  Announcing ── HandshakeWriteFailed, … ─────────────────┘ │
///      │ HandshakeWritten                                   │
///      ▼                                                    │
///   Serving ── HostGone, nobody connected, kill() ──────────┤
///      │ ShutdownCalled, shutdown()                         │
///      ▼                                                    │
///   Draining ── Drained, drain time is over, kill() ────────┘
/// ```
#[derive(Debug)]
pub struct Plugin {
    config: PluginConfig,
    state: State,
    choice: Choice,
    protocol: Protocol,
    timers: Timers,
    actions: VecDeque<PluginAction>,
    events: VecDeque<PluginEvent>,
    line: Option<HandshakeLine>,
    /// Whether there is, or may soon be, a listener to close.
    listening: bool,
    connections: usize,
    interrupts: u64,
    reason: Option<StopReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for the listener.
    Listening,
    /// Waiting for the handshake line to be written.
    Announcing,
    Serving,
    Draining,
    Finished,
}

impl Plugin {
    /// A plugin that has passed the cookie check: negotiates, then asks for a listener. If that
    /// cannot succeed, the first action is [`PluginAction::Finish`].
    #[must_use]
    pub fn new(config: PluginConfig, now: Instant) -> Self {
        let _ = now;
        // The number stands in for a version only if there is none, and then nothing is served.
        let own = config.versions.keys().copied();
        let choice = choose(own, config.env.offered(), 0);
        let mut plugin = Self {
            config,
            state: State::Listening,
            choice,
            protocol: Protocol::Grpc,
            timers: Timers::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            line: None,
            listening: false,
            connections: 0,
            interrupts: 0,
            reason: None,
        };
        match plugin.plan() {
            Ok((protocol, spec)) => {
                plugin.protocol = protocol;
                plugin.listening = true;
                plugin.actions.push_back(PluginAction::Listen(spec));
            }
            Err(error) => plugin.finish(StopReason::Failed(error)),
        }
        plugin
    }

    /// Takes note of what happened outside.
    pub fn handle(&mut self, now: Instant, input: PluginInput) {
        match input {
            PluginInput::Listening(location) => self.on_listening(now, location),
            PluginInput::ListenFailed(fault) => {
                if self.state == State::Listening {
                    self.listening = false;
                    self.finish(StopReason::Failed(PluginError::Listen(fault)));
                }
            }
            PluginInput::HandshakeWritten => {
                if self.state == State::Announcing {
                    self.actions.push_back(PluginAction::RedirectStdio);
                    self.serve(now);
                }
            }
            PluginInput::HandshakeWriteFailed(fault) => {
                if self.state == State::Announcing {
                    self.finish(StopReason::Failed(PluginError::Handshake(fault)));
                }
            }
            PluginInput::Accepted => self.on_accepted(),
            PluginInput::ConnectionClosed => self.on_connection_closed(),
            PluginInput::ShutdownCalled => self.stop(now, StopReason::Shutdown),
            PluginInput::HostGone => self.on_host_gone(),
            PluginInput::Interrupted => self.on_interrupted(),
            PluginInput::Drained => {
                if self.state == State::Draining {
                    self.finish(StopReason::Shutdown);
                }
            }
        }
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            self.on_timer(kind);
        }
    }

    /// The next thing for the driver to do, if any.
    pub fn poll_action(&mut self) -> Option<PluginAction> {
        self.actions.pop_front()
    }

    /// The next thing for the program to know, if any.
    pub fn poll_event(&mut self) -> Option<PluginEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        self.timers.next()
    }

    /// Ends the plugin in good order, as if the host had asked for it. May be called at any time
    /// and repeatedly.
    pub fn shutdown(&mut self, now: Instant) {
        self.stop(now, StopReason::Requested);
    }

    /// Ends the plugin at once; calls in flight are dropped. May be called at any time and
    /// repeatedly.
    pub fn kill(&mut self, now: Instant) {
        let _ = now;
        self.abort(StopReason::Requested);
    }

    /// The version being served, and whether the host offered it.
    #[must_use]
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// The protocol being served.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether brokered connections share the one connection.
    #[must_use]
    pub fn multiplexing(&self) -> bool {
        self.config.env.multiplexing_active(self.protocol)
    }

    /// The line that was announced, or would have been; known once the listener is up.
    #[must_use]
    pub fn line(&self) -> Option<&HandshakeLine> {
        self.line.as_ref()
    }

    /// Whether [`PluginAction::Finish`] has been queued: no input changes anything any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }
}

/// Starting.
impl Plugin {
    /// What to serve, and where to listen for it.
    fn plan(&self) -> Result<(Protocol, ListenSpec), PluginError> {
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

    fn on_listening(&mut self, now: Instant, location: Location) {
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
        let mut line = HandshakeLine::new(self.choice.version, location, self.protocol)
            .with_multiplexing_mentioned(env.multiplexing_mentioned());
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

    fn serve(&mut self, now: Instant) {
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
    fn on_accepted(&mut self) {
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

    fn on_connection_closed(&mut self) {
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

    fn on_host_gone(&mut self) {
        // Nobody else can reach a plugin that has not announced itself or serves its own pipes.
        let reachable = match self.state {
            State::Serving | State::Draining => self.protocol != Protocol::Stdio,
            State::Listening | State::Announcing | State::Finished => false,
        };
        if !(self.config.outlive_host && reachable) {
            self.abort(StopReason::HostGone);
        }
    }

    fn on_interrupted(&mut self) {
        match self.state {
            // As in go-plugin, interrupts count until the line is written.
            State::Listening | State::Announcing => self.abort(StopReason::Interrupted),
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

    fn on_timer(&mut self, kind: TimerKind) {
        match kind {
            TimerKind::FirstConnection => self.abort(StopReason::NobodyConnected),
            TimerKind::Drain => {
                self.actions.push_back(PluginAction::Abort);
                self.finish(StopReason::Shutdown);
            }
            // Not of this machine.
            TimerKind::Start
            | TimerKind::Evidence
            | TimerKind::ShutdownGrace
            | TimerKind::Reap
            | TimerKind::LastOutput
            | TimerKind::PipeDrain
            | TimerKind::Announcement(_)
            | TimerKind::Dial(_)
            | TimerKind::Open(_)
            | TimerKind::Knock(_)
            | TimerKind::Stream(_) => {}
        }
    }

    /// The end in good order.
    fn stop(&mut self, now: Instant, reason: StopReason) {
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
    fn abort(&mut self, reason: StopReason) {
        if self.state == State::Finished {
            return;
        }
        if self.connections > 0 {
            self.actions.push_back(PluginAction::Abort);
        }
        self.finish(reason);
    }

    fn stop_listening(&mut self) {
        if std::mem::take(&mut self.listening) {
            self.actions.push_back(PluginAction::StopListening);
        }
    }

    /// Notes the first reason; later ones are its consequences.
    fn stopping(&mut self, reason: StopReason) {
        if self.reason.is_none() {
            self.reason = Some(reason.clone());
            self.events.push_back(PluginEvent::Stopping(reason));
        }
    }

    fn finish(&mut self, reason: StopReason) {
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
