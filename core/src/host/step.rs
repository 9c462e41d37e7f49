//! How a host machine answers what happens.

use std::time::{Duration, Instant};
use std::{collections::VecDeque, mem};

use super::{
    Evidence, ExitReason, Host, HostAction, HostConfig, HostEvent, Link, MAX_STRAY_STDOUT, Pipe,
    StartError, StartFailure, StartPhase, State, Tail,
};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::handshake::{HandshakeError, HandshakeReader, Location, Progress, Protocol};
use crate::timer::{TimerKind, Timers};

/// Starting.
impl Host {
    pub(super) fn blank(config: HostConfig, state: State) -> Self {
        Self {
            tail: Tail::new(config.stderr_lines, config.stderr_bytes),
            config,
            state,
            timers: Timers::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            reader: None,
            handshake: None,
            location: None,
            launched: false,
            pid: None,
            link: Link::Down,
            stdout: Pipe::Open,
            stderr: Pipe::Open,
            failure: None,
            reason: None,
            exit: None,
            killed: false,
            cleaned: false,
            reported: false,
        }
    }

    pub(super) fn arm_start(&mut self, now: Instant) {
        self.timers
            .arm(TimerKind::Start, now, self.config.start_timeout);
    }

    pub(super) fn on_launched(&mut self, now: Instant, pid: Option<u32>) {
        if mem::replace(&mut self.launched, true) {
            return;
        }
        match self.state {
            State::Launching => {
                self.pid = pid;
                self.state = State::Handshaking;
                self.arm_start(now);
            }
            // It was made although it was given up: the kill is asked for once more.
            State::Killed => {
                self.pid = pid;
                self.start_killing(now);
            }
            State::Finished => self.actions.push_back(HostAction::Kill),
            State::Handshaking
            | State::Connecting
            | State::Explaining
            | State::Ready
            | State::Asked
            | State::Draining => {}
        }
    }

    pub(super) fn on_launch_failed(&mut self, fault: Fault) {
        if self.launched {
            return;
        }
        match self.state {
            State::Launching | State::Killed => {
                self.fail(StartFailure::Launch(fault));
                self.finish();
            }
            State::Handshaking
            | State::Connecting
            | State::Explaining
            | State::Ready
            | State::Asked
            | State::Draining
            | State::Finished => {}
        }
    }

    pub(super) fn on_stdout(&mut self, now: Instant, bytes: &[u8]) {
        if self.stdout == Pipe::Closed || self.state == State::Finished {
            return;
        }
        let Some(reader) = &mut self.reader else {
            self.after_line(bytes);
            return;
        };
        let progress = reader.push(bytes);
        match progress {
            Ok(Progress::NeedMore) => self.take_strays(),
            Ok(Progress::Line { line, rest }) => {
                self.take_strays();
                self.on_line(now, &line);
                self.after_line(rest);
            }
            Ok(Progress::AfterLine(rest)) => self.after_line(rest),
            Err(error) => {
                self.take_strays();
                self.refuse(now, error);
            }
        }
    }

    pub(super) fn on_stdout_closed(&mut self, now: Instant) {
        if mem::replace(&mut self.stdout, Pipe::Closed) == Pipe::Closed {
            return;
        }
        if let Some(reader) = &mut self.reader {
            let outcome = reader.finish();
            self.take_strays();
            match outcome {
                Ok(Some(line)) => self.on_line(now, &line),
                Ok(None) => {}
                // After the exit, no line is no news.
                Err(HandshakeError::NoLine) if self.exit.is_some() => {}
                Err(error) => self.refuse(now, error),
            }
        }
        self.finish_when_drained();
    }

    /// The line has come. It counts for nothing if the start is over already, except that a bad one
    /// tells why the process ended.
    fn on_line(&mut self, now: Instant, line: &[u8]) {
        self.reader = None;
        match self.config.expectation.check(line) {
            Ok(accepted) if self.state == State::Handshaking => {
                let location = accepted.line.location().clone();
                let protocol = accepted.line.protocol();
                self.handshake = Some(accepted.clone());
                self.events.push_back(HostEvent::Negotiated(accepted));
                self.connect(now, location, protocol);
            }
            Ok(_) => {}
            Err(error) => self.refuse(now, error),
        }
    }

