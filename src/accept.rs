//! Taking connections, for the listener of a plugin and for those of brokers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream as _;
use futures_util::stream::FuturesUnordered;
use outboard_core::rt::{BoxByteStream, BoxFuture, Listener, SharedRuntime};

use crate::sys::files::SocketFile;
use crate::sys::reserve::{self, Reserve};
use crate::time;

/// How long accepting pauses after it failed for want of something: trying again at once would
/// spin. (A choice.)
const PAUSE: Duration = Duration::from_millis(50);

/// Connections taken before other tasks get their turn: some hundred microseconds.
const ACCEPTS_PER_POLL: u32 = 16;

/// A socket that listens, with its file. Dropping it closes the one and removes the other.
///
/// Without a descriptor the system accepts nobody, and leaves who has connected waiting for ever. So
/// one is held in reserve: whoever comes then is hung up on, and this side's log says why.
pub(crate) struct Acceptor {
    listener: Box<dyn Listener>,
    _file: Option<SocketFile>,
    reserve: Reserve,
    /// Accepting failed; it is tried again afterwards.
    pause: Option<BoxFuture<'static, ()>>,
    /// How many more are taken before other tasks get their turn.
    budget: u32,
    /// Connections that were taken only to be closed, for want of a descriptor.
    hung_up: u64,
}

impl Acceptor {
    pub(crate) fn new(listener: Box<dyn Listener>, file: Option<SocketFile>) -> Self {
        Self {
            listener,
            _file: file,
            reserve: Reserve::keep(),
            pause: None,
            budget: ACCEPTS_PER_POLL,
            hung_up: 0,
        }
    }

    /// The next connection. `what` it is of stands in what is logged of one that cannot be accepted;
    /// it is tried again after a pause.
    ///
    /// After a number of connections it is pending once, with the waker woken: a peer that connects
    /// without end must not keep the thread from others.
    pub(crate) fn poll(
        &mut self,
        runtime: &SharedRuntime,
        what: &'static str,
        cx: &mut Context<'_>,
    ) -> Poll<BoxByteStream> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if self.budget == 0 {
                self.budget = ACCEPTS_PER_POLL;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let accepted = self.listener.poll_accept(cx);
            if accepted.is_pending() {
                self.budget = ACCEPTS_PER_POLL;
                return Poll::Pending;
            }
            self.budget -= 1;
            let error = match ready!(accepted) {
                Ok(io) => return Poll::Ready(io),
                // It was gone before it was accepted.
                Err(error) if concerns_one(&error) => continue,
                Err(error) => error,
            };
            if reserve::is_used_up(&error) {
                // The system says so before it looks whether there is a connection.
                match ready!(self.hang_up(cx)) {
                    Ok(()) => {
                        self.note_hung_up(what, &error);
                        continue;
                    }
                    Err(error) => cannot(what, &error),
                }
            } else {
                cannot(what, &error);
            }
            self.pause = Some(Box::pin(time::sleep(runtime, PAUSE)));
        }
    }

    /// Closes the connection that waits longest.
    fn hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            listener, reserve, ..
        } = self;
        // The connection is closed before the reserve is taken back.
        reserve.lend(|| listener.poll_accept(cx).map_ok(drop))
    }

    /// Logs once per doubling: whoever connects again and again must not flood the log.
    fn note_hung_up(&mut self, what: &str, error: &io::Error) {
        self.hung_up += 1;
        if self.hung_up.is_power_of_two() {
            tracing::error!(
                target: "outboard",
                %error,
                so_far = self.hung_up,
                "no file descriptor is left for a connection to {what}, which was closed; \
                 raise the limit of open files (ulimit -n), or find out what holds so many"
            );
        }
    }
}

fn cannot(what: &str, error: &io::Error) {
    tracing::warn!(target: "outboard", %error, "a connection to {what} could not be accepted");
}

/// Whether the error is one of the connection that was to be accepted, and not of the listener.
fn concerns_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use futures_util::io::Cursor;
    use outboard_core::endpoint::Endpoint;

    use crate::broker::tests::Still;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives these, then connections without end.
    struct Scripted {
        first: VecDeque<io::Result<()>>,
        asked: Arc<AtomicUsize>,
    }

    impl Listener for Scripted {
        fn local(&self) -> &Endpoint {
            unreachable!("nobody asks")
        }

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<BoxByteStream>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let next = self.first.pop_front().unwrap_or(Ok(()));
            Poll::Ready(next.map(|()| -> BoxByteStream { Box::new(Cursor::new(Vec::new())) }))
        }
    }

    fn acceptor(first: Vec<io::Result<()>>) -> (Acceptor, Arc<AtomicUsize>, SharedRuntime) {
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = Scripted {
            first: first.into(),
            asked: Arc::clone(&asked),
        };
        let runtime = Arc::new(Still::default());
        (Acceptor::new(Box::new(listener), None), asked, runtime)
    }

    #[test]
    fn connections_without_end_let_others_have_their_turn() {
        let (mut acceptor, _, runtime) = acceptor(Vec::new());
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        for turn in 1..=3 {
            let mut taken = 0;
            while acceptor.poll(&runtime, "a test", &mut cx).is_ready() {
                taken += 1;
                assert!(taken <= ACCEPTS_PER_POLL, "it holds the thread");
            }
            assert_eq!(taken, ACCEPTS_PER_POLL);
            assert_eq!(
                wakes.0.load(Ordering::Relaxed),
                turn,
                "it goes on by itself"
            );
        }
    }

    #[test]
    fn a_connection_without_a_descriptor_is_closed() {
        let full = || Err(io::Error::from_raw_os_error(libc::EMFILE));
        let (mut acceptor, asked, runtime) = acceptor(vec![full(), Ok(()), full(), Ok(()), Ok(())]);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(acceptor.poll(&runtime, "a test", &mut cx).is_ready());
        assert_eq!((acceptor.hung_up, asked.load(Ordering::Relaxed)), (2, 5));
        assert!(acceptor.pause.is_none());
    }

    #[test]
    fn refusals_without_end_let_others_have_their_turn_too() {
        let full = || Err(io::Error::from_raw_os_error(libc::ENFILE));
        let pairs = (0..200).flat_map(|_| [full(), Ok(())]).collect();
        let (mut acceptor, _, runtime) = acceptor(pairs);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(acceptor.poll(&runtime, "a test", &mut cx).is_pending());
        assert_eq!(acceptor.hung_up, u64::from(ACCEPTS_PER_POLL));
    }

    #[test]
    fn it_pauses_when_it_cannot_even_refuse_but_not_for_one_that_is_gone() {
        let full = || Err(io::Error::from_raw_os_error(libc::EMFILE));
        let gone = || Err(io::ErrorKind::ConnectionAborted.into());
        let (mut acceptor, asked, runtime) = acceptor(vec![gone(), gone(), full(), full()]);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(acceptor.poll(&runtime, "a test", &mut cx).is_pending());
        assert!(acceptor.pause.is_some());
        assert_eq!((acceptor.hung_up, asked.load(Ordering::Relaxed)), (0, 4));
    }

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
