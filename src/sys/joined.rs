//! A pair of pipes as one stream of bytes.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::{BoxReader, BoxWriter};

/// Reads from one pipe and writes to another.
pub(crate) struct Joined {
    /// What was read already by somebody else, and comes first.
    before: Vec<u8>,
    given: usize,
    reader: BoxReader,
    writer: BoxWriter,
}

impl Joined {
    pub(crate) fn new(before: Vec<u8>, reader: BoxReader, writer: BoxWriter) -> Self {
        Self {
            before,
            given: 0,
            reader,
            writer,
        }
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
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{AsyncReadExt as _, FutureExt as _, io::Cursor};

    #[test]
    fn what_was_read_before_comes_first() {
        let later = Box::new(Cursor::new(b"later".to_vec()));
        let mut joined = Joined::new(
            b"before ".to_vec(),
            later,
            Box::new(futures_util::io::sink()),
        );
        let mut text = Vec::new();
        let mut small = [0; 3];
        loop {
            let count = joined
                .read(&mut small)
                .now_or_never()
                .expect("ready")
                .expect("reads");
            if count == 0 {
                break;
            }
            text.extend_from_slice(&small[..count]);
        }
        assert_eq!(text, b"before later");
    }
}
