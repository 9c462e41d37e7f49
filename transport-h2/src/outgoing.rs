//! Messages on their way out, as flow control allows.

use std::borrow::Cow;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use outboard_core::grpc::{check_outgoing, prefix};
use outboard_core::rpc::guard::{Guarded, Whose};
use outboard_core::rpc::{MessageStream, OutMessage, SizeLimit, Status};

use crate::panic::guard;

/// How many messages one poll sends before it lets others run: a stream that always has the next
/// one ready would otherwise keep its thread to itself. A guess.
const MESSAGES_PER_POLL: usize = 64;

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

/// How sending ended.
pub(crate) enum Sent {
    /// All messages were handed over.
    All,
    /// The stream of messages failed with this.
    Failed(Status),
    /// The peer reset the stream, or the connection is gone.
    Gone,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The caller, its requests.
    Caller,
    /// The handler, its answers.
    Handler,
}

/// A stream of messages being sent.
pub(crate) struct Outgoing {
    side: Side,
    path: Cow<'static, str>,
    limit: SizeLimit,
    messages: Option<Guarded<MessageStream>>,
    /// What is left of the message being sent.
    current: Bytes,
    /// The message after it, pulled early to learn whether there is one.
    next: Next,
}

enum Next {
    Unknown,
    Message(Bytes),
    End,
    Failed(Status),
}

impl Outgoing {
    pub(crate) fn new(
        side: Side,
        path: Cow<'static, str>,
        messages: MessageStream,
        limit: SizeLimit,
    ) -> Self {
        Self {
            side,
            path,
            limit,
            messages: Some(Guarded::new(messages)),
            current: Bytes::new(),
            next: Next::Unknown,
        }
    }

    /// Looks ahead to the next message, its failure or the end. Ready once that is known.
    pub(crate) fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.next, Next::Unknown) {
            return Poll::Ready(());
        }
        let Some(messages) = &mut self.messages else {
            self.next = Next::End;
            return Poll::Ready(());
        };
        let whose = match self.side {
            Side::Caller => Whose::Requests(&self.path),
            Side::Handler => Whose::Handler(&self.path),
        };
        let polled = guard(whose, || messages.as_mut().poll_next(cx));
        self.next = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(Ok(message)))) => match frame(message, self.limit) {
                Ok(framed) => Next::Message(framed),
                Err(status) => Next::Failed(status),
            },
            Ok(Poll::Ready(Some(Err(status)))) | Err(status) => Next::Failed(status),
            Ok(Poll::Ready(None)) => Next::End,
        };
        if !matches!(self.next, Next::Message(_)) {
            // Whatever the stream holds is let go as early as possible.
            self.messages = None;
        }
        Poll::Ready(())
    }

    /// After [`poll_pull`](Self::poll_pull): the failure, if that came instead of a message.
    pub(crate) fn take_failure(&mut self) -> Option<Status> {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            Next::Failed(status) => Some(status),
            next @ (Next::Unknown | Next::Message(_) | Next::End) => {
                self.next = next;
                None
            }
        }
    }

    /// Sends until the messages end. `close` puts END_STREAM on the last frame.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut SendStream<Bytes>,
        close: bool,
    ) -> Poll<Sent> {
        for _ in 0..MESSAGES_PER_POLL {
            if self.current.is_empty() {
                if self.poll_pull(cx).is_pending() {
                    // Registers for a reset, which must end the stream of messages.
                    return stream.poll_reset(cx).map(|_| Sent::Gone);
                }
                match std::mem::replace(&mut self.next, Next::Unknown) {
                    Next::Unknown => continue,
                    Next::Message(framed) => self.current = framed,
                    Next::Failed(status) => return Poll::Ready(Sent::Failed(status)),
                    Next::End => {
                        let ended = close && stream.send_data(Bytes::new(), true).is_err();
                        return Poll::Ready(if ended { Sent::Gone } else { Sent::All });
                    }
                }
            }
            // An END_STREAM of its own would cost a frame, and often a write.
            let last = close && self.poll_pull(cx).is_ready() && matches!(self.next, Next::End);
            if !ready!(self.poll_send_current(cx, stream, last)) {
                return Poll::Ready(Sent::Gone);
            }
            if last {
                return Poll::Ready(Sent::All);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands over the current message piece by piece, reserving no more than is in hand. False if
    /// the stream is gone.
    fn poll_send_current(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut SendStream<Bytes>,
        last: bool,
    ) -> Poll<bool> {
        while !self.current.is_empty() {
            stream.reserve_capacity(self.current.len().min(MAX_PIECE));
            let capacity = stream.capacity();
            if capacity == 0 {
                match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return Poll::Ready(false),
                }
            }
            let piece = self.current.split_to(capacity.min(self.current.len()));
            let end = last && self.current.is_empty();
            if stream.send_data(piece, end).is_err() {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    }
}
