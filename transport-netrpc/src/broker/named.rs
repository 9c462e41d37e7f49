//! The id at the head of a brokered stream, and how long it is waited for.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::{BoxByteStream, SharedRuntime};

/// Closes a stream that nobody here wants, so that whoever has opened it reads its end, as from go-plugin.
pub(super) fn hang_up(runtime: &SharedRuntime, mut io: BoxByteStream) {
    runtime.spawn(Box::pin(async move {
        // It may be reset already.
        let _closed = poll_fn(|cx| Pin::new(&mut io).poll_close(cx)).await;
    }));
}

/// `None` once the time is over.
pub(super) async fn within<T>(
    runtime: &SharedRuntime,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut timer = runtime.timer(runtime.now() + limit);
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        timer.as_mut().poll_expired(cx).map(|()| None)
    })
    .await
}

pub(super) async fn write(io: &mut BoxByteStream, bytes: [u8; 4]) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        let left = &bytes[written..];
        let count = poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, left)).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        written += count;
    }
    poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await
}

/// `None` if the stream ends before.
pub(super) async fn read(io: &mut BoxByteStream) -> io::Result<Option<[u8; 4]>> {
    let mut bytes = [0; 4];
    let mut read = 0;
    while read < bytes.len() {
        let rest = &mut bytes[read..];
        let count = poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, rest)).await?;
        if count == 0 {
            return Ok(None);
        }
        read += count;
    }
    Ok(Some(bytes))
}
