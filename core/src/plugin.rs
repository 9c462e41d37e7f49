//! The plugin's side of its life, from the environment to the exit.

mod step;
mod types;

use std::collections::VecDeque;
use std::time::Instant;

use crate::handshake::{HandshakeLine, Protocol};
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
///      │ ShutdownCalled, shutdown(), Interrupted (not held) │
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
            PluginInput::Interrupted => self.on_interrupted(now),
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
        self.config.can_multiplex && self.config.env.multiplexing_active(self.protocol)
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
