//! Messages on their way out, as flow control allows.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use outboard_core::grpc::{check_outgoing, prefix};
use outboard_core::rpc::{Gone, OutMessage, SizeLimit, Status};

/// The most handed to `h2` at once; it takes up to 2^31 - 1, which with its prefix the largest
/// message exceeds.
const MAX_PIECE: usize = 1 << 30;

/// A message behind its prefix.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` if it is over the limit.
pub(crate) fn frame(message: OutMessage, limit: SizeLimit) -> Result<Bytes, Status> {
    check_outgoing(message.len(), limit)?;
    let prefix = prefix(message.len());
    Ok(message.with_prefix(&prefix))
}

/// Queues a whole message. For the one message of a unary call, which is in memory anyway: `h2`
/// sends it as the windows allow, without keeping capacity from others while it waits.
pub(crate) fn send_all(
    stream: &mut SendStream<Bytes>,
    mut message: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while message.len() > MAX_PIECE {
        stream.send_data(message.split_to(MAX_PIECE), false)?;
    }
    stream.send_data(message, end)
}

/// The message of a stream that is being sent.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// What is left of it.
    current: Bytes,
}

impl Outgoing {
    /// Takes a message, when nothing is left of the one before.
    pub(crate) fn push(&mut self, message: OutMessage, limit: SizeLimit) -> Result<(), Status> {
        debug_assert!(self.current.is_empty(), "there was room");
        self.current = frame(message, limit)?;
        Ok(())
    }

    /// Hands over what is left of the message piece by piece, reserving no more than is in hand, and
    /// then, with `end`, the end of the stream.
    pub(crate) fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut SendStream<Bytes>,
        end: bool,
    ) -> Poll<Result<(), Gone>> {
        if self.current.is_empty() {
            let ended = end && stream.send_data(Bytes::new(), true).is_err();
            return Poll::Ready(if ended { Err(Gone) } else { Ok(()) });
        }
        while !self.current.is_empty() {
            stream.reserve_capacity(self.current.len().min(MAX_PIECE));
            let capacity = stream.capacity();
            if capacity == 0 {
                match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
                }
            }
            let piece = self.current.split_to(capacity.min(self.current.len()));
            // An END_STREAM of its own would cost a frame, and often a write.
            let last = end && self.current.is_empty();
            if stream.send_data(piece, last).is_err() {
                return Poll::Ready(Err(Gone));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// With nothing more to send for now: ready when the peer resets the stream, or the connection is
    /// gone.
    pub(crate) fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut SendStream<Bytes>,
    ) -> Poll<Gone> {
        // Whoever waits for capacity is woken by a reset, too.
        if ready!(self.poll_sent(cx, stream, false)).is_err() {
            return Poll::Ready(Gone);
        }
        stream.poll_reset(cx).map(|_| Gone)
    }
}
