//! What a transport is to the driver.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use super::{Call, CallHead, Channel, MessageStream, OutMessage, Reply, Router, Status};
use crate::handshake::Protocol;
use crate::rt::{BoxByteStream, BoxFuture, SharedRuntime};

/// The largest message either side takes unless told otherwise: what go-plugin's host allows,
/// 2^31 - 1 bytes, the most its length counter can hold.
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = i32::MAX as usize;

/// Asked once when a connection is lost, before its pending calls fail: turns the transport's own
/// status into a better one, such as "the plugin exited with status 3". Pending and later calls
/// fail with what it gives, so it must not take long.
pub type LostHook = Arc<dyn Fn(Status) -> BoxFuture<'static, Status> + Send + Sync>;

/// How the calling side of a connection behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// The largest message taken in either direction, in bytes. Larger ones fail their call with
    /// [`ResourceExhausted`](super::Code::ResourceExhausted).
    pub max_message_size: usize,
    /// HTTP/2's `:authority`; transports without one ignore it.
    pub authority: String,
    /// `https` instead of `http` as the scheme, for connections inside TLS.
    pub secure: bool,
    /// Explains a lost connection.
    pub lost: Option<LostHook>,
    /// Explains, in the same manner, what the peer has cut off while the connection lives, for
    /// protocols in which that says nothing of its reason (Go's net/rpc closes the stream of an answer
    /// that it cannot encode, and tells its own log alone).
    pub cut_off: Option<LostHook>,
}

impl ConnectionConfig {
    /// With this limit of messages, in bytes, and the defaults for all else.
    #[must_use]
    pub fn new(max_message_size: usize) -> Self {
        Self {
            max_message_size,
            ..Self::default()
        }
    }
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            authority: "localhost".to_owned(),
            secure: false,
            lost: None,
            cut_off: None,
        }
    }
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionConfig")
            .field("max_message_size", &self.max_message_size)
            .field("authority", &self.authority)
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

/// How the serving side of a connection behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The largest message taken in either direction, in bytes.
    pub max_message_size: usize,
}

impl ServerConfig {
    /// With this limit of messages, in bytes, and the defaults for all else.
    #[must_use]
    pub fn new(max_message_size: usize) -> Self {
        Self { max_message_size }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
        }
    }
}

/// A way to make calls over a stream of bytes: gRPC on HTTP/2, frames on pipes.
///
/// Both functions start their background work with [`Runtime::spawn`](crate::rt::Runtime::spawn)
/// and return at once: nothing has been sent or awaited when they return, so nothing on the path
/// of starting a plugin waits for an answer that may never come.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// The protocol this transport speaks, as the handshake line names it.
    fn protocol(&self) -> Protocol;

    /// Becomes the calling side of `io`.
    fn connect(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        config: ConnectionConfig,
    ) -> Arc<dyn Connection>;

    /// Becomes the serving side of `io`.
    fn serve(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        router: Arc<Router>,
        config: ServerConfig,
    ) -> Arc<dyn Serving>;
}

/// So that a transport can be chosen while the program runs.
impl<T: Transport + ?Sized> Transport for Box<T> {
    fn protocol(&self) -> Protocol {
        (**self).protocol()
    }

    fn connect(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        config: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        (**self).connect(runtime, io, config)
    }

    fn serve(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        router: Arc<Router>,
        config: ServerConfig,
    ) -> Arc<dyn Serving> {
        (**self).serve(runtime, io, router, config)
    }
}

/// A call that the peer has not begun with: made again, it happens once.
#[derive(Debug)]
#[non_exhaustive]
pub struct Untaken<M> {
    /// What the call fails with if it is not made again.
    pub status: Status,
    /// What it began with.
    pub head: CallHead,
    /// What was to be sent.
    pub message: M,
}

impl<M> Untaken<M> {
    /// A call that fails with `status` unless it is made again.
    pub fn new(status: Status, head: CallHead, message: M) -> Self {
        Self {
            status,
            head,
            message,
        }
    }
}

/// Why [`Connection::try_unary`] gives no reply.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "it began, or it did not")]
pub enum CallFailure<M> {
    /// The call ended with this status.
    Ended(Status),
    /// The call never began.
    Untaken(Box<Untaken<M>>),
}

impl<M> From<CallFailure<M>> for Status {
    fn from(failure: CallFailure<M>) -> Self {
        match failure {
            CallFailure::Ended(status) => status,
            CallFailure::Untaken(untaken) => untaken.status,
        }
    }
}

/// Why [`Connection::dispense`] gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispenseFailure {
    /// The peer provides nothing under the name.
    NotProvided {
        /// The names under which it does, as it tells them.
        provided: Vec<String>,
    },
    /// The peer refused, or was gone before it told what it provides.
    Refused(Status),
}

