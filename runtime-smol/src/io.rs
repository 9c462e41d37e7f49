//! Pipes and connected sockets as streams.

use std::io::{ErrorKind, IoSlice, PipeReader, PipeWriter, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_unix::{is_broken, without_sigpipe};

use crate::fd::Fd;

/// The reading end of a pipe.
pub(crate) struct PipeStart(pub(crate) Fd<PipeReader>);

impl AsyncRead for PipeStart {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        self.0.poll_read(cx, buf.len(), |mut pipe| pipe.read(buf))
    }
}

/// The writing end of a pipe. A pipe has no half-close: closing it closes the descriptor, so that
/// the reader sees the end.
pub(crate) struct PipeEnd(Option<Fd<PipeWriter>>);

impl PipeEnd {
    pub(crate) fn new(pipe: Fd<PipeWriter>) -> Self {
        Self(Some(pipe))
    }

    fn open(&mut self) -> Result<&mut Fd<PipeWriter>> {
        match &mut self.0 {
            Some(pipe) => Ok(pipe),
            None => Err(ErrorKind::BrokenPipe.into()),
        }
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        self.open()?.poll_write(cx, |mut pipe| {
            without_sigpipe(|| pipe.write(buf), is_broken)
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.open()?.poll_write(cx, |mut pipe| {
            without_sigpipe(|| pipe.write_vectored(bufs), is_broken)
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // Nothing is buffered here.
        Poll::Ready(self.open().map(drop))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// A connected socket. Closing it ends the direction to the peer.
pub(crate) struct Stream<T: AsFd>(pub(crate) Fd<T>);

/// A socket of the standard library.
pub(crate) trait Socket: AsFd + Unpin {
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

impl<T: Socket> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        self.0.poll_read(cx, buf.len(), |socket| socket.read(buf))
    }
}

impl<T: Socket> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        self.0.poll_write(cx, |socket| socket.write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.0.poll_write(cx, |socket| socket.write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // Nothing is buffered here.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        match self.0.get_ref().end() {
            // The peer was faster.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