    fn refuse(&mut self, now: Instant, error: HandshakeError) {
        let failure = StartFailure::Handshake(error);
        if self.state != State::Handshaking {
            self.fail(failure);
        } else if self.stdout == Pipe::Closed {
            // Most likely the process is ending, and its exit tells why.
            self.explain(now, failure, self.config.pipe_drain);
        } else {
            self.fail(failure);
            self.start_killing(now);
        }
    }

    fn take_strays(&mut self) {
        while let Some(mut line) = self.reader.as_mut().and_then(HandshakeReader::poll_stray) {
            line.push(b'\n');
            self.stray(&line);
        }
    }

    pub(super) fn connect(&mut self, now: Instant, location: Location, protocol: Protocol) {
        self.state = State::Connecting;
        self.link = Link::Connecting;
        self.location = Some(location.clone());
        self.actions
            .push_back(HostAction::Connect { location, protocol });
        self.arm_start(now);
    }

    fn after_line(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // Without an accepted line, what follows is of no use to anyone.
        let Some(accepted) = &self.handshake else {
            return;
        };
        match accepted.line.location() {
            Location::Endpoint(_) => self.stray(bytes),
            Location::Stdio => {
                if let Some(HostAction::TransportBytes(last)) = self.actions.back_mut() {
                    last.extend_from_slice(bytes);
                } else {
                    let bytes = bytes.to_vec();
                    self.actions.push_back(HostAction::TransportBytes(bytes));
                }
            }
        }
    }

    fn stray(&mut self, bytes: &[u8]) {
        if !matches!(self.events.back(), Some(HostEvent::StrayStdout { .. })) {
            self.events.push_back(HostEvent::StrayStdout {
                bytes: Vec::new(),
                lost: 0,
            });
        }
        if let Some(HostEvent::StrayStdout { bytes: kept, lost }) = self.events.back_mut() {
            let room = MAX_STRAY_STDOUT.saturating_sub(kept.len()).min(bytes.len());
            kept.extend_from_slice(&bytes[..room]);
            *lost = lost.saturating_add((bytes.len() - room) as u64);
        }
    }

    pub(super) fn on_connected(&mut self) {
        match self.state {
            State::Connecting => {
                self.state = State::Ready;
                self.link = Link::Up;
                self.reason = Some(ExitReason::Crashed);
                self.timers.clear();
                self.events.push_back(HostEvent::Ready);
            }
            State::Launching
            | State::Handshaking
            | State::Explaining
            | State::Ready
            | State::Asked
            | State::Killed
            | State::Draining
            | State::Finished => {}
        }
    }

    pub(super) fn on_connect_failed(&mut self, now: Instant, fault: Fault) {
        if self.state == State::Connecting {
            self.link = Link::Down;
            if let Some(location) = self.location.clone() {
                let failure = StartFailure::Connect { location, fault };
                self.explain(now, failure, self.config.evidence_wait);
            }
        }
    }

    /// The start has failed. If the process ends by itself within `wait`, its exit belongs to the
    /// evidence; else it is killed.
    fn explain(&mut self, now: Instant, failure: StartFailure, wait: Duration) {
        self.fail(failure);
        self.state = State::Explaining;
        self.timers.clear();
        self.timers.arm(TimerKind::Evidence, now, wait);
    }

    /// The first failure is the one reported: what follows are its consequences.
    pub(super) fn fail(&mut self, failure: StartFailure) {
        self.reader = None;
        self.failure.get_or_insert(failure);
    }
}

/// Ending.
impl Host {
    pub(super) fn on_connection_lost(&mut self, now: Instant) {
        if self.link != Link::Up {
            return;
        }
        self.link = Link::Down;
        match self.state {
            // Most likely the process is ending: its exit tells more than the loss.
            State::Ready => {
                let wait = self.config.evidence_wait;
                self.timers.arm(TimerKind::Evidence, now, wait);
            }
            State::Launching
            | State::Handshaking
            | State::Connecting
            | State::Explaining
            | State::Asked
            | State::Killed
            | State::Draining
            | State::Finished => {}
        }
    }

    pub(super) fn disconnect(&mut self) {
        match self.link {
            Link::Up | Link::Connecting => {
                self.link = Link::Down;
                self.actions.push_back(HostAction::Disconnect);
            }
            Link::Down => {}
        }
    }

