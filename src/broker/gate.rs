//! A stream of bytes that is not read before its owner is ready for what comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_io::AsyncRead;
use futures_util::task::AtomicWaker;
use outboard_core::rt::BoxByteStream;

/// Opens a [`Gated`] stream, at the latest when it is dropped.
pub(super) struct Gate(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: AtomicBool,
    reader: AtomicWaker,
}

impl Gate {
    /// The stream behind a gate that is closed.
    pub(super) fn before(io: BoxByteStream) -> (Self, BoxByteStream) {
        let shared = Arc::new(Shared::default());
        let gated = Gated {
            io,
            shared: Some(Arc::clone(&shared)),
        };
        (Self(shared), Box::new(gated))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.open.store(true, Ordering::Release);
        self.0.reader.wake();
    }
}

struct Gated {
    io: BoxByteStream,
    /// None once it was seen open.
    shared: Option<Arc<Shared>>,
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(shared) = &self.shared {
            // Registered first, so that an opening in between is not missed.
            shared.reader.register(cx.waker());
            if !shared.open.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            self.shared = None;
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

writes_go_to_io!(Gated);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _, Cursor};

    use super::*;

    #[test]
    fn nothing_is_read_before_the_gate_is_open() {
        let bytes = Cursor::new(b"early".to_vec());
        let (gate, mut io) = Gate::before(Box::new(bytes));
        let mut read = [0; 5];
        assert!(io.read_exact(&mut read).now_or_never().is_none());
        drop(gate);
        let done = io.read_exact(&mut read).now_or_never();
        assert!(matches!(done, Some(Ok(()))), "{done:?}");
        assert_eq!(&read, b"early");
        let (_gate, mut io) = Gate::before(Box::new(Cursor::new(Vec::new())));
        let written = io.write_all(b"x").now_or_never();
        assert!(matches!(written, Some(Ok(()))), "what is written goes");
    }
}
