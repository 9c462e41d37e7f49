//! Messages from a stream of them to a transport, as it has room.

use std::borrow::Cow;
use std::fmt;
use std::task::{Context, Poll, ready};

use super::guard::{Guarded, Panicked, Whose, catch_panic};
use super::{MessageStream, OutMessage, Side, Status, single};
use crate::rt::SharedRuntime;
use crate::turn::Turn;

/// The call is over: nobody wants its messages any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What a transport offers to whoever sends the messages of a call.
///
/// A message that was [sent](Self::send) may be held back until the transport is polled again or the
/// messages end, so that a transport can tell with the last of them that it was the last.
pub trait Outlet {
    /// The runtime whose task sends.
    fn runtime(&self) -> &SharedRuntime;

    /// Ready when there is room for a message.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// Takes a message, after there was room for it.
    ///
    /// # Errors
    /// What the call fails with, as for a message over the limit.
    fn send(&mut self, message: OutMessage) -> Result<(), Status>;

    /// No message is there to send: what was held back leaves. Ready if the call is over; otherwise
    /// the task is woken when it is.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Gone>;

    /// Ready when nothing is held back that an end would overtake.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.poll_room(cx)
    }

    /// Tells the program's log that code of the application panicked.
    fn tell_panic(whose: Whose<'_>, panicked: &Panicked);
}

/// Runs the application's code; a panic becomes `INTERNAL` and is told.
///
/// What the code left half-changed is the application's own, as with a panic in a thread; the future or
/// stream that panicked is dropped and never polled again.
pub(super) fn guard<O: Outlet, T>(whose: Whose<'_>, code: impl FnOnce() -> T) -> Result<T, Status> {
    catch_panic(code).map_err(|panicked| {
        O::tell_panic(whose, &panicked);
        panicked.status(whose)
    })
}

/// How the messages ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Pumped {
    /// All were sent.
    All,
    /// Their stream failed, or panicked, or made one that the transport refused.
    Failed(Status),
    /// The call is over.
    Gone,
}

/// Sends the messages of a stream. One message is pulled ahead, to learn whether it is the last.
///
/// ```text
///          pulled             room, sent
/// Unknown --------> Message --------------> Unknown
///    |
///    +--> End ------> All      (the stream is dropped)
///    +--> Failed ---> Failed   (the stream is dropped)
/// ```
pub struct Pump {
    path: Cow<'static, str>,
    sender: Side,
    /// Until it has ended.
    messages: Option<Guarded<MessageStream>>,
    next: Next,
    /// If there is to be exactly one message: whether it has come.
    single: Option<bool>,
}

enum Next {
    Unknown,
    Message(OutMessage),
    End,
    Failed(Status),
}

impl Pump {
    /// The requests of a caller of the method with this path.
    #[must_use]
    pub fn requests(path: Cow<'static, str>, messages: MessageStream) -> Self {
        Self::new(path, Side::Caller, messages)
    }

    /// What a call fails with whose requests are sent by a task that is dropped before its end, as by a
    /// runtime that shuts down: the rest of them will not come.
    #[must_use]
    pub fn dropped() -> Status {
        Status::unavailable(
            "the task that sends the requests was dropped before it had sent all of them",
        )
    }

    /// The responses of a handler of the method with this path.
    #[must_use]
    pub fn responses(path: Cow<'static, str>, messages: MessageStream) -> Self {
        Self::new(path, Side::Server, messages)
    }

    fn new(path: Cow<'static, str>, sender: Side, messages: MessageStream) -> Self {
        Self {
            path,
            sender,
            messages: Some(Guarded::new(messages)),
            next: Next::Unknown,
            single: None,
        }
    }

    /// Whether there is to be exactly one message, so that anything else fails. Any number may come
    /// unless this is called.
    #[must_use]
    pub fn exactly_one(mut self, one: bool) -> Self {
        self.single = one.then_some(false);
        self
    }

    /// Looks ahead to the next message, the failure or the end. Ready once that is known.
    pub fn poll_pull<O: Outlet>(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.next, Next::Unknown) {
            return Poll::Ready(());
        }
        let Some(messages) = &mut self.messages else {
            self.next = Next::End;
            return Poll::Ready(());
        };
        let whose = match self.sender {
            Side::Caller => Whose::Requests(&self.path),
            Side::Server => Whose::Handler(&self.path),
        };
        self.next = match guard::<O, _>(whose, || messages.as_mut().poll_next(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(Ok(message)))) => match &mut self.single {
                Some(true) => Next::Failed(single::second(self.sender)),
                Some(has_come) => {
                    *has_come = true;
                    Next::Message(message)
                }
                None => Next::Message(message),
            },
            Ok(Poll::Ready(None)) if self.single == Some(false) => {
                Next::Failed(single::none(self.sender))
            }
            Ok(Poll::Ready(None)) => Next::End,
            Ok(Poll::Ready(Some(Err(status)))) | Err(status) => Next::Failed(status),
        };
        if !matches!(self.next, Next::Message(_)) {
            // Whatever the stream holds is let go as early as possible.
            self.messages = None;
        }
        Poll::Ready(())
    }

    /// After [`poll_pull`](Self::poll_pull): the failure, if that came instead of a message.
    pub fn take_failure(&mut self) -> Option<Status> {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            Next::Failed(status) => Some(status),
            next @ (Next::Unknown | Next::Message(_) | Next::End) => {
                self.next = next;
                None
            }
        }
    }

    /// After [`poll_pull`](Self::poll_pull): the message, if there is one.
    pub fn take_message(&mut self) -> Option<OutMessage> {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            Next::Message(message) => Some(message),
            next @ (Next::Unknown | Next::Failed(_) | Next::End) => {
                self.next = next;
                None
            }
        }
    }

    /// After [`poll_pull`](Self::poll_pull): whether all messages were taken.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        matches!(self.next, Next::End)
    }

    /// Sends until the messages end, there is no room, or the turn is over. The task is woken for the
    /// next turn then.
    pub fn poll<O: Outlet>(
        &mut self,
        outlet: &mut O,
        turn: &mut Turn,
        cx: &mut Context<'_>,
    ) -> Poll<Pumped> {
        loop {
            if self.poll_pull::<O>(cx).is_pending() {
                return outlet.poll_idle(cx).map(|Gone| Pumped::Gone);
            }
            let room = match &self.next {
                Next::Unknown => continue,
                Next::Message(_) => ready!(outlet.poll_room(cx)),
                Next::End => return Poll::Ready(Pumped::All),
                Next::Failed(_) => ready!(outlet.poll_taken(cx)),
            };
            if let Err(Gone) = room {
                return Poll::Ready(Pumped::Gone);
            }
            match std::mem::replace(&mut self.next, Next::Unknown) {
                Next::Message(message) => {
                    turn.spend(Turn::MESSAGE);
                    turn.spend_bytes(message.len());
                    if let Err(status) = outlet.send(message) {
                        self.messages = None;
                        self.next = Next::Failed(status);
                        continue;
                    }
                }
                Next::Failed(status) => return Poll::Ready(Pumped::Failed(status)),
                Next::Unknown | Next::End => {}
            }
            if turn.is_over() {
                if let Poll::Ready(Gone) = outlet.poll_idle(cx) {
                    return Poll::Ready(Pumped::Gone);
                }
                // It may be that of a connection, which is to know that it is over.
                let mut given = *turn;
                return given.give_way(outlet.runtime().as_ref(), cx);
            }
        }
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump")
            .field("path", &self.path)
            .field("ended", &self.messages.is_none())
            .finish_non_exhaustive()
    }
}
