//! What is known of a descriptor in the reactor, and who waits for it (Linux).

use std::io::{ErrorKind, Result};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use outboard_core::lock::{Mutex, Rank};
use rustix::event::epoll::EventFlags;

use crate::fd::{ATTEMPTS, Direction, Interest};
use crate::reactor::Reactor;

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
    fn new(interest: Interest, ready: bool) -> Self {
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
    fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<u64> {
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
    fn exhausted(&self, direction: Direction, events: u64) {
        let mut state = self.0.lock();
        let side = state.side(direction);
        if side.events == events {
            side.ready = false;
        }
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

/// A descriptor in the reactor.
pub(crate) struct Registered<T: AsFd> {
    reactor: Arc<Reactor>,
    source: Arc<Source>,
    key: u64,
    inner: T,
}

impl<T: AsFd> Registered<T> {
    /// `ready` says whether the first attempts are worth while before any event.
    pub(crate) fn new(
        reactor: &Arc<Reactor>,
        inner: T,
        interest: Interest,
        ready: bool,
    ) -> Result<Self> {
        let (key, source) = reactor.add(inner.as_fd(), Source::new(interest, ready))?;
        Ok(Self {
            reactor: Arc::clone(reactor),
            source,
            key,
            inner,
        })
    }

    pub(crate) const fn get_ref(&self) -> &T {
        &self.inner
    }

    pub(crate) fn poll_ready(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64>> {
        let poll = self.source.poll_ready(direction, cx);
        // After the waker was left, so that an end in between is noticed.
        self.reactor.check()?;
        poll.map(Ok)
    }

    /// Reads into a buffer of `length` bytes with `read`.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        read: impl FnMut(&T) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        let (count, events) = ready!(self.poll(Direction::Read, cx, read))?;
        // A read that fills less has emptied the stream: what comes later is a new event.
        if 0 < count && count < length {
            self.source.exhausted(Direction::Read, events);
        }
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        write: impl FnMut(&T) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        let (count, _) = ready!(self.poll(Direction::Write, cx, write))?;
        let mut state = self.source.0.lock();
        if state.wants_room {
            state.found += 1;
            if state.found >= KEEP {
                state.wants_room = false;
                // There is room now, and when there is none a write will find out.
                state.write.ready = true;
                self.reactor
                    .modify(self.inner.as_fd(), self.key, state.flags())?;
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Tries, and once more if something has happened meanwhile. If that finds nothing either, the
    /// task's next poll goes on: a peer that brings about events without anything behind them must
    /// not keep this one from its end.
    pub(crate) fn poll<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&T) -> Result<R>,
    ) -> Poll<Result<(R, u64)>> {
        for _ in 0..ATTEMPTS {
            let events = ready!(self.poll_ready(direction, cx))?;
            match attempt(&self.inner) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.source.exhausted(direction, events);
                    if let Direction::Write = direction {
                        self.want_room()?;
                    }
                }
                result => return Poll::Ready(result.map(|result| (result, events))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A write has found no room.
    fn want_room(&self) -> Result<()> {
        let mut state = self.source.0.lock();
        state.found = 0;
        if let Interest::Both = state.interest
            && !state.wants_room
        {
            state.wants_room = true;
            self.reactor
                .modify(self.inner.as_fd(), self.key, state.flags())?;
        }
        Ok(())
    }
}

impl<T: AsFd> Drop for Registered<T> {
    fn drop(&mut self) {
        self.reactor.remove(self.inner.as_fd(), self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn events_without_anything_behind_them_do_not_hold_a_poll() {
        let reactor = Reactor::new().expect("descriptors");
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let pipe = Registered::new(&reactor, reader, Interest::Read, true).expect("a pipe");
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut tried = 0;
        let poll = pipe.poll(Direction::Read, &mut Context::from_waker(&waker), |_| {
            tried += 1;
            assert!(tried < 100, "it is tried without end");
            // What the thread of the reactor may do meanwhile.
            pipe.source.event(EventFlags::IN);
            Err::<(), _>(ErrorKind::WouldBlock.into())
        });
        assert!(poll.is_pending());
        assert_eq!(tried, ATTEMPTS);
        assert!(woken.0.load(Ordering::SeqCst) > 0, "the task goes on");
    }
}
