//! Two pipes as one stream of bytes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{BoxReader, BoxWriter};

/// A source and a sink of bytes as one two-way stream, such as the pipes of a process.
///
/// Closing it drops the sink, which is what tells the reader of a pipe that it has ended.
pub struct Joined {
    /// What somebody else has read from the source already, and how much of it was given out.
    before: Vec<u8>,
    given: usize,
    reader: BoxReader,
    writer: Option<BoxWriter>,
}

impl Joined {
    /// Joins them.
    #[must_use]
    pub fn new(reader: BoxReader, writer: BoxWriter) -> Self {
        Self {
            before: Vec::new(),
            given: 0,
            reader,
            writer: Some(writer),
        }
    }

    /// The same stream, with bytes to be read before those of the source.
    #[must_use]
    pub fn behind(mut self, before: Vec<u8>) -> Self {
        self.before = before;
        self.given = 0;
        self
    }

    fn take_before(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.before[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        if self.given == self.before.len() {
            self.before = Vec::new();
            self.given = 0;
        }
        count
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
        if !self.before.is_empty() {
            return Poll::Ready(Ok(self.take_before(buffer)));
        }
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.before.is_empty() {
            let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
            let count = first.map_or(0, |buffer| self.take_before(buffer));
            return Poll::Ready(Ok(count));
        }
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    struct Bytes(&'static [u8]);

    impl AsyncRead for Bytes {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(io::Read::read(&mut self.0, buffer))
        }
    }

    struct Nowhere;

    impl AsyncWrite for Nowhere {
        fn poll_write(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_was_read_before_comes_first() {
        let joined = Joined::new(Box::new(Bytes(b"later")), Box::new(Nowhere));
        let mut joined = joined.behind(b"before ".to_vec());
        let mut cx = Context::from_waker(Waker::noop());
        let mut text = Vec::new();
        loop {
            let mut small = [0; 3];
            match Pin::new(&mut joined).poll_read(&mut cx, &mut small) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(count)) => text.extend_from_slice(&small[..count]),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(text, b"before later");
    }

    #[test]
    fn a_closed_stream_takes_nothing_more() {
        let mut joined = Joined::new(Box::new(Bytes(b"")), Box::new(Nowhere));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut joined).poll_close(&mut cx).is_ready());
        let written = Pin::new(&mut joined).poll_write(&mut cx, b"x");
        assert!(matches!(written, Poll::Ready(Err(_))), "{written:?}");
    }
}
