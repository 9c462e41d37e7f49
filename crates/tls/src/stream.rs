//! A secured stream: a session around the stream that carries it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::BoxByteStream;
use outboard_core::turn::Turn;

use crate::TlsError;
use crate::session::Session;

/// Shakes hands over `io`, to which the result belongs from then on.
pub(crate) async fn secure(io: BoxByteStream, session: Session) -> Result<BoxByteStream, TlsError> {
    let mut stream = Stream {
        io,
        session,
        writer_waits: false,
    };
    match poll_fn(|cx| stream.poll_handshake(cx)).await {
        Ok(()) => Ok(Box::new(stream)),
        Err(error) => {
            // So that the peer learns why, without waiting for one that does not read. A stream inside
            // another connection that is dropped before it is closed may take back what it said.
            poll_fn(|cx| {
                let _ = stream.poll_drain(cx);
                let _ = Pin::new(&mut stream.io).poll_flush(cx);
                let _ = Pin::new(&mut stream.io).poll_close(cx);
                Poll::Ready(())
            })
            .await;
            Err(error)
        }
    }
}

struct Stream {
    io: BoxByteStream,
    session: Session,
    /// A task waits to write, and its place in `io` must stay its own.
    writer_waits: bool,
}

impl Stream {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        loop {
            self.session.advance()?;
            let drained = self.poll_drain(cx)?;
            if drained.is_ready() {
                ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            }
            if !self.session.is_handshaking() {
                ready!(drained);
                return Poll::Ready(self.session.check_protocol());
            }
            // Also while the way out is full: the peer may be waiting in the same way.
            let count = match ready!(self.poll_fill(cx)) {
                // That is how the end of a stream inside another connection shows, and in a handshake
                // it says no more than any other.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                read => read?,
            };
            if count == 0 {
                return Poll::Ready(Err(self.session.ended()));
            }
        }
    }

    /// Reads what there is.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.session.input.grow();
        let room = self.session.input.room_mut();
        let count = ready!(Pin::new(&mut self.io).poll_read(cx, room))?;
        self.session.received(count);
        Poll::Ready(Ok(count))
    }

    /// Writes all of the output.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let output = &mut self.session.output;
        while !output.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, output.filled())) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => output.consume(count),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// [`Stream::poll_drain`] for a writer, whose place is then taken.
    fn poll_drain_writer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let drained = self.poll_drain(cx);
        self.writer_waits = drained.is_pending();
        drained
    }

    /// Sends what TLS itself has to say, an answer or an alert, on behalf of a reader. If a writer waits
    /// it does so itself as soon as it can, and a reader would take its place.
    fn answer(&mut self, cx: &mut Context<'_>) {
        if !self.writer_waits && !self.session.output.is_empty() {
            // A fault of the way out is the next writer's to find.
            if let Poll::Ready(Ok(())) = self.poll_drain(cx) {
                let _ = Pin::new(&mut self.io).poll_flush(cx);
            }
        }
    }

    fn poll_read_plain(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // What comes may hold nothing for the reader.
        let mut turn = Turn::new();
        while !turn.is_over() {
            let count = self.session.read(into)?;
            if count > 0 || self.session.peer_has_closed() {
                return Poll::Ready(Ok(count));
            }
            let filled = ready!(self.poll_fill(cx))?;
            if filled == 0 {
                return Poll::Ready(Err(self.session.ended().into()));
            }
            turn.spend(Turn::READ);
            turn.spend_bytes(filled);
        }
        turn.give_way_here(cx)
    }

    fn poll_write_plain(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.session.failure() {
            return Poll::Ready(Err(error.clone().into()));
        }
        if self.session.is_closed() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // What was taken before goes first, which keeps the output at what one call encrypts.
        ready!(self.poll_drain_writer(cx))?;
        let count = self.session.write(pieces)?;
        match self.poll_drain_writer(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The rest is written by the next write or flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let read = self.poll_read_plain(cx, buf);
        self.answer(cx);
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_plain(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_plain(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain_writer(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // After a fault there is nothing to say but the alert, which is in the output.
        let _ = self.session.close();
        ready!(self.poll_drain_writer(cx))?;
        Pin::new(&mut self.io).poll_close(cx)
    }
}
