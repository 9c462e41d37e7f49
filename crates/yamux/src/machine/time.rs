//! Timers.

use std::time::Instant;

use super::Machine;
use crate::error::{SessionError, StreamError};
use crate::frame::{Header, Kind as Frame, flags};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The next ping is to be sent.
    Ping,
    /// The last one is to be answered.
    Pong,
    /// Something is to be written.
    Write,
    /// A stream is to be acknowledged.
    Open(u32),
    /// A stream is to be finished by the peer.
    Close(u32),
}

impl Machine {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            match kind {
                Kind::Ping => self.ping(now),
                Kind::Pong => {
                    let limit = self.config.ping_timeout;
                    self.end(SessionError::PingTimeout { limit });
                }
                Kind::Write => {
                    let limit = self.config.write_timeout;
                    self.end(SessionError::WriteTimeout { limit });
                }
                Kind::Open(stream) => {
                    let limit = self.config.open_timeout;
                    self.end(SessionError::OpenTimeout { stream, limit });
                }
                Kind::Close(stream) => self.close_timeout(now, stream),
            }
        }
    }

    fn close_timeout(&mut self, now: Instant, stream: u32) {
        let limit = self.config.close_timeout;
        if let Some(handle) = self.ids.get(&stream).copied() {
            if let Some(entry) = self.streams.get_mut(handle) {
                entry.failed = Some(StreamError::CloseTimeout { stream, limit });
            }
            self.reset(now, handle);
        }
    }

    pub(super) fn time_ping(&mut self, now: Instant) {
        if let Some(interval) = self.config.ping_interval {
            self.timers.arm(Kind::Ping, now, interval);
        }
    }

    fn ping(&mut self, now: Instant) {
        let value = self.pings;
        self.pings = self.pings.wrapping_add(1);
        self.pinged = Some(value);
        self.timers.arm(Kind::Pong, now, self.config.ping_timeout);
        self.send(now, Header::new(Frame::Ping, flags::SYN, 0, value));
    }

    pub(super) fn pong(&mut self, now: Instant, value: u32) {
        if self.pinged == Some(value) {
            self.pinged = None;
            self.timers.disarm(Kind::Pong);
            self.time_ping(now);
        }
    }

    /// Something waits to be written, or less does.
    pub(super) fn time_write(&mut self, now: Instant, progress: bool) {
        if self.out.is_empty() {
            if std::mem::take(&mut self.write_timed) {
                self.timers.disarm(Kind::Write);
            }
        } else if (progress || !self.write_timed) && self.ended.is_none() {
            self.write_timed = true;
            self.timers.arm(Kind::Write, now, self.config.write_timeout);
        }
    }
}
