//! A stream.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::BoxFuture;

use crate::machine::{Handle, Read, Wrote};
use crate::shared::{Shared, State};

/// A stream of bytes in a session.
///
/// What is written is on its way when the write returns; flushing is not needed and does not wait.
/// Closing it says that no more is written, and leaves the reading alone. A stream that is dropped is
/// finished if the peer has finished it, and reset if not, so that neither side keeps anything of it;
/// one that was closed before it was dropped may still be finished by the peer.
pub struct Stream {
    shared: Arc<Shared>,
    handle: Handle,
    id: u32,
}

impl Stream {
    /// The handle is counted already.
    pub(crate) fn new(shared: Arc<Shared>, handle: Handle, id: u32) -> Self {
        Self { shared, handle, id }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits until the peer has taken it, or nobody can any more: it was reset or dropped, or the session
    /// is over. It keeps neither the stream nor the session going.
    pub fn acknowledged(&self) -> BoxFuture<'static, ()> {
        Box::pin(Acknowledged {
            shared: Arc::clone(&self.shared),
            id: self.id,
            ticket: None,
        })
    }
}

struct Acknowledged {
    shared: Arc<Shared>,
    id: u32,
    ticket: Option<u64>,
}

impl Future for Acknowledged {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.with(|state| {
            if !state.machine.is_unacknowledged(this.id) {
                return Poll::Ready(());
            }
            let ticket = *this.ticket.get_or_insert_with(|| state.ticket());
            state.wait_for_acknowledgement(ticket, cx);
            Poll::Pending
        })
    }
}

impl Drop for Acknowledged {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let stop = |state: &mut State| state.stop_waiting_for_acknowledgement(ticket);
            self.shared.with(stop);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let handle = self.handle;
        let read = self.shared.with(|state| {
            let read = state.machine.read(state.now, handle, target);
            match read {
                Read::Pending => state.wait_to_read(handle, cx),
                // Credit may be on its way.
                Read::Bytes(_) => state.flush(),
                Read::End | Read::Failed(_) => {}
            }
            read
        });
        match read {
            Read::Bytes(count) => Poll::Ready(Ok(count)),
            Read::End => Poll::Ready(Ok(0)),
            Read::Pending => Poll::Pending,
            Read::Failed(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let handle = self.handle;
        let wrote = self.shared.with(|state| {
            let wrote = state.write(handle, slices);
            if let Wrote::Pending = wrote {
                state.wait_to_write(handle, cx);
            }
            wrote
        });
        match wrote {
            Wrote::Bytes(count) => Poll::Ready(Ok(count)),
            Wrote::Pending => Poll::Pending,
            Wrote::Failed(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let handle = self.handle;
        self.shared.with(|state| {
            state.machine.finish(state.now, handle);
            state.flush();
        });
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let handle = self.handle;
        self.shared.leave(|state| {
            state.stop_waiting(handle);
            state.machine.release(state.now, handle);
        });
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.id).finish()
    }
}
