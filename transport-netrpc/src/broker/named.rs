//! The id at the head of a brokered stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use futures_io::AsyncWrite as _;
use outboard_core::rt::{BoxByteStream, SharedRuntime};

use crate::wait::{read_exact, write_all};

/// Closes a stream that nobody here wants, so that whoever has opened it reads its end, as from go-plugin.
pub(super) fn hang_up(runtime: &SharedRuntime, mut io: BoxByteStream) {
    runtime.spawn(Box::pin(async move {
        // It may be reset already.
        let _closed = poll_fn(|cx| Pin::new(&mut io).poll_close(cx)).await;
    }));
}

pub(super) async fn write(io: &mut BoxByteStream, id: u32) -> io::Result<()> {
    write_all(&id.to_le_bytes(), |cx, left| {
        Pin::new(&mut *io).poll_write(cx, left)
    })
    .await?;
    poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await
}

/// `None` if the stream ends before.
pub(super) async fn read(io: &mut BoxByteStream) -> io::Result<Option<u32>> {
    Ok(read_exact(io).await?.map(u32::from_le_bytes))
}
