//! Moving messages from a stream of them to the machine, as fast as it has room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use outboard_core::rpc::{MessageStream, OutMessage, Status};

use crate::session::{Session, Wait, status_of};
use crate::wire::Key;

/// How a stream of messages ended.
pub(crate) enum Pumped {
    Done,
    Failed(Status),
    /// The call is over.
    Gone,
}

/// How many messages are moved before other tasks get their turn (a guess: some microseconds of
/// work).
const BUDGET: usize = 256;

/// Moves messages until there are no more or no room.
pub(crate) fn poll_pump(
    session: &Arc<Session>,
    key: Key,
    mut messages: Pin<&mut (dyn Stream<Item = Result<OutMessage, Status>> + Send)>,
    cx: &mut Context<'_>,
) -> Poll<Pumped> {
    let mut next = None;
    for _ in 0..BUDGET {
        let sent = next.take();
        let state = session.with(|state| {
            if let Some(message) = sent
                && let Err(error) = state.mux.send(key, message)
            {
                return Err(Pumped::Failed(status_of(error)));
            }
            if state.closed.is_some() || !state.mux.is_sending(key) {
                return Err(Pumped::Gone);
            }
            if state.mux.has_room(key) {
                return Ok(true);
            }
            state.wait(key, Wait::Write, cx.waker());
            state.kick();
            // Writing may have made room, but the event for that has woken this task.
            Ok(false)
        });
        match state {
            Err(end) => return Poll::Ready(end),
            Ok(false) => return Poll::Pending,
            Ok(true) => {}
        }
        match messages.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => next = Some(message),
            Poll::Ready(Some(Err(status))) => return Poll::Ready(Pumped::Failed(status)),
            Poll::Ready(None) => return Poll::Ready(Pumped::Done),
            Poll::Pending => {
                let over = session.with(|state| {
                    // It may have ended while the messages were asked, and then nothing wakes.
                    if state.closed.is_some() || !state.mux.is_sending(key) {
                        return true;
                    }
                    // Woken also when the call ends.
                    state.wait(key, Wait::Write, cx.waker());
                    state.kick();
                    false
                });
                if over {
                    return Poll::Ready(Pumped::Gone);
                }
                return Poll::Pending;
            }
        }
    }
    if let Some(message) = next {
        let sent = session.with(|state| state.mux.send(key, message));
        if let Err(error) = sent {
            return Poll::Ready(Pumped::Failed(status_of(error)));
        }
    }
    session.with(|state| state.kick());
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The task that sends the messages of a call of this side.
pub(crate) struct RequestPump {
    pub(crate) session: Arc<Session>,
    pub(crate) key: Key,
    pub(crate) messages: MessageStream,
}

impl Future for RequestPump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let key = this.key;
        match poll_pump(&this.session, key, this.messages.as_mut(), cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Pumped::Gone) => {}
            Poll::Ready(Pumped::Done) => this.session.with(|state| {
                state.mux.end(key);
                state.kick();
            }),
            Poll::Ready(Pumped::Failed(status)) => this.session.with(|state| {
                state.mux.cancel(key, status);
                state.kick();
            }),
        }
        Poll::Ready(())
    }
}
