//! Descriptors: in the reactor of the `Smol::block_on` around, or else in async-io's.

use std::future::poll_fn;
use std::io::{ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use async_io::Async;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::direction::{ATTEMPTS, Direction, Interest};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::{reactor::Reactor, registered::Registered};

/// Where new descriptors go.
#[derive(Clone, Default)]
pub(crate) struct Home {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) reactor: Option<std::sync::Arc<Reactor>>,
}

impl Home {
    /// Takes over a descriptor and sets it non-blocking.
    pub(crate) fn adopt<T: AsFd>(&self, fd: T, interest: Interest) -> Result<Fd<T>> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(reactor) = &self.reactor {
            rustix::io::ioctl_fionbio(&fd, true)?;
            return Ok(Fd::Own(Registered::new(reactor, fd, interest, true)?));
        }
        // async-io asks for what is waited for.
        let _ = interest;
        Ok(Fd::AsyncIo(Polled {
            fd: Async::new(fd)?,
            nothing_to_read: false,
            no_room: false,
        }))
    }

    /// Resolves when there is something to read, or the other end is gone. The descriptor's flags
    /// stay as they are.
    pub(crate) fn watch(&self, fd: OwnedFd) -> Result<impl Future<Output = Result<()>> + 'static> {
        let fd = self.watched(fd)?;
        Ok(async move {
            match fd {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Fd::Own(fd) => poll_fn(|cx| fd.poll_ready(Direction::Read, cx))
                    .await
                    .map(drop),
                // Hang-ups and errors count as readable, as with poll(2).
                Fd::AsyncIo(polled) => {
                    poll_fn(|cx| {
                        // Looked at first, for the same reason as in `Polled::poll`.
                        if is_readable(polled.fd.get_ref())? {
                            return Poll::Ready(Ok(()));
                        }
                        polled.fd.poll_readable(cx)
                    })
                    .await
                }
            }
        })
    }

    fn watched(&self, fd: OwnedFd) -> Result<Fd<OwnedFd>> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(reactor) = &self.reactor {
            let fd = Registered::new(reactor, fd, Interest::Read, false)?;
            return Ok(Fd::Own(fd));
        }
        Ok(Fd::AsyncIo(Polled {
            fd: Async::new_nonblocking(fd)?,
            nothing_to_read: false,
            no_room: false,
        }))
    }
}

/// Whether there is something to read, or the other end is gone, now.
fn is_readable(fd: &impl AsFd) -> Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
}

/// A non-blocking descriptor whose owner does the reading and writing.
pub(crate) enum Fd<T: AsFd> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Own(Registered<T>),
    AsyncIo(Polled<T>),
}

/// async-io's own streams try first and ask later; this one remembers what the last attempt found.
/// async-io arms a descriptor for each wait, and tells what is there already, so nothing is missed.
pub(crate) struct Polled<T> {
    fd: Async<T>,
    nothing_to_read: bool,
    no_room: bool,
}

impl<T: AsFd> Fd<T> {
    pub(crate) fn get_ref(&self) -> &T {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Own(fd) => fd.get_ref(),
            Self::AsyncIo(polled) => polled.fd.get_ref(),
        }
    }

    /// Reads into a buffer of `length` bytes with `read`.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        read: impl FnMut(&T) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Own(fd) => fd.poll_read(cx, length, read),
            Self::AsyncIo(polled) => {
                let count = ready!(polled.poll(Direction::Read, cx, read))?;
                // A read that fills less has emptied the stream.
                polled.nothing_to_read = 0 < count && count < length;
                Poll::Ready(Ok(count))
            }
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnMut(&T) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Own(fd) => fd.poll_write(cx, write),
            Self::AsyncIo(polled) => polled.poll(Direction::Write, cx, write),
        }
    }

    /// Takes something that is not bytes, such as a connection.
    pub(crate) fn poll_take<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnMut(&T) -> Result<R>,
    ) -> Poll<Result<R>> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Own(fd) => fd
                .poll(Direction::Read, cx, take)
                .map_ok(|(taken, _)| taken),
            Self::AsyncIo(polled) => polled.poll(Direction::Read, cx, take),
        }
    }
}

impl<T: AsFd> Polled<T> {
    /// Tries until something comes of it or it has to wait, within [`ATTEMPTS`].
    fn poll<R>(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&T) -> Result<R>,
    ) -> Poll<Result<R>> {
        for _ in 0..ATTEMPTS {
            let exhausted = match direction {
                Direction::Read => &mut self.nothing_to_read,
                Direction::Write => &mut self.no_room,
            };
            // Once there was a wait, the next poll tries first, as async-io's own streams do: it
            // does not count an event of the turn in which the wait began, so that asking again
            // might wait for ever for what is there.
            if std::mem::take(exhausted) {
                ready!(match direction {
                    Direction::Read => self.fd.poll_readable(cx),
                    Direction::Write => self.fd.poll_writable(cx),
                })?;
            }
            match attempt(self.fd.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => *exhausted = true,
                result => return Poll::Ready(result),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
