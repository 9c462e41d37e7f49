//! Streams of messages for code that blocks.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use futures_core::Stream;
use outboard_core::rpc::guard::{Whose, catch_panic};
use outboard_core::rpc::{Metadata, Status};

use super::wait::wait_for_call;

/// How many messages an iterator is ahead of what sends them. (A choice.)
const AHEAD: usize = 2;

/// A stream of messages: the argument or the result of a streaming method, on either side, in blocking
/// interfaces.
///
/// Reading: it is an iterator over `Result<T, Status>` that waits for each message. After an `Err` it is at its
/// end. Dropping it early cancels the call it came from.
///
/// Making: from an iterator ([`iter`](Self::iter), [`try_iter`](Self::try_iter)), or piece by piece through
/// [`channel`](Self::channel). An iterator may block: it runs on a thread of its own as long as the call
/// lasts, a handler's on the thread of the handler. It is dropped when the call is over, once a `next` that
/// waits has returned.
pub struct Streaming<T>(Inner<T>);

enum Inner<T> {
    /// Waits for nothing of the user's.
    Stream(crate::Streaming<T>),
    /// May block.
    Items(Items<T>),
    Over,
}

type Items<T> = Box<dyn Iterator<Item = Result<T, Status>> + Send>;

/// A stream as it is sent.
pub(super) enum Outgoing<T> {
    /// Waits for nothing of the user's.
    Ready(crate::Streaming<T>),
    /// Needs a thread.
    Made(Items<T>),
}

impl<T> Streaming<T> {
    /// A stream of the messages of an iterator.
    pub fn iter<I>(messages: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
        T: 'static,
    {
        Self::try_iter(messages.into_iter().map(Ok))
    }

    /// A stream of the items of an iterator; an `Err` ends the call with that status.
    pub fn try_iter<I>(items: I) -> Self
    where
        I: IntoIterator<Item = Result<T, Status>>,
        I::IntoIter: Send + 'static,
    {
        Self(Inner::Items(Box::new(items.into_iter())))
    }

    /// A stream of one message.
    pub fn once(message: T) -> Self
    where
        T: Send + 'static,
    {
        Self(Inner::Stream(crate::Streaming::once(message)))
    }

    /// A sender and the stream of what it is given, with room for `capacity` messages on the way. The
    /// stream ends when the last sender is dropped.
    #[must_use]
    pub fn channel(capacity: usize) -> (StreamSender<T>, Self)
    where
        T: Send + 'static,
    {
        let (sender, stream) = crate::Streaming::channel(capacity);
        (StreamSender(sender), stream.into())
    }

    /// The metadata the peer sent before its messages; empty if the stream does not come from a call.
    /// A peer may send it only with the first message.
    ///
    /// # Errors
    /// The call's status if it ended without any.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn headers(&mut self) -> Result<Metadata, Status> {
        match &mut self.0 {
            Inner::Stream(stream) => wait_for_call(stream.headers()),
            Inner::Items(_) | Inner::Over => Ok(Metadata::new()),
        }
    }

    /// The metadata the peer sent after its messages; there once the stream ended well.
    #[must_use]
    pub fn trailers(&self) -> Option<&Metadata> {
        match &self.0 {
            Inner::Stream(stream) => stream.trailers(),
            Inner::Items(_) | Inner::Over => None,
        }
    }

    pub(super) fn into_outgoing(self) -> Outgoing<T>
    where
        T: Send + 'static,
    {
        match self.0 {
            Inner::Stream(stream) => Outgoing::Ready(stream),
            Inner::Items(items) => Outgoing::Made(items),
            Inner::Over => Outgoing::Ready(crate::Streaming::iter([])),
        }
    }

    /// The requests of a call of the method with this path. An iterator gets a thread of its own, since nobody
    /// knows how long it takes.
    ///
    /// # Errors
    /// If the system gives none.
    pub(super) fn into_requests(self, path: &'static str) -> Result<crate::Streaming<T>, Status>
    where
        T: Send + 'static,
    {
        let items = match self.into_outgoing() {
            Outgoing::Ready(stream) => return Ok(stream),
            Outgoing::Made(items) => items,
        };
        let (to, stream) = hand_over();
        let failing = to.clone();
        let run = move || {
            if let Err(panicked) = catch_panic(|| send_all(items, to)) {
                fail(failing, panicked.status(Whose::Requests(path)));
            }
        };
        let name = "outboard-requests".to_owned();
        match thread::Builder::new().name(name).spawn(run) {
            Ok(_runs) => Ok(stream),
            Err(error) => Err(Status::resource_exhausted(format!(
                "no thread for the caller's stream of requests: {error}"
            ))),
        }
    }
}

impl<T> Iterator for Streaming<T> {
    type Item = Result<T, Status>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        let item = match &mut self.0 {
            Inner::Stream(stream) => wait_for_call(stream.message()).transpose(),
            Inner::Items(items) => items.next(),
            Inner::Over => None,
        };
        // What has ended well keeps its trailers.
        if matches!(item, Some(Err(_))) {
            self.0 = Inner::Over;
        }
        item
    }
}

impl<T> From<crate::Streaming<T>> for Streaming<T> {
    fn from(stream: crate::Streaming<T>) -> Self {
        Self(Inner::Stream(stream))
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streaming")
    }
}

/// The sending half of [`Streaming::channel`].
#[derive(Debug)]
pub struct StreamSender<T>(crate::StreamSender<T>);

// Messages need not be `Clone` for it.
impl<T> Clone for StreamSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send> StreamSender<T> {
    /// Sends a message, for which it waits until there is room.
    ///
    /// # Errors
    /// [`Code::Cancelled`](crate::Code::Cancelled) if nobody reads the stream any more.
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn send(&mut self, message: T) -> Result<(), Status> {
        wait_for_call(self.0.send(message))
    }

    /// Ends the stream with an error.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// In async code.
    #[track_caller]
    pub fn fail(&mut self, status: Status) -> Result<(), Status> {
        wait_for_call(self.0.fail(status))
    }
}

/// What an iterator's thread sends to, and what comes of it.
pub(super) fn hand_over<T: Send + 'static>() -> (crate::StreamSender<T>, crate::Streaming<T>) {
    crate::Streaming::channel(AHEAD)
}

/// Sends until there is no more, an error, or nobody to read it.
pub(super) fn send_all<T: Send>(items: Items<T>, to: crate::StreamSender<T>) {
    let mut to = StreamSender(to);
    for item in items {
        let sent = match item {
            Ok(message) => to.send(message),
            Err(status) => return drop(to.fail(status)),
        };
        if sent.is_err() {
            return;
        }
    }
}

pub(super) fn fail<T: Send>(to: crate::StreamSender<T>, status: Status) {
    // If nobody reads any more, nobody is to be told.
    let _gone = StreamSender(to).fail(status);
}

/// `stream`, which keeps `beside` as long as it is there.
pub(super) fn with<T: Send + 'static>(
    stream: crate::Streaming<T>,
    beside: impl Send + Unpin + 'static,
) -> crate::Streaming<T> {
    crate::Streaming::try_from_stream(With {
        stream,
        _beside: beside,
    })
}

struct With<T, B> {
    stream: crate::Streaming<T>,
    _beside: B,
}

impl<T, B: Unpin> Stream for With<T, B> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.stream).poll_next(cx)
    }
}
