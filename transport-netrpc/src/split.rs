//! The two directions of a stream, for two tasks.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::later::Later;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::BoxByteStream;

use crate::outbox::Outbox;

/// The half that is read.
pub(crate) struct Reads(Arc<Mutex<BoxByteStream>>);

/// The half that is written. Its stream is closed when its drop or its end comes.
pub(crate) struct Writes(Arc<Mutex<BoxByteStream>>);

/// Splits a stream whose polls are short, as those of a session's streams are: the two halves wait for one
/// another.
pub(crate) fn split(io: BoxByteStream) -> (Reads, Writes) {
    let io = Arc::new(Mutex::new(Rank::Bytes, io));
    (Reads(Arc::clone(&io)), Writes(io))
}

impl AsyncRead for Reads {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        with(&self.0, |io| io.poll_read(cx, buf))
    }
}

/// Uses the stream under its lock; whom that has to wake is woken after it.
fn with<T>(io: &Mutex<BoxByteStream>, work: impl FnOnce(Pin<&mut BoxByteStream>) -> T) -> T {
    let mut later = Later::default();
    later.keep(|| work(Pin::new(&mut *io.lock())))
}

impl Writes {
    /// Writes what is in the outbox until that is closed, and closes the stream.
    pub(crate) async fn write_all(&mut self, outbox: &Outbox) -> io::Result<()> {
        let mut spare = Vec::new();
        while let Some(mut bytes) = outbox.take(spare).await {
            let mut written = 0;
            while written < bytes.len() {
                let left = &bytes[written..];
                let count = poll_fn(|cx| with(&self.0, |io| io.poll_write(cx, left))).await?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                written += count;
            }
            poll_fn(|cx| with(&self.0, |io| io.poll_flush(cx))).await?;
            bytes.clear();
            spare = bytes;
        }
        poll_fn(|cx| with(&self.0, |io| io.poll_close(cx))).await
    }
}
