//! How a host machine answers what happens until the plugin is ready.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use super::{
    ExitReason, Host, HostAction, HostConfig, HostEvent, HostTimer, MAX_STRAY_STDOUT, Pipe, Stages,
    StartFailure, StartPhase, State, Tail, Wire,
};
use crate::fault::Fault;
use crate::handshake::{
    HandshakeError, HandshakeLine, HandshakeReader, Location, Progress, Protocol,
};
use crate::timer::Timers;

impl Host {
    pub(super) fn blank(config: HostConfig, state: State) -> Self {
        Self {
            tail: Tail::new(config.stderr_lines, config.stderr_bytes),
            printed: Pipe::Closed,
            config,
            state,
            timers: Timers::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            reader: None,
            announced: None,
            handshake: None,
            target: None,
            launched: false,
            attached: false,
            id: None,
            wire: Wire::Down,
            link: None,
            gone: None,
            called: false,
            has_controller: true,
            stdout: Pipe::Open,
            stderr: Pipe::Open,
            failure: None,
            reason: None,
            exit: None,
            stages: Stages::default(),
            killed: false,
            cleaned: false,
            reported: false,
        }
    }

    pub(super) fn arm_start(&mut self, now: Instant) {
        self.timers
            .arm(HostTimer::Start, now, self.config.start_timeout);
    }

    pub(super) fn on_launched(&mut self, now: Instant, id: Option<String>) {
        if mem::replace(&mut self.launched, true) {
            return;
        }
        match self.state {
            State::Launching => {
                self.id = id;
                self.state = State::Handshaking;
                self.arm_start(now);
            }
            // It was made although it was given up: the kill is asked for once more.
            State::Killed => {
                self.id = id;
                self.start_killing(now);
            }
            State::Finished => self.actions.push_back(HostAction::Kill),
            State::Handshaking
            | State::Connecting
            | State::Explaining
            | State::Ready
            | State::Asked
            | State::Terminating
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
            | State::Terminating
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
        // Also of a line that is refused: the plugin has made its socket file all the same.
        let announced = HandshakeLine::parse(line).ok();
        self.announced = announced.and_then(|line| line.location().endpoint().cloned());
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
        let failure = match error {
            HandshakeError::Refused(refusal) => StartFailure::Refused(refusal),
            error => StartFailure::Handshake(error),
        };
        if self.state != State::Handshaking {
            self.fail(failure);
        } else if ends_by_itself(&failure) {
            // How it does belongs to the evidence.
            self.explain(now, failure, self.config.evidence_wait);
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
        self.wire = Wire::Connecting;
        self.target = Some((location.clone(), protocol));
        self.actions
            .push_back(HostAction::Connect { location, protocol });
        self.arm_start(now);
    }

    pub(super) fn on_reached(&mut self, now: Instant) {
        if (self.state, self.wire) == (State::Connecting, Wire::Connecting) {
            self.wire = Wire::Securing;
            self.arm_start(now);
        }
    }

    /// The phase in [`State::Connecting`].
    pub(super) fn connecting(&self) -> StartPhase {
        match self.wire {
            Wire::Securing => StartPhase::Tls,
            Wire::Down | Wire::Connecting | Wire::Up => StartPhase::Connect,
        }
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

    pub(super) fn on_connected(&mut self, now: Instant) {
        match self.state {
            State::Connecting => {
                self.state = State::Ready;
                self.wire = Wire::Up;
                self.link = self.new_link(now);
                self.reason = Some(ExitReason::Crashed);
                self.timers.clear();
                self.events.push_back(HostEvent::Ready);
            }
            State::Ready | State::Asked => self.on_connected_again(now),
            State::Launching
            | State::Handshaking
            | State::Explaining
            | State::Terminating
            | State::Killed
            | State::Draining
            | State::Finished => {}
        }
    }

    pub(super) fn on_connect_failed(
        &mut self,
        now: Instant,
        fault: Fault,
        failure: impl FnOnce(Location, Fault) -> StartFailure,
    ) {
        if matches!(self.state, State::Ready | State::Asked) {
            return self.on_connect_again_failed(now, fault);
        }
        if self.state == State::Connecting {
            self.wire = Wire::Down;
            if let Some((location, _)) = self.target.clone() {
                let failure = failure(location, fault);
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
        self.timers.arm(HostTimer::Evidence, now, wait);
    }

    /// The first failure is the one reported: what follows are its consequences.
    pub(super) fn fail(&mut self, failure: StartFailure) {
        self.reader = None;
        self.failure.get_or_insert(failure);
    }
}

/// Whether a plugin most likely is about to end that has said what led to this failure: that it cannot
/// serve, or something to people, as how it is used.
fn ends_by_itself(failure: &StartFailure) -> bool {
    matches!(
        failure,
        StartFailure::Refused(_) | StartFailure::Handshake(HandshakeError::Unrecognised { .. })
    )
}
