//! Connected sockets that wait for room only while there is none.
//!
//! tokio's own streams are registered for both directions, edge-triggered. A peer that reads frees
//! room in this side's socket, and the system reports that as an event: a wake-up of the thread per
//! message, for nobody. So these sockets are registered for reading alone, and for writing only
//! when a write has found no room.

use std::io::{ErrorKind, IoSlice, Read, Result};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::BoxByteStream;
use tokio::io::{Interest, unix::AsyncFd};
use tokio::runtime::Handle;
use tokio::task::coop;

use crate::registration::{Owner, register};

/// A connected, non-blocking socket as a stream. Must be called inside the runtime, by `handle`.
pub(crate) fn stream<T: Socket>(handle: Handle, socket: T) -> Result<BoxByteStream> {
    Ok(Box::new(Stream {
        socket: register(socket, Interest::READABLE)?,
        room: None,
        handle,
    }))
}

/// A socket of the standard library.
pub(crate) trait Socket: Owner + AsFd + Send + Unpin + 'static {
    fn read(&self, buf: &mut [u8]) -> Result<usize>;
    fn write(&self, buf: &[u8]) -> Result<usize>;
    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> Result<usize>;
    fn end(&self) -> Result<()>;
}

macro_rules! socket {
    ($($socket:ty)+) => {$(
        impl Socket for $socket {
            fn read(&self, buf: &mut [u8]) -> Result<usize> {
                Read::read(&mut &*self, buf)
            }

            fn write(&self, buf: &[u8]) -> Result<usize> {
                outboard_unix::send(self, buf)
            }

            fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> Result<usize> {
                outboard_unix::send_vectored(self, bufs)
            }

            fn end(&self) -> Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    )+};
}
socket!(TcpStream UnixStream);

struct Stream<T: Socket> {
    /// Registered for reading.
    socket: AsyncFd<T>,
    room: Option<Room>,
    handle: Handle,
}

/// The registration for writing: of a copy of the descriptor, since the reactor takes each once.
struct Room {
    fd: AsyncFd<OwnedFd>,
    /// How many writes have found room since one did not.
    found: u32,
}

/// After so many writes that found room the registration for writing is given up. Making it takes
/// four system calls, keeping it one per message of the peer's, so it pays for itself when every
/// fourth write or more blocks; some multiple of that keeps a bulk transfer from flapping.
const KEEP: u32 = 64;

/// How often in one poll a socket is tried that has nothing to give although its event said so: an
/// event may come in the middle of an attempt, and is worth another. tokio's budget bounds that only
/// inside of its runtimes.
const ATTEMPTS: u32 = 2;

impl<T: Socket> Stream<T> {
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&T) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        // And once before there is a registration.
        for _ in 0..=ATTEMPTS {
            let Some(room) = &mut self.room else {
                let budget = ready!(coop::poll_proceed(cx));
                match write(self.socket.get_ref()) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => {
                        budget.made_progress();
                        return Poll::Ready(result);
                    }
                }
                let fd = self.socket.get_ref().as_fd().try_clone_to_owned()?;
                let _context = self.handle.enter();
                // Room that was made in between is reported at once.
                let fd = register(fd, Interest::WRITABLE)?;
                self.room = Some(Room { fd, found: 0 });
                continue;
            };
            let mut ready = ready!(room.fd.poll_write_ready(cx))?;
            match write(self.socket.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    room.found = 0;
                }
                result => {
                    room.found += 1;
                    if room.found >= KEEP {
                        self.room = None;
                    }
                    return Poll::Ready(result);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Socket> AsyncRead for Stream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        for _ in 0..ATTEMPTS {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.get_ref().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                Ok(count) => {
                    // A read that fills less has emptied the socket: what comes later is a new
                    // event. An end or an error stays ready, whatever is cleared here.
                    if 0 < count && count < buf.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Socket> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        self.poll_write_with(cx, |socket| socket.write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.poll_write_with(cx, |socket| socket.write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // Nothing is buffered here.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        match self.socket.get_ref().end() {
            // The peer was faster.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
