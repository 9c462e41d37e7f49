//! Who waits for what, and waking them.

use std::task::{Poll, Waker};
use std::thread;

use outboard_core::rpc::Status;

use super::{Serves, State, drained};
use crate::wakers::{Clones, Shared};
use crate::wire::Key;

/// Who waits for something of a stream.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    pub(super) key: Option<Key>,
    /// The connection or channel the stream belongs to.
    pub(super) owner: u64,
    pub(super) read: Option<Waker>,
    pub(super) write: Option<Waker>,
    /// The task of the handler.
    pub(super) task: Option<Waker>,
}

/// Which of a stream's wakers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Read,
    Write,
    Task,
}

pub(super) fn waiter(table: &mut Vec<Waiter>, key: Key) -> &mut Waiter {
    let index = key.index();
    if table.len() <= index {
        table.resize_with(index + 1, Waiter::default);
    }
    &mut table[index]
}

impl<S: Serves> State<S> {
    /// The status of a closed connection, or a wake-up when it closes. Takes two clones.
    pub(crate) fn poll_calls_closed(
        &mut self,
        connection: u64,
        waker: &mut Clones<'_>,
    ) -> Poll<Status> {
        if let Some(status) = &self.closed {
            return Poll::Ready(status.clone());
        }
        if let Some(calls) = self.connections.get_mut(&connection) {
            match &calls.closed {
                Some(status) => return Poll::Ready(status.clone()),
                None => waker.remember_in(&mut calls.wakers),
            }
        }
        waker.remember_in(&mut self.closed_wakers);
        Poll::Pending
    }

    /// Ready when the connection takes no further calls.
    pub(crate) fn poll_retiring(&mut self, connection: u64, waker: &mut Clones<'_>) -> Poll<()> {
        if self.lost.is_some() || self.closed.is_some() {
            return Poll::Ready(());
        }
        if let Some(calls) = self.connections.get_mut(&connection) {
            if calls.draining || calls.closed.is_some() {
                return Poll::Ready(());
            }
            waker.remember_in(&mut calls.wakers);
        }
        waker.remember_in(&mut self.closed_wakers);
        Poll::Pending
    }

    /// What calls fail with that come now, if the connection takes none any more.
    pub(crate) fn not_taken(&self, connection: u64) -> Option<Status> {
        let over = self.closed.as_ref().or(self.lost.as_ref());
        if over.is_some() {
            return over.cloned();
        }
        let calls = self.connections.get(&connection)?;
        let closed = calls.closed.clone();
        closed.or_else(|| calls.draining.then(drained))
    }

    /// Ready when the session is closed.
    pub(crate) fn poll_closed(&mut self, waker: &mut Clones<'_>) -> Poll<()> {
        if self.closed.is_some() {
            return Poll::Ready(());
        }
        waker.remember_in(&mut self.closed_wakers);
        Poll::Pending
    }

    /// Remembers whom to wake.
    pub(crate) fn wait(&mut self, key: Key, what: Wait, waker: &mut Clones<'_>) {
        let waiter = if key.is_ours() {
            waiter(&mut self.ours, key)
        } else {
            let waiter = waiter(&mut self.theirs, key);
            if waiter.key != Some(key) {
                let new = Waiter {
                    key: Some(key),
                    ..Waiter::default()
                };
                let old = std::mem::replace(waiter, new);
                self.old_wakers
                    .extend([old.read, old.write, old.task].into_iter().flatten());
            }
            waiter
        };
        if waiter.key != Some(key) {
            return;
        }
        let place = match what {
            Wait::Read => &mut waiter.read,
            Wait::Write => &mut waiter.write,
            Wait::Task => &mut waiter.task,
        };
        match place {
            Some(old) if old.will_wake(waker.original()) => {}
            Some(_) | None => self.old_wakers.extend(place.replace(waker.take())),
        }
    }

    /// Wakes the handlers of one of this side's channels.
    pub(crate) fn wake_handlers(&mut self) {
        for waiter in &mut self.theirs {
            self.wakes.extend(waiter.task.take());
        }
    }

    pub(super) fn wake(&mut self, key: Key, what: Wait) {
        let table = if key.is_ours() {
            &mut self.ours
        } else {
            &mut self.theirs
        };
        let Some(waiter) = table
            .get_mut(key.index())
            .filter(|waiter| waiter.key == Some(key))
        else {
            return;
        };
        let waker = match what {
            Wait::Read => waiter.read.take(),
            Wait::Write => waiter.write.take(),
            Wait::Task => waiter.task.take(),
        };
        self.wakes.extend(waker);
    }

    pub(crate) fn wake_driver(&mut self) {
        if !std::mem::replace(&mut self.driver_woken, true) {
            self.wakes.extend(self.driver.clone().map(Waker::from));
        }
    }

    /// The driver runs.
    pub(crate) fn driver_runs(&mut self, waker: &mut Clones<'_>) {
        self.driver_woken = false;
        self.driver_thread = Some(thread::current().id());
        match &self.driver {
            Some(old) if old.inner().will_wake(waker.original()) => {}
            Some(_) | None => {
                let new = Shared::new(waker.take());
                let old = self.io_waker.set_driver(new.clone());
                let also = self.driver.replace(new);
                self.old_wakers
                    .extend([old, also].into_iter().flatten().map(Waker::from));
            }
        }
    }
}
