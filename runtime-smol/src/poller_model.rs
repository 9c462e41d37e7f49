//! The system in a model: events are posted by the model, and time passes only for who waits for it.

use std::io::Result;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use loom::sync::{Condvar, Mutex};
use rustix::event::epoll::EventFlags;

pub(crate) struct Poller {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    now: Instant,
    alarmed: bool,
    posted: Vec<(u64, EventFlags)>,
}

pub(crate) struct Events(Vec<(u64, EventFlags)>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, EventFlags)> {
        self.0.iter().copied()
    }
}

impl Poller {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                now: Instant::now(),
                alarmed: false,
                posted: Vec::new(),
            }),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.state.lock().expect("no panics").now
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) {
        let mut state = self.state.lock().expect("no panics");
        while state.posted.is_empty() && !state.alarmed {
            if let Some(timeout) = timeout {
                state.now += timeout;
                break;
            }
            // A model in which nobody ever ends this wait fails.
            state = self.changed.wait(state).expect("no panics");
        }
        state.alarmed = false;
        events.0 = std::mem::take(&mut state.posted);
    }

    pub(crate) fn alarm(&self) {
        self.state.lock().expect("no panics").alarmed = true;
        self.changed.notify_one();
    }

    /// Something has happened on a descriptor.
    #[cfg(test)]
    pub(crate) fn post(&self, key: u64, flags: EventFlags) {
        self.state
            .lock()
            .expect("no panics")
            .posted
            .push((key, flags));
        self.changed.notify_one();
    }

    pub(crate) fn add(&self, _: BorrowedFd<'_>, _: u64, _: EventFlags) -> Result<()> {
        Ok(())
    }

    pub(crate) fn modify(&self, _: BorrowedFd<'_>, _: u64, _: EventFlags) -> Result<()> {
        Ok(())
    }

    pub(crate) fn remove(&self, _: BorrowedFd<'_>) {}
}
