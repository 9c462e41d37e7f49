//! Streams whose close does something: async-io's only flush.

use std::io::{ErrorKind, IoSlice, PipeWriter, Result};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_io::{Async, IoSafe};
use futures_io::{AsyncRead, AsyncWrite};

/// The writing end of a pipe. A pipe has no half-close: closing it closes the descriptor, so that
/// the reader sees the end.
pub(crate) struct PipeEnd(Option<Async<PipeWriter>>);

impl PipeEnd {
    pub(crate) fn new(pipe: Async<PipeWriter>) -> Self {
        Self(Some(pipe))
    }

    fn open(&mut self) -> Result<Pin<&mut Async<PipeWriter>>> {
        match &mut self.0 {
            Some(pipe) => Ok(Pin::new(pipe)),
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
        self.open()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.open()?.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // Nothing is buffered here.
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// A connected socket. Closing it ends the direction to the peer.
pub(crate) struct Stream<T>(pub(crate) Async<T>);

/// A socket of the standard library.
pub(crate) trait Socket: std::io::Read + std::io::Write + IoSafe {
    fn end(&self) -> Result<()>;
}

impl Socket for TcpStream {
    fn end(&self) -> Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Socket for UnixStream {
    fn end(&self) -> Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl<T: Socket> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: Socket> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        match self.0.get_ref().end() {
            // The peer was faster.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
