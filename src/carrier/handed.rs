//! A listener that is handed the streams of others, for an acceptor that has no socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_channel::mpsc;
use futures_core::Stream as _;
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{Accepted, BoxByteStream, Listener};

/// Hands streams over. How many may wait is bounded by whoever has them: a session has only so many.
#[derive(Clone)]
pub(crate) struct Hand(mpsc::UnboundedSender<BoxByteStream>);

impl Hand {
    /// Over to the listener, if that is still there. If not, the stream is dropped.
    pub(crate) fn over(&self, io: BoxByteStream) {
        let _nobody_listens = self.0.unbounded_send(io);
    }
}

/// A listener, and what hands streams over to it.
pub(crate) fn handed(local: Endpoint) -> (Hand, Box<dyn Listener>) {
    let (hand, streams) = mpsc::unbounded();
    (Hand(hand), Box::new(Handed { local, streams }))
}

struct Handed {
    local: Endpoint,
    streams: mpsc::UnboundedReceiver<BoxByteStream>,
}

impl Listener for Handed {
    fn local(&self) -> &Endpoint {
        &self.local
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match Pin::new(&mut self.streams).poll_next(cx) {
            Poll::Ready(Some(io)) => Poll::Ready(Ok(Accepted::new(io))),
            // Nothing comes any more, as nothing does from a socket that nobody connects to.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
