//! Streams of typed messages, as interfaces take and return them.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::{Call, Codec, Connection, DecodeError, MessageStream, Metadata, OutMessage, Status};

/// A stream of messages: the argument or the result of a streaming method, on either side.
///
/// Reading: it is a [`Stream`] of `Result<T, Status>`. After an `Err` it is at its end. Dropping
/// it early cancels the call it came from.
///
/// Making: from anything that yields messages ([`iter`](Self::iter), [`from_stream`](Self::from_stream),
/// [`try_from_stream`](Self::try_from_stream)), or piece by piece through [`channel`](Self::channel).
pub struct Streaming<T>(Inner<T>);

enum Inner<T> {
    /// Messages that arrive on a call, decoded when read.
    Call(
        Option<Box<dyn Call>>,
        Decode<T>,
        Option<Arc<dyn Connection>>,
    ),
    /// Messages made on this side.
    Local(Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>),
}

type Decode<T> = fn(Bytes) -> Result<T, DecodeError>;

impl<T> Streaming<T> {
    /// A stream of whatever `stream` yields; an `Err` ends the call with that status.
    pub fn try_from_stream(stream: impl Stream<Item = Result<T, Status>> + Send + 'static) -> Self {
        Self(Inner::Local(Box::pin(stream)))
    }

    /// A stream of the messages of another stream.
    pub fn from_stream(stream: impl Stream<Item = T> + Send + 'static) -> Self
    where
        T: Send + 'static,
    {
        Self(Inner::Local(Box::pin(AllOk(Box::pin(stream)))))
    }

    /// A stream of the messages of an iterator.
    pub fn iter<I>(messages: I) -> Self
    where
        T: 'static,
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self::try_iter(messages.into_iter().map(Ok))
    }

    /// A stream of the items of an iterator; an `Err` ends the call with that status.
    pub fn try_iter<I>(items: I) -> Self
    where
        I: IntoIterator<Item = Result<T, Status>>,
        I::IntoIter: Send + 'static,
    {
        Self(Inner::Local(Box::pin(Iter(items.into_iter()))))
    }

    /// A stream of one message.
    pub fn once(message: T) -> Self
    where
        T: Send + 'static,
    {
        Self::iter([message])
    }

    /// A sender and the stream of what it is given, with room for `capacity` messages on the way.
    /// The stream ends when the last sender is dropped.
    #[must_use]
    pub fn channel(capacity: usize) -> (StreamSender<T>, Self)
    where
        T: Send + 'static,
    {
        let (sender, receiver) = futures_channel::mpsc::channel(capacity);
        (StreamSender(sender), Self(Inner::Local(Box::pin(receiver))))
    }

    /// The messages that arrive on a call.
    #[must_use]
    pub fn from_call<C: Codec<T>>(_codec: C, call: Box<dyn Call>) -> Self {
        Self(Inner::Call(Some(call), C::decode, None))
    }

    /// The same, of a call that holds its connection until its end.
    pub(crate) fn of_connection<C: Codec<T>>(
        _codec: C,
        call: Box<dyn Call>,
        connection: Arc<dyn Connection>,
    ) -> Self {
        Self(Inner::Call(Some(call), C::decode, Some(connection)))
    }

    /// The metadata the peer sent before its messages; empty if the stream does not come from a
    /// call. A peer may send it only with the first message. Cancel-safe.
    ///
    /// # Errors
    /// The call's status if it ended without any.
    pub fn headers(&mut self) -> impl Future<Output = Result<Metadata, Status>> + Send {
        poll_fn(|cx| match &mut self.0 {
            Inner::Call(Some(call), _, _) => call.poll_headers(cx).map(|headers| headers.cloned()),
            Inner::Call(None, _, _) | Inner::Local(_) => Poll::Ready(Ok(Metadata::new())),
        })
    }

    /// The metadata the peer sent after its messages; there once the stream ended well.
    #[must_use]
    pub fn trailers(&self) -> Option<&Metadata> {
        match &self.0 {
            Inner::Call(call, _, _) => call.as_ref()?.trailers(),
            Inner::Local(_) => None,
        }
    }
}

impl<T> Streaming<T> {
    /// The next message; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// The call's status if it did not end well.
    pub fn message(&mut self) -> impl Future<Output = Result<Option<T>, Status>> + Send {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx).map(Option::transpose))
    }

    /// The encoded messages, for a transport to send.
    #[must_use]
    pub fn into_messages<C: Codec<T>>(self, codec: C) -> MessageStream
    where
        T: 'static,
    {
        Box::pin(Encoded(self, codec))
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Inner::Local(stream) => stream.as_mut().poll_next(cx),
            Inner::Call(slot, decode, connection) => {
                let Some(call) = slot else {
                    return Poll::Ready(None);
                };
                let item = match call.poll_message(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(item) => {
                        item.map(|item| decode(item?).map_err(|error| error.status("message")))
                    }
                };
                if let Some(Err(_)) = item {
                    // An error ends the stream, and dropping the call tells the peer.
                    *slot = None;
                }
                let over = !matches!(item, Some(Ok(_)));
                let held = connection.take_if(|_| over);
                drop(held);
                Poll::Ready(item)
            }
        }
    }
}

// Nothing inside is ever pinned in place: the parts that need it are boxed.
impl<T> Unpin for Streaming<T> {}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streaming")
    }
}

/// The sending half of [`Streaming::channel`].
#[derive(Debug)]
pub struct StreamSender<T>(futures_channel::mpsc::Sender<Result<T, Status>>);

// Messages need not be `Clone` for it.
impl<T> Clone for StreamSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> StreamSender<T> {
    /// Sends a message as soon as there is room. Cancel-safe: a dropped future sent nothing.
    ///
    /// # Errors
    /// [`Code::Cancelled`](super::Code::Cancelled) if nobody reads the stream any more.
    pub fn send(&mut self, message: T) -> impl Future<Output = Result<(), Status>> + Send
    where
        T: Send,
    {
        self.push(Ok(message))
    }

    /// Ends the stream with an error.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn fail(&mut self, status: Status) -> impl Future<Output = Result<(), Status>> + Send
    where
        T: Send,
    {
        self.push(Err(status))
    }

    fn push(&mut self, item: Result<T, Status>) -> impl Future<Output = Result<(), Status>> + Send
    where
        T: Send,
    {
        let mut item = Some(item);
        poll_fn(move |cx| {
            let gone = |_| Status::cancelled("the other side stopped reading the stream");
            let room = match self.0.poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(room) => room.map_err(gone),
            };
            // Polled again after it was ready, which no caller does, it sends nothing twice.
            let sent = room.and_then(|()| {
                item.take()
                    .map_or(Ok(()), |item| self.0.start_send(item).map_err(gone))
            });
            Poll::Ready(sent)
        })
    }
}

struct AllOk<T>(Pin<Box<dyn Stream<Item = T> + Send>>);

impl<T> Stream for AllOk<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx).map(|item| item.map(Ok))
    }
}

struct Iter<I>(I);

// The iterator is never pinned.
impl<I> Unpin for Iter<I> {}

impl<I: Iterator> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next())
    }
}

struct Encoded<T, C>(Streaming<T>, C);

// As the stream; a codec is never pinned.
impl<T, C> Unpin for Encoded<T, C> {}

impl<T, C: Codec<T>> Stream for Encoded<T, C> {
    type Item = Result<OutMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0)
            .poll_next(cx)
            .map(|item| item.map(|message| message.map(|message| C::encode(&message))))
    }
}
