//! How a host machine answers what happens on the way to the end.

use std::mem;
use std::time::Instant;

use super::Hint;
use super::{
    EndStage, Evidence, ExitReason, Host, HostAction, HostEvent, HostTimer, Means, Pipe, Printed,
    StageOutcome, StartError, StartFailure, StartPhase, State,
};
use crate::exit::Exit;
use crate::handshake::HandshakeError;

impl Host {
    /// The plugin did not end although it was asked to: has its process be told, if there is time for that.
    fn start_terminating(&mut self, now: Instant) {
        let grace = self.config.terminate_grace;
        if self.config.means != Means::All || grace.is_zero() {
            return self.start_killing(now);
        }
        // The connection stays, if it was asked over: calls that still end are answered on it.
        if !self.called {
            self.disconnect();
        }
        self.stages.begin(now, EndStage::Terminated);
        self.state = State::Terminating;
        self.actions.push_back(HostAction::Terminate);
        self.timers.clear();
        self.timers.arm(HostTimer::TerminateGrace, now, grace);
    }

    pub(super) fn on_terminate_failed(&mut self, now: Instant) {
        if self.state == State::Terminating {
            self.stages.settle(now, StageOutcome::Refused);
            self.start_killing(now);
        }
    }

    /// Asks for the kill and waits for the reaping; or leaves alone what is not this side's to kill.
    pub(super) fn start_killing(&mut self, now: Instant) {
        let unknown = self.attached && self.reason.is_none();
        if self.config.means != Means::All || unknown {
            self.reason = self.reason.map(|_| ExitReason::Released);
            return self.leave(now);
        }
        self.overtake();
        self.stages.begin(now, EndStage::Killed);
        self.killed = true;
        self.state = State::Killed;
        self.actions.push_back(HostAction::Kill);
        self.timers.clear();
        self.timers
            .arm(HostTimer::Reap, now, self.config.reap_timeout);
    }

    /// Leaves the plugin running.
    pub(super) fn release(&mut self, now: Instant) {
        self.reason = Some(ExitReason::Released);
        self.leave(now);
    }

    fn leave(&mut self, now: Instant) {
        self.overtake();
        self.stages.settle(now, StageOutcome::CutShort);
        self.actions.push_back(HostAction::Release);
        // What was made for it is in its hands from now on.
        self.cleaned = true;
        self.finish();
    }

    /// Gives up what hangs on the connection, and requests that the end has overtaken.
    fn overtake(&mut self) {
        self.actions.retain(|action| match action {
            HostAction::Connect { .. }
            | HostAction::Abandon
            | HostAction::CallShutdown
            | HostAction::Terminate => false,
            HostAction::Launch
            | HostAction::TransportBytes(_)
            | HostAction::CloseBroker
            | HostAction::Disconnect
            | HostAction::Kill
            | HostAction::Release
            | HostAction::Cleanup => true,
        });
        if self.state == State::Ready {
            self.actions.push_back(HostAction::CloseBroker);
        }
        self.disconnect();
    }

    /// The answer tells nothing, but for one: a plugin may die before it gives it. The connection has
    /// done its work, and the grace runs on.
    pub(super) fn on_shutdown_answered(&mut self, has_controller: bool) {
        if matches!(self.state, State::Asked | State::Terminating) && self.called {
            self.has_controller = has_controller;
            self.disconnect();
        }
    }

    pub(super) fn on_exited(&mut self, now: Instant, exit: Exit) {
        if self.exit.is_some() || self.state == State::Finished {
            return;
        }
        self.exit = Some(exit);
        self.launched = true;
        self.stages.settle(now, StageOutcome::Ended);
        match self.state {
            // What stdout still holds may tell more; see `conclude`.
            State::Launching | State::Handshaking => {}
            State::Connecting => self.failure = Some(exited(self.connecting())),
            State::Explaining => match self.failure {
                Some(StartFailure::Handshake(HandshakeError::NoLine)) => {
                    self.failure = Some(exited(StartPhase::Handshake))
                }
                Some(StartFailure::Connect { .. }) => {
                    self.failure = Some(exited(StartPhase::Connect));
                }
                Some(_) | None => {}
            },
            State::Ready
            | State::Asked
            | State::Terminating
            | State::Killed
            | State::Draining
            | State::Finished => {}
        }
        self.overtake();
        self.actions.retain(|action| *action != HostAction::Kill);
        self.clean_up();
        self.id = None;
        self.state = State::Draining;
        self.timers.clear();
        let drain = self.config.pipe_drain;
        self.timers.arm(HostTimer::PipeDrain, now, drain);
        if self.reason.is_some() {
            let wait = self.config.evidence_wait;
            self.timers.arm(HostTimer::LastOutput, now, wait);
        }
        self.await_printed(now);
        self.finish_when_drained();
    }

