//! Making streams.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use outboard_core::rt::BoxFuture;

use crate::error::SessionError;
use crate::machine::Opened;
use crate::shared::Shared;
use crate::stream::Stream;

/// Opens streams, and ends the session.
pub struct Opener {
    shared: Arc<Shared>,
}

impl Opener {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.enter(),
        }
    }

    /// Opens a stream. The peer learns of it at once, and it can be written at once. This waits only
    /// while as many streams as [`Config::backlog`](crate::Config::backlog) says are unacknowledged.
    ///
    /// # Errors
    /// How the session ended, that the peer takes no more streams, or that there are no numbers left.
    pub fn open(&self) -> BoxFuture<'static, Result<Stream, SessionError>> {
        Box::pin(Opening {
            opener: self.clone(),
            ticket: None,
        })
    }

    /// Ends the session: everything that waits and all that comes later fails at once with `why`, such
    /// as how the process of the peer ended. That does not wait for the connection. The driver writes
    /// what streams had taken already, for a second at most, and closes it.
    ///
    /// If the session is over already because the connection was lost, `why` is what later calls say.
    pub fn close(&self, why: SessionError) {
        self.shared.with(|state| state.machine.explain(why));
    }

    /// The same, and streams of these numbers that are still open are finished before, in this order: the
    /// peer reads their ends, in place of that of the connection. That does not wait for the connection
    /// either.
    pub fn finish_and_close(&self, streams: &[u32], why: SessionError) {
        self.shared.with(|state| {
            state.machine.finish_all(state.now, streams);
            state.machine.explain(why);
        });
    }

    /// Waits until the session is over, and says how it ended. It does not keep the session going.
    pub fn closed(&self) -> BoxFuture<'static, SessionError> {
        Box::pin(Closed {
            shared: Arc::clone(&self.shared),
            ticket: None,
        })
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.with(|state| state.machine.ended().is_some())
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.shared.leave(|_| ());
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

struct Opening {
    opener: Opener,
    /// Its place among those who wait.
    ticket: Option<u64>,
}

impl Future for Opening {
    type Output = Result<Stream, SessionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = &this.opener.shared;
        let opened = shared.with(|state| {
            let first = state.openers.keys().next().copied();
            let mine = this.ticket.is_none_or(|ticket| first == Some(ticket));
            let others = this.ticket.is_none() && first.is_some();
            if state.machine.ended().is_none() && (others || !mine) {
                let ticket = *this.ticket.get_or_insert_with(|| state.ticket());
                state.wait_to_open(ticket, cx);
                return None;
            }
            match state.machine.open(state.now) {
                Opened::Wait => {
                    let ticket = *this.ticket.get_or_insert_with(|| state.ticket());
                    state.wait_to_open(ticket, cx);
                    None
                }
                Opened::Stream(handle, id) => {
                    state.users += 1;
                    state.flush();
                    Some(Ok((handle, id)))
                }
                Opened::Failed(error) => Some(Err(error)),
            }
        });
        let Some(opened) = opened else {
            return Poll::Pending;
        };
        if let Some(ticket) = this.ticket.take() {
            shared.with(|state| state.stop_opening(ticket));
        }
        Poll::Ready(opened.map(|(handle, id)| Stream::new(Arc::clone(shared), handle, id)))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.opener.shared.with(|state| state.stop_opening(ticket));
        }
    }
}

struct Closed {
    shared: Arc<Shared>,
    ticket: Option<u64>,
}

impl Future for Closed {
    type Output = SessionError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SessionError> {
        let this = &mut *self;
        this.shared.with(|state| match state.machine.ended() {
            Some(error) => Poll::Ready(error.clone()),
            None => {
                let ticket = *this.ticket.get_or_insert_with(|| state.ticket());
                state.wait_for_end(ticket, cx);
                Poll::Pending
            }
        })
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.with(|state| state.stop_waiting_for_end(ticket));
        }
    }
}

/// The streams that the peer opens. When it is dropped, those are refused.
pub struct Incoming {
    shared: Arc<Shared>,
}

impl Incoming {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.enter(),
        }
    }

    /// The next stream. The peer learns at once that it was taken. One that it has reset meanwhile is given
    /// as well, in its place: what came on it before can be read.
    ///
    /// # Errors
    /// How the session ended.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, SessionError>> {
        let accepted = self.shared.with(|state| {
            if let Some(error) = state.machine.ended() {
                return Poll::Ready(Err(error.clone()));
            }
            let Some(accepted) = state.machine.accept(state.now) else {
                state.wait_for_accept(cx);
                return Poll::Pending;
            };
            state.users += 1;
            state.flush();
            Poll::Ready(Ok(accepted))
        });
        accepted.map_ok(|(handle, id)| Stream::new(Arc::clone(&self.shared), handle, id))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.shared.leave(|state| state.machine.refuse(state.now));
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Incoming")
    }
}
