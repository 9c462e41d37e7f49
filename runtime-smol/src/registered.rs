//! A descriptor in the reactor, and the attempts to use it (Linux).

use std::io::{ErrorKind, Result};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::epoll::EventFlags;

use crate::direction::{ATTEMPTS, Direction, Interest};
use crate::reactor::Reactor;
use crate::source::Source;

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
        self.source.found_room(|flags| self.modify(flags))?;
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
                        self.source.want_room(|flags| self.modify(flags))?;
                    }
                }
                result => return Poll::Ready(result.map(|result| (result, events))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn modify(&self, flags: EventFlags) -> Result<()> {
        self.reactor.modify(self.inner.as_fd(), self.key, flags)
    }
}

impl<T: AsFd> Drop for Registered<T> {
    fn drop(&mut self) {
        self.reactor.remove(self.inner.as_fd(), self.key);
    }
}

#[cfg(all(test, not(outboard_model)))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

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