/// The calling side of a live connection.
///
/// Dropping the last reference closes the connection; calls in flight fail. Those that are made through
/// a [`Channel`] hold a reference until they end.
pub trait Connection: Send + Sync + fmt::Debug + 'static {
    /// Makes a unary call. Dropping the future cancels the call on the wire.
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<bytes::Bytes>, Status>>;

    /// Starts a streaming call; returns before anything was sent. The transport pulls `messages`
    /// by itself as flow control allows, also while nobody polls the call.
    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call>;

    /// Whether [`try_unary`](Self::try_unary) and [`try_open`](Self::try_open) ever give a call back.
    /// Where they do not, there is no need of them.
    fn gives_back(&self) -> bool {
        false
    }

    /// As [`unary`](Self::unary), and gives the call back if the peer has not begun with it, so
    /// that it can be made on another connection. Transports that cannot tell never do.
    fn try_unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<bytes::Bytes>, CallFailure<OutMessage>>> {
        let mut call = self.unary(head, message);
        Box::pin(poll_fn(move |cx| {
            call.as_mut().poll(cx).map_err(CallFailure::Ended)
        }))
    }

    /// As [`open`](Self::open), and gives the call back if this connection does not take it.
    ///
    /// # Errors
    /// [`Untaken`], with none of the messages taken from their stream.
    fn try_open(
        &self,
        head: CallHead,
        messages: MessageStream,
    ) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
        Ok(self.open(head, messages))
    }

    /// Whether the connection takes no further calls, be it that the peer wants no more, that it can
    /// carry no more, or that it is closed.
    fn is_retiring(&self) -> bool {
        false
    }

    /// Resolves as soon as [`is_retiring`](Self::is_retiring) holds. Calls in flight go on.
    fn retiring(&self) -> BoxFuture<'static, ()> {
        let mut closed = self.closed();
        Box::pin(poll_fn(move |cx| closed.as_mut().poll(cx).map(drop)))
    }

    /// Resolves when something has come from the peer, or the connection is closed: that an address
    /// takes connections does not prove that anybody is there. At once where nothing need come
    /// before the first call.
    fn heard(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Resolves with how many calls the peer lets be in flight at once, as soon as it has said so;
    /// more of them wait, each within its own limit. `None` if there is no such limit, or if the
    /// connection ended first. The future does not hold the connection.
    fn max_calls(&self) -> BoxFuture<'static, Option<u32>> {
        Box::pin(std::future::ready(None))
    }

    /// Takes no further calls, lets those in flight finish, then closes.
    fn drain(&self);

    /// Closes now; calls in flight, and all later ones, fail with `status`. A second closing
    /// changes nothing, but that later calls on a drained connection fail with `status`, too.
    fn abort(&self, status: Status);

    /// Resolves when the connection is closed for whatever reason, with the status later calls
    /// fail with.
    fn closed(&self) -> BoxFuture<'static, Status>;

    /// What the peer provides under this name: a channel of its own, for protocols that dispense over
    /// the wire (Go's net/rpc), or `None` where all that is provided shares this connection. Resolves
    /// as soon as it is known whether there is such a name; where names never travel, as in gRPC, that
    /// is at once, and the first call tells. The future does not hold the connection.
    ///
    /// # Errors
    /// [`DispenseFailure`]
    fn dispense(&self, name: &str) -> BoxFuture<'static, Result<Option<Channel>, DispenseFailure>> {
        let _ = name;
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Channels inside this connection, for transports that need no further sockets for the
    /// broker. `None`: the broker listens and connects.
    fn sub_channels(&self) -> Option<Arc<dyn SubChannels>> {
        None
    }

    /// The connection itself, where it is more than one of messages: whoever knows its protocol finds
    /// the rest there.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// The serving side of a live connection. It goes on serving when this is dropped.
pub trait Serving: Send + Sync + fmt::Debug + 'static {
    /// Tells the peer to make no further calls, finishes those in flight, then closes.
    fn drain(&self);

    /// Closes now; the handlers of calls in flight are dropped.
    fn abort(&self);

    /// Resolves when the connection is closed and no handler runs any more.
    fn closed(&self) -> BoxFuture<'static, ()>;

    /// Channels inside this connection; see [`Connection::sub_channels`].
    fn sub_channels(&self) -> Option<Arc<dyn SubChannels>> {
        None
    }
}

/// Brokered channels that live inside a connection.
pub trait SubChannels: Send + Sync + fmt::Debug + 'static {
    /// Serves `router` to whoever dials `id`, as often as they dial.
    ///
    /// # Errors
    /// A status if the connection is gone or `id` is being served already.
    fn accept(&self, id: u32, router: Arc<Router>) -> Result<Arc<dyn Serving>, Status>;

    /// A channel to what the peer serves under `id`. Nothing is awaited: if nobody serves it, the
    /// first call fails.
    fn dial(&self, id: u32, config: ConnectionConfig) -> Arc<dyn Connection>;
}
