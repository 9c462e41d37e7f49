//! What the reactor asks of the system: epoll, edge-triggered, and an alarm for its thread.

use std::io::Result;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

pub(crate) struct Poller {
    epoll: OwnedFd,
    /// Written to wake the thread from another. Never read: each write is a new edge.
    alarm: OwnedFd,
}

/// The key of `alarm`; sources get theirs by counting from zero.
const ALARM: u64 = u64::MAX;

/// How many events are taken at once; the rest come with the next turn.
const EVENTS: usize = 256;

/// Room for the events of a turn.
pub(crate) struct Events(Vec<epoll::Event>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(EVENTS))
    }

    /// The keys of descriptors, and what happened on each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, EventFlags)> {
        self.0.iter().map(|event| (event.data.u64(), event.flags))
    }
}

impl Poller {
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &alarm, EventData::new_u64(ALARM), flags)?;
        Ok(Self { epoll, alarm })
    }

    #[expect(clippy::unused_self, reason = "in a model the time is the poller's")]
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    /// Waits for events, an alarm or the time.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) {
        events.0.clear();
        // The system counts 31 bits of milliseconds; waking up once an hour costs nothing. Rounded
        // up, as before the time there is nothing to do.
        let timeout = timeout.and_then(|left| {
            let left = left.min(Duration::from_secs(3600)).as_nanos();
            let left = Duration::from_millis(u64::try_from(left.div_ceil(1_000_000)).ok()?);
            Timespec::try_from(left).ok()
        });
        let buffer = rustix::buffer::spare_capacity(&mut events.0);
        // Of the errors only an interruption can happen, and that is a turn without events.
        let _ = epoll::wait(&self.epoll, buffer, timeout.as_ref());
    }

    /// Ends the wait that is going on, or else the next.
    pub(crate) fn alarm(&self) {
        // It can only fail when the counter is full, after 2^64 writes.
        let _ = rustix::io::write(&self.alarm, &1_u64.to_ne_bytes());
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64, flags: EventFlags) -> Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(key), flags)?)
    }

    /// What is there already is reported at once.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: u64, flags: EventFlags) -> Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            fd,
            EventData::new_u64(key),
            flags,
        )?)
    }

    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        // It was added, and is open.
        let _ = epoll::delete(&self.epoll, fd);
    }
}
