//! Moving messages from a stream of them to the machine, as fast as it has room.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use outboard_core::rpc::guard::{PANIC_TARGET, Panicked, Whose, catch_panic};
use outboard_core::rpc::{MessageStream, OutMessage, Status};

use crate::session::{Session, Wait, drop_foreign, own, status_of};
use crate::wakers::Clones;
use crate::wire::Key;

/// How a stream of messages ended.
pub(crate) enum Pumped {
    Done,
    Failed(Status),
    Panicked(Panicked),
    /// The call is over.
    Gone,
}

/// Tells the log that code of the user's panicked, and gives the status of its call.
pub(crate) fn tell_panic(whose: Whose<'_>, panicked: &Panicked) -> Status {
    let (Whose::Handler(path) | Whose::Requests(path)) = whose;
    let panic = panicked.message.as_str();
    tracing::error!(target: PANIC_TARGET, path, panic, "{whose} panicked");
    panicked.status(whose)
}

type Messages<'a> = Pin<&'a mut (dyn Stream<Item = Result<OutMessage, Status>> + Send)>;

/// The next message of a stream that is not ours, or its panic. It must not be polled again then.
pub(crate) fn poll_messages(
    messages: Messages<'_>,
    cx: &mut Context<'_>,
) -> Result<Poll<Option<Result<OutMessage, Status>>>, Panicked> {
    catch_panic(|| messages.poll_next(cx))
}

/// How many messages are moved before other tasks get their turn (a guess: some microseconds of
/// work).
const BUDGET: usize = 256;

/// Moves messages until there are no more or no room.
pub(crate) fn poll_pump(
    session: &Arc<Session>,
    key: Key,
    mut messages: Messages<'_>,
    cx: &mut Context<'_>,
) -> Poll<Pumped> {
    let mut next = None;
    for _ in 0..BUDGET {
        let sent = next.take();
        let mut waker = Clones::one(cx.waker());
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
            state.wait(key, Wait::Write, &mut waker);
            state.kick();
            // Writing may have made room, but the event for that has woken this task.
            Ok(false)
        });
        match state {
            Err(end) => return Poll::Ready(end),
            Ok(false) => return Poll::Pending,
            Ok(true) => {}
        }
        match poll_messages(messages.as_mut(), cx) {
            Err(panicked) => return Poll::Ready(Pumped::Panicked(panicked)),
            Ok(Poll::Ready(Some(Ok(message)))) => next = Some(message),
            Ok(Poll::Ready(Some(Err(status)))) => return Poll::Ready(Pumped::Failed(status)),
            Ok(Poll::Ready(None)) => return Poll::Ready(Pumped::Done),
            Ok(Poll::Pending) => {
                let over = session.with(|state| {
                    // It may have ended while the messages were asked, and then nothing wakes.
                    if state.closed.is_some() || !state.mux.is_sending(key) {
                        return true;
                    }
                    // Woken also when the call ends.
                    state.wait(key, Wait::Write, &mut waker);
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
    session: Arc<Session>,
    key: Key,
    path: Cow<'static, str>,
    /// Until they ended.
    messages: Option<MessageStream>,
}

impl RequestPump {
    pub(crate) fn new(
        session: &Arc<Session>,
        key: Key,
        path: Cow<'static, str>,
        messages: MessageStream,
    ) -> Self {
        Self {
            session: Arc::clone(session),
            key,
            path,
            messages: Some(messages),
        }
    }

    fn fail(&self, status: &Status) {
        let (key, status) = (self.key, own(status));
        self.session.with(|state| {
            state.mux.cancel(key, status);
            state.kick();
        });
    }
}

impl Future for RequestPump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let key = this.key;
        let Some(messages) = &mut this.messages else {
            return Poll::Ready(());
        };
        match poll_pump(&this.session, key, messages.as_mut(), cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Pumped::Gone) => {}
            Poll::Ready(Pumped::Done) => this.session.with(|state| {
                state.mux.end(key);
                state.kick();
            }),
            Poll::Ready(Pumped::Failed(status)) => this.fail(&status),
            Poll::Ready(Pumped::Panicked(panicked)) => {
                this.fail(&tell_panic(Whose::Requests(&this.path), &panicked));
            }
        }
        drop_foreign(this.messages.take());
        Poll::Ready(())
    }
}

/// A pump that is dropped before its end, by a runtime that shuts down, ends its call: the rest of
/// the messages will not come.
impl Drop for RequestPump {
    fn drop(&mut self) {
        if let Some(messages) = self.messages.take() {
            self.fail(&Status::unavailable(
                "the task that sends the requests was dropped before it had sent all of them",
            ));
            drop_foreign(messages);
        }
    }
}
