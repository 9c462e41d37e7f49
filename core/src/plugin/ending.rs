//! How a plugin machine answers what happens while it serves, and on the way to the end.

use std::time::{Duration, Instant};

use super::{Plugin, PluginAction, PluginEvent, PluginTimer, Stage, State, StopReason};

/// What comes within this after a request to end may have been sent in the same moment. (A choice.)
const SAME_MOMENT: Duration = Duration::from_secs(1);

/// While it serves.
impl Plugin {
    pub(super) fn on_accepted(&mut self, now: Instant) {
        match self.state {
            State::Serving => {
                self.connections = self.connections.saturating_add(1);
                self.timers.disarm(PluginTimer::FirstConnection);
                if self.multiplexing() {
                    self.stop_listening();
                }
                self.count_hosts(now);
            }
            // Accepted before the listener was closed; its closing will be told as well.
            State::Ending(_) => self.connections = self.connections.saturating_add(1),
            State::Listening | State::Announcing | State::Aborting | State::Finished => {}
        }
    }

    pub(super) fn on_connection_closed(&mut self, now: Instant) {
        self.connections = self.connections.saturating_sub(1);
        if self.connections > 0 {
            return;
        }
        match self.state {
            State::Serving if !self.protocol.has_socket() => {
                self.abort(now, StopReason::HostGone);
            }
            State::Serving if self.multiplexing() => self.abort(now, StopReason::Disconnected),
            // Another connection may come, also from another host.
            State::Serving => self.count_hosts(now),
            // Nobody is left who waits for an answer.
            State::Ending(_) => self.abort(now, StopReason::Shutdown),
            State::Listening | State::Announcing | State::Aborting | State::Finished => {}
        }
    }

    pub(super) fn on_host_gone(&mut self, now: Instant) {
        // Nobody else can reach a plugin that has not announced itself or serves its own pipes.
        let reachable = match self.state {
            State::Serving | State::Ending(_) => self.protocol.has_socket(),
            State::Listening | State::Announcing | State::Aborting | State::Finished => false,
        };
        if !(self.config.outlive_host && reachable) {
            return self.abort(now, StopReason::HostGone);
        }
        self.unlaunched = true;
        self.count_hosts(now);
    }

    /// Begins to count how long no host is there, or stops to.
    pub(super) fn count_hosts(&mut self, now: Instant) {
        if self.state != State::Serving {
            return;
        }
        if self.unlaunched && self.connections == 0 {
            let limit = self.config.alone_limit;
            self.timers.arm(PluginTimer::Alone, now, limit);
        } else {
            self.timers.disarm(PluginTimer::Alone);
        }
    }

    pub(super) fn on_interrupted(&mut self, now: Instant) {
        match self.state {
            // As in go-plugin, interrupts count until the line is written.
            State::Listening | State::Announcing => self.abort(now, StopReason::Interrupted),
            State::Serving if !self.config.held => self.stop(now, StopReason::Interrupted),
            State::Ending(_) if !self.config.held => self.abort(now, StopReason::Interrupted),
            State::Serving | State::Ending(_) => {
                self.interrupts = self.interrupts.saturating_add(1);
                let count = self.interrupts;
                if let Some(PluginEvent::Interrupted { count: last }) = self.events.back_mut() {
                    *last = count;
                } else {
                    self.events.push_back(PluginEvent::Interrupted { count });
                }
            }
            State::Aborting | State::Finished => {}
        }
    }

    /// The first asks for the end in good order and the second for the end at once. Who else has asked just
    /// before does not count: a service manager tells a host and its plugins at the same moment, and so the
    /// host's own request and the signal come in either order. Later, it is the host that does not wait any
    /// longer.
    pub(super) fn on_terminated(&mut self, now: Instant) {
        let again = std::mem::replace(&mut self.terminated, true);
        match self.state {
            State::Listening | State::Announcing => self.abort(now, StopReason::Terminated),
            State::Serving => self.stop(now, StopReason::Terminated),
            State::Ending(_) if again || self.ends_since(now) >= SAME_MOMENT => {
                self.abort(now, StopReason::Terminated);
            }
            State::Ending(_) | State::Aborting | State::Finished => {}
        }
    }

    fn ends_since(&self, now: Instant) -> Duration {
        let began = self.ending.unwrap_or(now);
        now.saturating_duration_since(began)
    }

