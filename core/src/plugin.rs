//! The plugin's side of its life, from the environment to the exit.

mod ending;
mod step;
mod types;

use std::collections::VecDeque;
use std::time::Instant;

use crate::handshake::{HandshakeLine, Protocol};
use crate::timer::Timers;
use crate::version::{Choice, choose};

pub use types::{
    ListenSpec, PluginAction, PluginConfig, PluginError, PluginEvent, PluginInput, PluginTimer,
    SocketKind, StopReason,
};

/// The plugin's side of one run: negotiation, listener, handshake line, serving, the end.
///
/// Its methods are getters, `handle*` for what comes from outside, the verbs
/// [`shutdown`](Self::shutdown) and [`kill`](Self::kill) for what the program itself wants, and
/// `poll_*` for what goes outside. The crate's documentation says in which order to use them. No
/// input in any order makes it panic; inputs that make no sense in a state are ignored.
///
/// ```text
///  Listening ── ListenFailed, Interrupted, HostGone ───────┐
///      │ Listening                                          │
///      ▼                                                    │
///  Announcing ── HandshakeWriteFailed, … ───────────────────┤
///      │ HandshakeWritten                                   ▼
///      │                                                 Finished
///      ▼                                                    ▲
///   Serving ── HostGone, nobody there, kill() ──────┐       │ AllClosed, or time is over
///      │ ShutdownCalled, shutdown(),                ▼       │
///      │ Interrupted (not held), Terminated      Aborting ──┘
///      ▼                                            ▲
///   Ending ── the last connection has closed, ──────┘
///             time is over, HostGone, kill(),
///             Terminated a second time
/// ```
///
/// The end in good order has stages, so that nothing is cut off that is on its way: the calls in
/// flight may still print, and what they print must still be sent.
///
/// ```text
///   Calls ── CallsIdle ──▶ Release ── Released ──▶ Output ── OutputSent ──▶ Connections
///   finished, no new       stdout and stderr       what was printed        the requests to end are
///   ones are taken         are given back          is sent                 answered; all may close
/// ```
///
/// All of them together may take [`PluginConfig::drain_timeout`]. Whatever is left then, or once the
/// last connection has closed, is dropped, for which a handler that computes needs a moment:
/// [`PluginConfig::abort_patience`].
#[derive(Debug)]
pub struct Plugin {
    config: PluginConfig,
    state: State,
    choice: Choice,
    protocol: Protocol,
    timers: Timers<PluginTimer>,
    actions: VecDeque<PluginAction>,
    events: VecDeque<PluginEvent>,
    line: Option<HandshakeLine>,
    /// Whether there is, or may soon be, a listener to close.
    listening: bool,
    connections: usize,
    /// Whether there is no host that launched it any more, or never was.
    unlaunched: bool,
    interrupts: u64,
    /// Whether its process was told to end, which counts once.
    terminated: bool,
    /// When the end in good order began.
    ending: Option<Instant>,
    reason: Option<StopReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for the listener.
    Listening,
    /// Waiting for the handshake line to be written.
    Announcing,
    Serving,
    /// The end in good order.
    Ending(Stage),
    /// What is left is being dropped.
    Aborting,
    Finished,
}

/// The stages of the end in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The calls in flight are being finished.
    Calls,
    /// The redirected streams are being given back and read to their end.
    Release,
    /// What was printed is being sent.
    Output,
    /// The streams of the plugin's own have ended; the connections are being closed.
    Connections,
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
            unlaunched: !config.announce,
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
            terminated: false,
            ending: None,
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
            PluginInput::Accepted => self.on_accepted(now),
            PluginInput::ConnectionClosed => self.on_connection_closed(now),
            PluginInput::ShutdownCalled => self.on_shutdown_called(now),
            PluginInput::HostGone => self.on_host_gone(now),
            PluginInput::Interrupted => self.on_interrupted(now),
            PluginInput::Terminated => self.on_terminated(now),
            PluginInput::CallsIdle => self.on_calls_idle(now),
            PluginInput::Released => self.on_released(),
            PluginInput::OutputSent => self.on_output_sent(),
            PluginInput::AllClosed => self.on_all_closed(),
        }
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            self.on_timer(now, kind);
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
    pub fn poll_timeout(&self) -> Option<(Instant, PluginTimer)> {
        self.timers.next()
    }

    /// Ends the plugin in good order, as if the host had asked for it. May be called at any time
    /// and repeatedly.
    pub fn shutdown(&mut self, now: Instant) {
        self.stop(now, StopReason::Requested);
    }

    /// Ends the plugin at once; calls in flight are dropped. May be called at any time and
    /// repeatedly. A driver that is dropped does this, and carries out the actions that come of it.
    pub fn kill(&mut self, now: Instant) {
        self.abort(now, StopReason::Requested);
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