    /// Asks for the kill and waits for the reaping.
    pub(super) fn start_killing(&mut self, now: Instant) {
        self.let_go();
        self.killed = true;
        self.state = State::Killed;
        self.actions.push_back(HostAction::Kill);
        self.timers.clear();
        self.timers
            .arm(TimerKind::Reap, now, self.config.reap_timeout);
    }

    /// Gives up what hangs on the connection, and requests that the end has overtaken.
    fn let_go(&mut self) {
        self.actions.retain(|action| match action {
            HostAction::Connect { .. } | HostAction::CallShutdown => false,
            HostAction::Launch
            | HostAction::TransportBytes(_)
            | HostAction::CloseBroker
            | HostAction::Disconnect
            | HostAction::Kill
            | HostAction::Cleanup => true,
        });
        if self.state == State::Ready {
            self.actions.push_back(HostAction::CloseBroker);
        }
        self.disconnect();
    }

    pub(super) fn on_exited(&mut self, now: Instant, exit: Exit) {
        if self.exit.is_some() || self.state == State::Finished {
            return;
        }
        self.exit = Some(exit);
        self.launched = true;
        match self.state {
            // What stdout still holds may tell more; see `conclude`.
            State::Launching | State::Handshaking => {}
            State::Connecting => self.failure = Some(exited(StartPhase::Connect)),
            State::Explaining => match self.failure {
                Some(StartFailure::Handshake(HandshakeError::NoLine)) => {
                    self.failure = Some(exited(StartPhase::Handshake))
                }
                Some(StartFailure::Connect { .. }) => {
                    self.failure = Some(exited(StartPhase::Connect));
                }
                Some(_) | None => {}
            },
            State::Ready | State::Asked | State::Killed | State::Draining | State::Finished => {}
        }
        self.let_go();
        self.actions.retain(|action| *action != HostAction::Kill);
        self.clean_up();
        self.pid = None;
        self.state = State::Draining;
        self.timers.clear();
        let drain = self.config.pipe_drain;
        self.timers.arm(TimerKind::PipeDrain, now, drain);
        if self.reason.is_some() {
            let wait = self.config.evidence_wait;
            self.timers.arm(TimerKind::LastOutput, now, wait);
        }
        self.finish_when_drained();
    }

    pub(super) fn finish_when_drained(&mut self) {
        let drained = self.stdout == Pipe::Closed && self.stderr == Pipe::Closed;
        if self.state == State::Draining && drained {
            self.finish();
        }
    }

    pub(super) fn on_timer(&mut self, now: Instant, kind: TimerKind) {
        match kind {
            TimerKind::Start => self.on_start_timeout(now),
            TimerKind::Evidence => match self.state {
                State::Explaining => self.start_killing(now),
                State::Ready => self.events.push_back(HostEvent::Disconnected),
                State::Launching
                | State::Handshaking
                | State::Connecting
                | State::Asked
                | State::Killed
                | State::Draining
                | State::Finished => {}
            },
            TimerKind::ShutdownGrace => {
                if self.state == State::Asked {
                    self.reason = Some(ExitReason::GraceExpired);
                    self.start_killing(now);
                }
            }
            TimerKind::Reap => self.finish(),
            TimerKind::LastOutput => self.report(),
            TimerKind::PipeDrain => {
                // A last line without its end counts as if the pipe had ended.
                self.on_stdout_closed(now);
                self.finish();
            }
            // Not of this machine.
            TimerKind::FirstConnection
            | TimerKind::Drain
            | TimerKind::Announcement(_)
            | TimerKind::Dial(_)
            | TimerKind::Open(_)
            | TimerKind::Knock(_)
            | TimerKind::Stream(_) => {}
        }
    }

    fn on_start_timeout(&mut self, now: Instant) {
        let phase = match self.state {
            State::Launching => StartPhase::Launch,
            State::Handshaking => StartPhase::Handshake,
            State::Connecting => StartPhase::Connect,
            State::Explaining
            | State::Ready
            | State::Asked
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
        let stderr = self.tail.lines();
        let event = match self.reason {
            Some(reason) => HostEvent::Exited {
                exit: self.exit.unwrap_or(Exit::Unknown),
                reason,
                stderr,
            },
            None => HostEvent::Failed(StartError {
                failure: self
                    .failure
                    .take()
                    .unwrap_or_else(|| exited(StartPhase::Handshake)),
                evidence: Evidence {
                    exit: self.exit,
                    killed: self.killed,
                    stderr,
                },
            }),
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
