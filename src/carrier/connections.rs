//! Connections that are being served.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream as _;
use futures_util::stream::FuturesUnordered;
use outboard_core::rt::BoxFuture;

/// Connections that are open. Only those that have news are polled, however many there are.
pub(crate) struct Connections<C>(FuturesUnordered<Open<C>>);

struct Open<C> {
    connection: Option<C>,
    closed: BoxFuture<'static, ()>,
}

impl<C: Unpin> Future for Open<C> {
    type Output = Option<C>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<C>> {
        ready!(self.closed.as_mut().poll(cx));
        Poll::Ready(self.connection.take())
    }
}

impl<C> Default for Connections<C> {
    fn default() -> Self {
        Self(FuturesUnordered::new())
    }
}

impl<C: Unpin> Connections<C> {
    /// Adds one that is open until `closed`.
    pub(crate) fn push(&mut self, connection: C, closed: BoxFuture<'static, ()>) {
        self.0.push(Open {
            connection: Some(connection),
            closed,
        });
    }

    /// The next one that has closed. Pending also while none is open.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<C> {
        match Pin::new(&mut self.0).poll_next(cx) {
            Poll::Ready(Some(Some(connection))) => Poll::Ready(connection),
            // It gives each only once.
            Poll::Ready(Some(None) | None) | Poll::Pending => Poll::Pending,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &C> {
        self.0.iter().filter_map(|open| open.connection.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use super::*;

    #[test]
    fn only_connections_with_news_are_polled() {
        let polls = Arc::new(AtomicUsize::new(0));
        let mut connections = Connections::default();
        let mut enders = Vec::new();
        for number in 0..1000 {
            let (end, ended) = futures_channel::oneshot::channel::<()>();
            let (polls, mut ended) = (Arc::clone(&polls), ended);
            enders.push(end);
            let closed = std::future::poll_fn(move |cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                Pin::new(&mut ended).poll(cx).map(|_| ())
            });
            connections.push(number, Box::pin(closed));
        }
        let mut cx = Context::from_waker(Waker::noop());
        while connections.poll_closed(&mut cx).is_ready() {}
        // It yields now and then, and goes on at the next poll.
        for _ in 0..100 {
            assert!(connections.poll_closed(&mut cx).is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1000, "each once");
        drop(enders.swap_remove(7));
        assert_eq!(connections.poll_closed(&mut cx), Poll::Ready(7));
        assert!(connections.poll_closed(&mut cx).is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), 1001);
        assert_eq!(
            (connections.iter().count(), connections.is_empty()),
            (999, false)
        );
    }
}
