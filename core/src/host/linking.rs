//! How a host machine answers what happens to the connection of a plugin that is up.

use std::time::Instant;

use super::{ExitReason, Host, HostAction, HostEvent, HostTimer, State, Wire};
use crate::fault::Fault;
use crate::handshake::Location;
use crate::link::{Link, LinkAction, LinkEvent, LinkInput};

impl Host {
    /// None where the connection is all there is: a plugin on its own pipes, or one whose protocol
    /// keeps what was reached to one connection.
    pub(super) fn new_link(&self, now: Instant) -> Option<Link> {
        match self.target {
            Some((Location::Endpoint(_), protocol)) if protocol.reconnects() => {
                Some(Link::new(self.config.link.clone(), now))
            }
            Some(_) | None => None,
        }
    }

    pub(super) fn on_connection_retiring(&mut self, now: Instant) {
        // A plugin that was asked to end takes no more calls by right.
        if self.state == State::Ready && self.wire == Wire::Up {
            self.tell_link(now, LinkInput::Retiring);
        }
    }

    pub(super) fn on_connection_lost(&mut self, now: Instant) {
        if self.wire != Wire::Up {
            return;
        }
        match self.state {
            State::Ready if self.link.is_some() => {
                self.wire = Wire::Connecting;
                self.tell_link(now, LinkInput::Lost);
            }
            // Most likely the process is ending: its exit tells more than the loss.
            State::Ready => {
                self.wire = Wire::Down;
                let wait = self.config.evidence_wait;
                self.timers.arm(HostTimer::Evidence, now, wait);
            }
            // A retiring one has ended before its successor came, over which to ask.
            State::Asked if self.link.is_some() && !self.called => self.wire = Wire::Connecting,
            State::Launching
            | State::Handshaking
            | State::Connecting
            | State::Explaining
            | State::Asked
            | State::Terminating
            | State::Killed
            | State::Draining
            | State::Finished => self.wire = Wire::Down,
        }
    }

    pub(super) fn on_connected_again(&mut self, now: Instant) {
        let is_wanted = |link: &Link| !link.is_up() && !link.is_gone();
        if !self.link.as_ref().is_some_and(is_wanted) {
            return;
        }
        self.wire = Wire::Up;
        self.tell_link(now, LinkInput::Connected);
        if self.state == State::Asked {
            self.call_shutdown(now);
        }
    }

    pub(super) fn on_connect_again_failed(&mut self, now: Instant, fault: Fault) {
        self.tell_link(now, LinkInput::ConnectFailed(fault));
    }

    pub(super) fn on_connection_gone(&mut self, now: Instant, fault: Fault) {
        match self.state {
            State::Ready if self.link.is_some() => {
                self.gone = Some(fault);
                // Most likely the process is ending: its exit tells more than the loss.
                let wait = self.config.evidence_wait;
                self.timers.arm(HostTimer::Evidence, now, wait);
            }
            _ => self.tell_link(now, LinkInput::Gone(fault)),
        }
    }

    /// Nothing has come that would explain why the plugin cannot be reached any more.
    pub(super) fn on_unexplained(&mut self, now: Instant) {
        match self.gone.take() {
            Some(fault) => self.tell_link(now, LinkInput::Gone(fault)),
            None => self.unreachable(now, None),
        }
    }

    pub(super) fn on_link_timeout(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.handle_timeout(now);
            self.follow_link(now);
        }
    }

    /// Asks the plugin to end, as soon as there is a connection to ask over.
    pub(super) fn call_shutdown(&mut self, now: Instant) {
        if self.called {
            return;
        }
        let takes_calls = match &mut self.link {
            None => self.wire == Wire::Up,
            Some(link) => {
                // One that was given up is worth a last attempt: the other way is a kill.
                link.revive(now);
                link.is_up()
            }
        };
        if takes_calls {
            self.called = true;
            // What becomes of the connection from now on is the plugin's end taking its course.
            self.link = None;
            self.actions.push_back(HostAction::CallShutdown);
        } else {
            self.follow_link(now);
        }
    }

    /// The process lives and cannot be reached.
    pub(super) fn unreachable(&mut self, now: Instant, fault: Option<Fault>) {
        self.events.push_back(HostEvent::Disconnected { fault });
        if self.config.end_unreachable && self.state == State::Ready {
            self.reason = Some(ExitReason::Unreachable);
            self.start_killing(now);
        }
    }

    /// Gives up the connection and every attempt to make one.
    pub(super) fn disconnect(&mut self) {
        self.link = None;
        match self.wire {
            Wire::Up | Wire::Connecting | Wire::Securing => {
                self.wire = Wire::Down;
                self.actions.push_back(HostAction::Disconnect);
            }
            Wire::Down => {}
        }
    }

    fn tell_link(&mut self, now: Instant, input: LinkInput) {
        if let Some(link) = &mut self.link {
            link.handle(now, input);
            self.follow_link(now);
        }
    }

    /// Passes on what the link asks for and reports.
    fn follow_link(&mut self, now: Instant) {
        while let Some(action) = self.link.as_mut().and_then(Link::poll_action) {
            // Whatever was asked for before is overtaken.
            self.actions.retain(|action| {
                !matches!(action, HostAction::Connect { .. } | HostAction::Abandon)
            });
            match (action, &self.target) {
                (LinkAction::Connect, Some((location, protocol))) => {
                    if self.wire == Wire::Down {
                        self.wire = Wire::Connecting;
                    }
                    self.actions.push_back(HostAction::Connect {
                        location: location.clone(),
                        protocol: *protocol,
                    });
                }
                (LinkAction::Connect, None) => {}
                (LinkAction::Abandon, _) => self.actions.push_back(HostAction::Abandon),
            }
        }
        while let Some(event) = self.link.as_mut().and_then(Link::poll_event) {
            match event {
                LinkEvent::Interrupted => self.events.push_back(HostEvent::Interrupted),
                // An interruption that nobody has seen yet was none.
                LinkEvent::Restored if self.events.back() == Some(&HostEvent::Interrupted) => {
                    self.events.pop_back();
                }
                LinkEvent::Restored => self.events.push_back(HostEvent::Restored),
                LinkEvent::GaveUp { fault } => {
                    if self.wire == Wire::Connecting {
                        self.wire = Wire::Down;
                    }
                    self.unreachable(now, fault);
                }
            }
        }
    }
}
