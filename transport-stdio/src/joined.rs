//! Two pipes as one stream of bytes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::{BoxReader, BoxWriter};

/// A source and a sink of bytes as one two-way stream, for [`Stdio`](crate::Stdio).
///
/// Closing it drops the sink, which is what tells the reader of a pipe that it has ended.
pub struct Joined {
    reader: BoxReader,
    writer: Option<BoxWriter>,
}

impl Joined {
    /// Joins them.
    #[must_use]
    pub fn new(reader: BoxReader, writer: BoxWriter) -> Self {
        Self {
            reader,
            writer: Some(writer),
        }
    }

    fn writer(&mut self) -> io::Result<Pin<&mut BoxWriter>> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Pin::new(writer))
    }
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("closed", &self.writer.is_none())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Joined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read_vectored(cx, buffers)
    }
}

impl AsyncWrite for Joined {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer()?.poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer()?.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Ok(writer) = self.writer() else {
            return Poll::Ready(Ok(()));
        };
        let closed = writer.poll_close(cx);
        if closed.is_ready() {
            self.writer = None;
        }
        closed
    }
}
