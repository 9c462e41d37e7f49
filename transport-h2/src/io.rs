//! futures-io streams as the tokio IO traits that `h2` asks for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures_io::{AsyncRead as _, AsyncWrite as _};
use outboard_core::rt::BoxByteStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's connection preface (RFC 9113, section 3.4), which `h2` writes by itself.
const PREFACE_LEN: usize = 24;

/// How much is read at once. The buffer has to be initialised before each read, so this also
/// bounds what that costs when only a little arrives.
const READ_STEP: usize = 64 * 1024;

/// How many pieces one vectored write takes: `h2` gives two or three, one is for the preface.
const MAX_SLICES: usize = 16;

/// The adapter.
///
/// It forwards vectored writes, which keep HEADERS and DATA in one system call without copying.
///
/// As a client it also keeps back the preface until the first frames follow: so `h2`'s handshake,
/// which only writes the preface, never waits, calls can start at once, and preface, settings and
/// the first call leave in one write.
pub(crate) struct Io {
    inner: BoxByteStream,
    /// Bytes of the preface that are still to be kept back.
    absorb: usize,
    /// The bytes kept back.
    held: BytesMut,
}

impl Io {
    pub(crate) fn client(inner: BoxByteStream) -> Self {
        Self {
            inner,
            absorb: PREFACE_LEN,
            held: BytesMut::with_capacity(PREFACE_LEN),
        }
    }

    pub(crate) fn server(inner: BoxByteStream) -> Self {
        Self {
            inner,
            absorb: 0,
            held: BytesMut::new(),
        }
    }

    fn poll_write_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let step = buffer.remaining().min(READ_STEP);
        let target = buffer.initialize_unfilled_to(step);
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, target))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.absorb > 0 {
            let first = slices.iter().find(|slice| !slice.is_empty());
            let Some(first) = first else {
                return Poll::Ready(Ok(0));
            };
            let take = first.len().min(this.absorb);
            this.held.extend_from_slice(&first[..take]);
            this.absorb -= take;
            return Poll::Ready(Ok(take));
        }
        while !this.held.is_empty() {
            let held = this.held.len();
            let mut all = [IoSlice::new(&[]); MAX_SLICES];
            all[0] = IoSlice::new(&this.held);
            let mut count = 1;
            for (slot, slice) in all[1..].iter_mut().zip(slices) {
                *slot = IoSlice::new(slice);
                count += 1;
            }
            let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, &all[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.held.advance(written.min(held));
            if written > held {
                return Poll::Ready(Ok(written - held));
            }
        }
        Pin::new(&mut this.inner).poll_write_vectored(cx, slices)
    }

    /// True although some streams below write one piece at a time: `h2` then copies payloads of
    /// 256 bytes less often, and a stream that ignores the other pieces only returns early.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_held(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_held(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