    pub(super) fn on_shutdown_called(&mut self, now: Instant) {
        if self.state == State::Ending(Stage::Connections) {
            // Those that came before have been answered.
            self.actions.push_back(PluginAction::AnswerShutdown);
        } else {
            self.stop(now, StopReason::Shutdown);
        }
    }
}

/// The end in good order, stage by stage.
impl Plugin {
    pub(super) fn stop(&mut self, now: Instant, reason: StopReason) {
        match self.state {
            State::Listening | State::Announcing => self.abort(now, reason),
            State::Serving if self.connections == 0 => self.abort(now, reason),
            State::Serving => {
                self.stopping(reason);
                self.stop_listening();
                self.ending = Some(now);
                self.state = State::Ending(Stage::Calls);
                self.timers.clear();
                self.actions.push_back(PluginAction::Drain);
                let wait = self.config.drain_timeout;
                self.timers.arm(PluginTimer::Drain, now, wait);
            }
            State::Ending(_) | State::Aborting | State::Finished => {}
        }
    }

    pub(super) fn on_calls_idle(&mut self, now: Instant) {
        if self.state != State::Ending(Stage::Calls) {
            return;
        }
        if !self.config.announce {
            // There is nothing to give back.
            self.close_output();
            return;
        }
        self.state = State::Ending(Stage::Release);
        self.actions.push_back(PluginAction::ReleaseStreams);
        let wait = self.config.flush_patience;
        self.timers.arm(PluginTimer::Flush, now, wait);
    }

    pub(super) fn on_released(&mut self) {
        if self.state == State::Ending(Stage::Release) {
            self.timers.disarm(PluginTimer::Flush);
            self.close_output();
        }
    }

    fn close_output(&mut self) {
        self.state = State::Ending(Stage::Output);
        self.actions.push_back(PluginAction::CloseOutput);
    }

    pub(super) fn on_output_sent(&mut self) {
        if self.state == State::Ending(Stage::Output) {
            self.state = State::Ending(Stage::Connections);
            self.actions.push_back(PluginAction::CloseStanding);
            self.actions.push_back(PluginAction::AnswerShutdown);
        }
    }

    pub(super) fn on_timer(&mut self, now: Instant, kind: PluginTimer) {
        match kind {
            PluginTimer::FirstConnection => self.abort(now, StopReason::NobodyConnected),
            PluginTimer::Alone => self.stop(now, StopReason::Alone),
            PluginTimer::Drain => self.abort(now, StopReason::Shutdown),
            PluginTimer::Flush => {
                if self.state == State::Ending(Stage::Release) {
                    self.actions.push_back(PluginAction::ForceRelease);
                }
            }
            PluginTimer::Abort => self.finish(StopReason::Shutdown),
        }
    }
}

/// The end at once.
impl Plugin {
    pub(super) fn abort(&mut self, now: Instant, reason: StopReason) {
        match self.state {
            State::Listening | State::Announcing => {
                self.overtake();
                self.finish(reason);
            }
            State::Serving | State::Ending(_) => {
                self.overtake();
                self.stopping(reason);
                self.stop_listening();
                self.state = State::Aborting;
                self.timers.clear();
                // Also without a connection: what its broker served may still run.
                self.actions.push_back(PluginAction::Abort);
                let wait = self.config.abort_patience;
                self.timers.arm(PluginTimer::Abort, now, wait);
            }
            State::Aborting | State::Finished => {}
        }
    }

    pub(super) fn on_all_closed(&mut self) {
        if self.state == State::Aborting {
            self.finish(StopReason::Shutdown);
        }
    }

    /// Takes back the requests that nobody has seen and that mean nothing any more.
    fn overtake(&mut self) {
        self.actions.retain(|action| match action {
            PluginAction::StopListening => true,
            PluginAction::Listen(_) => {
                self.listening = false;
                false
            }
            PluginAction::WriteHandshake(_)
            | PluginAction::RedirectStdio
            | PluginAction::Serve
            | PluginAction::Drain
            | PluginAction::ReleaseStreams
            | PluginAction::ForceRelease
            | PluginAction::CloseOutput
            | PluginAction::CloseStanding
            | PluginAction::AnswerShutdown
            | PluginAction::Abort
            | PluginAction::Finish { .. } => false,
        });
    }

    pub(super) fn stop_listening(&mut self) {
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
