//! What is known of a descriptor in the reactor, and who waits for it (Linux).

use std::io::Result;
use std::task::{Context, Poll, Waker};

use outboard_core::lock::{Mutex, Rank};
use rustix::event::epoll::EventFlags;

use crate::direction::{Direction, Interest};

pub(crate) struct Source(Mutex<State>);

struct State {
    read: Side,
    write: Side,
    interest: Interest,
    /// With [`Interest::Both`]: whether room is reported.
    wants_room: bool,
    /// How many writes have found room since one did not.
    found: u32,
}

struct Side {
    /// An attempt is worth while.
    ready: bool,
    /// It stays so: the other end is gone.
    over: bool,
    /// Counts the events, so that an attempt does not undo one that came in the middle of it.
    events: u64,
    waker: Option<Waker>,
}

/// After so many writes that found room it is no longer reported. Each change takes a system call,
/// not changing one per message of the peer's.
const KEEP: u32 = 64;

impl Source {
    pub(crate) fn new(interest: Interest, ready: bool) -> Self {
        let side = || Side {
            ready,
            over: false,
            events: 0,
            waker: None,
        };
        Self(Mutex::new(
            Rank::Source,
            State {
                read: side(),
                write: side(),
                interest,
                wants_room: false,
                found: 0,
            },
        ))
    }

    pub(crate) fn flags(&self) -> EventFlags {
        self.0.lock().flags()
    }

    /// Takes note of an event and wakes whoever waits for it.
    pub(crate) fn event(&self, flags: EventFlags) {
        let gone = EventFlags::HUP | EventFlags::ERR;
        let mut state = self.0.lock();
        let ended = flags.intersects(gone | EventFlags::RDHUP);
        let read = state
            .read
            .event(flags.intersects(EventFlags::IN | EventFlags::PRI), ended);
        let write = state
            .write
            .event(flags.contains(EventFlags::OUT), flags.intersects(gone));
        drop(state);
        // Without the lock: a waker may do anything.
        [read, write].into_iter().flatten().for_each(Waker::wake);
    }

    pub(crate) fn wake(&self, direction: Direction) {
        let waker = self.0.lock().side(direction).waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ready with the number of events so far when an attempt is worth while.
    pub(crate) fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<u64> {
        let mut state = self.0.lock();
        let side = state.side(direction);
        if side.ready || side.over {
            return Poll::Ready(side.events);
        }
        let old = match &side.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            Some(_) | None => side.waker.replace(cx.waker().clone()),
        };
        drop(state);
        // Without the lock: it may be the last of a task, which then is dropped.
        drop(old);
        Poll::Pending
    }

    /// An attempt that began when there had been `events` found nothing, or all there was.
    pub(crate) fn exhausted(&self, direction: Direction, events: u64) {
        let mut state = self.0.lock();
        let side = state.side(direction);
        if side.events == events {
            side.ready = false;
        }
    }

    /// A write has found room. `modify` changes what the system reports, if that is to change.
    pub(crate) fn found_room(&self, modify: impl FnOnce(EventFlags) -> Result<()>) -> Result<()> {
        let mut state = self.0.lock();
        if state.wants_room {
            state.found += 1;
            if state.found >= KEEP {
                state.wants_room = false;
                // There is room now, and when there is none a write will find out.
                state.write.ready = true;
                modify(state.flags())?;
            }
        }
        Ok(())
    }

    /// A write has found no room. `modify` is as for [`found_room`](Self::found_room).
    pub(crate) fn want_room(&self, modify: impl FnOnce(EventFlags) -> Result<()>) -> Result<()> {
        let mut state = self.0.lock();
        state.found = 0;
        if let Interest::Both = state.interest
            && !state.wants_room
        {
            state.wants_room = true;
            modify(state.flags())?;
        }
        Ok(())
    }
}

impl State {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// Errors and hang-ups are reported in any case.
    fn flags(&self) -> EventFlags {
        let read = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        match self.interest {
            Interest::Read => read,
            Interest::Write => EventFlags::OUT | EventFlags::ET,
            Interest::Both if self.wants_room => read | EventFlags::OUT,
            Interest::Both => read,
        }
    }
}

impl Side {
    fn event(&mut self, ready: bool, over: bool) -> Option<Waker> {
        if !ready && !over {
            return None;
        }
        self.ready = true;
        self.over |= over;
        self.events += 1;
        self.waker.take()
    }
}
