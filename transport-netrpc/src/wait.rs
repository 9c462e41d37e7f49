//! Waiting for one of several things.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::AsyncRead;
use outboard_core::rt::SharedRuntime;
use outboard_core::told::Told;

/// Which of two came first, with what came of it.
pub(crate) enum First<A, B> {
    One(A),
    Other(B),
}

/// Waits for one of the two, and drops the other. If both are there, it is the first one.
pub(crate) async fn first<A, B>(
    one: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> First<A, B> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    poll_fn(|cx| {
        if let Poll::Ready(value) = one.as_mut().poll(cx) {
            return Poll::Ready(First::One(value));
        }
        other.as_mut().poll(cx).map(First::Other)
    })
    .await
}

/// Resolves once it is told, and never if it is not.
pub(crate) async fn once(told: Told<()>) {
    if told.await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// `None` once the time is over. A limit that no clock reaches is none.
pub(crate) async fn within<T>(
    runtime: &SharedRuntime,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut timer = runtime.now().checked_add(limit).map(|at| runtime.timer(at));
    let over = poll_fn(|cx| match &mut timer {
        Some(timer) => timer.as_mut().poll_expired(cx),
        None => Poll::Pending,
    });
    match first(future, over).await {
        First::One(value) => Some(value),
        First::Other(()) => None,
    }
}

/// Has all of `bytes` written by `write`, which says how many it took.
pub(crate) async fn write_all(
    bytes: &[u8],
    mut write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match poll_fn(|cx| write(cx, left)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => left = left.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// So many bytes. `None` if the stream ends before.
pub(crate) async fn read_exact<const COUNT: usize>(
    io: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<[u8; COUNT]>> {
    let mut bytes = [0; COUNT];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, rest)).await? {
            0 => return Ok(None),
            count => read += count,
        }
    }
    Ok(Some(bytes))
}