    pub(super) fn on_printed(&mut self, now: Instant, on: Printed, bytes: &[u8]) {
        if self.state == State::Finished {
            return;
        }
        match on {
            Printed::Stdout => {}
            Printed::Stderr => self.tail.push_printed(bytes),
        }
        self.await_printed(now);
    }

    /// What an ended process has printed is all there. Its children may hold the pipes open for as
    /// long as they live, which is not waited for.
    fn await_printed(&mut self, now: Instant) {
        if self.state == State::Draining && self.printed == Pipe::Open {
            let wait = self.config.evidence_wait;
            self.timers.arm(HostTimer::Silence, now, wait);
        }
    }

    pub(super) fn finish_when_drained(&mut self) {
        let pipes = [self.stdout, self.stderr, self.printed];
        let drained = pipes.iter().all(|pipe| *pipe == Pipe::Closed);
        if self.state == State::Draining && drained {
            self.finish();
        }
    }

    pub(super) fn on_timer(&mut self, now: Instant, kind: HostTimer) {
        match kind {
            HostTimer::Start => self.on_start_timeout(now),
            HostTimer::Evidence => match self.state {
                State::Explaining => self.start_killing(now),
                State::Ready => self.on_unexplained(now),
                State::Launching
                | State::Handshaking
                | State::Connecting
                | State::Asked
                | State::Terminating
                | State::Killed
                | State::Draining
                | State::Finished => {}
            },
            HostTimer::ShutdownGrace => {
                if self.state == State::Asked {
                    let (reason, outcome) = match (self.called, self.has_controller) {
                        (true, true) => (ExitReason::GraceExpired, StageOutcome::Expired),
                        (true, false) => (ExitReason::NoController, StageOutcome::NoController),
                        (false, _) => (ExitReason::NotAsked, StageOutcome::NotReached),
                    };
                    self.reason = Some(reason);
                    self.stages.settle(now, outcome);
                    self.start_terminating(now);
                }
            }
            HostTimer::TerminateGrace => {
                if self.state == State::Terminating {
                    self.stages.settle(now, StageOutcome::Expired);
                    self.start_killing(now);
                }
            }
            HostTimer::Reap => {
                self.stages.settle(now, StageOutcome::Expired);
                self.finish();
            }
            HostTimer::LastOutput => self.report(),
            HostTimer::Silence => {
                self.printed = Pipe::Closed;
                self.finish_when_drained();
            }
            HostTimer::PipeDrain => {
                // A last line without its end counts as if the pipe had ended.
                self.on_stdout_closed(now);
                self.finish();
            }
            // That machine acts on it itself; see `handle_timeout`.
            HostTimer::Link(_) => {}
        }
    }

    fn on_start_timeout(&mut self, now: Instant) {
        let phase = match self.state {
            State::Launching => StartPhase::Launch,
            State::Handshaking => StartPhase::Handshake,
            State::Connecting => self.connecting(),
            State::Explaining
            | State::Ready
            | State::Asked
            | State::Terminating
            | State::Killed
            | State::Draining
            | State::Finished => return,
        };
        self.fail(StartFailure::TimedOut {
            phase,
            after: self.config.start_timeout,
        });
        self.start_killing(now);
    }

    /// Tells the user how it ended, once.
    fn report(&mut self) {
        if mem::replace(&mut self.reported, true) {
            return;
        }
        let (stderr, panic) = (self.tail.lines(), self.tail.panic());
        let event = match self.reason {
            Some(reason) => HostEvent::Exited {
                exit: self.exit.unwrap_or(Exit::Unknown),
                reason,
                stages: self.stages.reports(),
                panic,
                stderr,
            },
            None => {
                let failure = self.failure.take();
                let failure = failure.unwrap_or_else(|| exited(StartPhase::Handshake));
                let mut evidence = Evidence {
                    exit: self.exit,
                    killed: self.killed,
                    panic,
                    stderr,
                    hint: None,
                    notes: None,
                    diagnosis: None,
                };
                evidence.hint = Hint::of(&failure, &evidence);
                HostEvent::Failed(StartError { failure, evidence })
            }
        };
        self.events.push_back(event);
    }

    fn clean_up(&mut self) {
        if !mem::replace(&mut self.cleaned, true) {
            self.actions.push_back(HostAction::Cleanup);
        }
    }

    pub(super) fn finish(&mut self) {
        if self.state == State::Finished {
            return;
        }
        self.timers.clear();
        self.link = None;
        self.clean_up();
        self.report();
        self.reader = None;
        self.state = State::Finished;
        self.events.push_back(HostEvent::Finished);
    }
}

fn exited(phase: StartPhase) -> StartFailure {
    StartFailure::Exited { phase }
}
