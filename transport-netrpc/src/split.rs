//! The two directions of a stream, for two tasks.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::later::Later;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::{BoxByteStream, SharedRuntime, Timer};
use outboard_core::turn::Turn;

use crate::outbox::{KEPT, Outbox};
use crate::wait::write_all;

/// How long a peer that does not read keeps a stream whose user has let go of it. (A choice.)
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The half that is read.
pub(crate) struct Reads(Arc<Mutex<BoxByteStream>>);

/// The half that is written. The stream is reset when both halves are dropped before its end.
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

/// Until when a stream is written.
struct Limit<'a> {
    runtime: &'a SharedRuntime,
    outbox: &'a Outbox,
    timer: Option<Pin<Box<dyn Timer>>>,
}

impl Limit<'_> {
    /// Ready, with an error, once nothing is to be written any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.outbox.poll_failed(cx).is_ready() {
            return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
        }
        if self.outbox.poll_closed(cx).is_pending() {
            return Poll::Pending;
        }
        let runtime = self.runtime;
        let timer = self
            .timer
            .get_or_insert_with(|| runtime.timer(runtime.now() + LAST_WORDS));
        let expired = timer.as_mut().poll_expired(cx);
        expired.map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl Writes {
    /// Writes what is in the outbox until that is closed, and closes the stream.
    ///
    /// # Errors
    /// If it cannot be written, or the outbox has failed, or the peer does not take the last of it.
    pub(crate) async fn write_all(
        &mut self,
        runtime: &SharedRuntime,
        outbox: &Outbox,
    ) -> io::Result<()> {
        let mut limit = Limit {
            runtime,
            outbox,
            timer: None,
        };
        let mut spare = Vec::new();
        let mut turn = Turn::new();
        while let Some(mut bytes) = outbox.take(std::mem::take(&mut spare)).await {
            poll_fn(|cx| turn.poll_step(Turn::MESSAGE, cx)).await;
            turn.spend_bytes(bytes.len());
            // What has to wait looks at the limit; most of it has not.
            write_all(&bytes, |cx, left| {
                if outbox.has_failed() {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                match with(&self.0, |io| io.poll_write(cx, left)) {
                    Poll::Pending => limit.poll(cx).map(Err),
                    ready => ready,
                }
            })
            .await?;
            poll_fn(|cx| match with(&self.0, |io| io.poll_flush(cx)) {
                Poll::Pending => limit.poll(cx).map(Err),
                ready => ready,
            })
            .await?;
            if bytes.capacity() <= KEPT {
                bytes.clear();
                spare = bytes;
            }
        }
        poll_fn(|cx| {
            if let Poll::Ready(error) = limit.poll(cx) {
                return Poll::Ready(Err(error));
            }
            with(&self.0, |io| io.poll_close(cx))
        })
        .await
    }
}
