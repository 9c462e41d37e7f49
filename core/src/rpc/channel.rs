//! The channel that generated clients call through.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Call, CallHead, Connection, Metadata, OutMessage, Reply, Status, Streaming};

/// A way to a set of services on the other side. Cheap to clone; clones share the connection.
///
/// A channel names neither the transport nor the runtime behind it.
#[derive(Clone)]
pub struct Channel {
    connection: Arc<dyn Connection>,
    options: Option<Arc<CallOptions>>,
}

/// What applies to calls beside their message.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// Metadata sent with each call.
    pub metadata: Metadata,
    /// How long each call may take.
    pub timeout: Option<Duration>,
    /// When all calls must be done.
    pub deadline: Option<Instant>,
}

impl CallOptions {
    /// No metadata and no limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this limit on the duration of each call, sent to the other side as its deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// With this time by which calls must be done.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// With this metadata sent along, in place of what was set before.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }
}

impl Channel {
    /// A channel over this connection.
    #[must_use]
    pub fn new(connection: Arc<dyn Connection>) -> Self {
        Self {
            connection,
            options: None,
        }
    }

    /// The same channel, with these options for its calls instead of the present ones.
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            options: Some(Arc::new(options)),
        }
    }

    /// The options of its calls, if any were given.
    #[must_use]
    pub fn options(&self) -> Option<&CallOptions> {
        self.options.as_deref()
    }

    /// The connection underneath.
    #[must_use]
    pub fn connection(&self) -> &Arc<dyn Connection> {
        &self.connection
    }

    /// What a call of `path` through this channel begins with.
    #[must_use]
    pub fn head(&self, path: &'static str) -> CallHead {
        let mut head = CallHead::new(path);
        if let Some(options) = &self.options {
            head.metadata = options.metadata.clone();
            head.timeout = options.timeout;
            head.deadline = options.deadline;
        }
        head
    }

    /// Makes a unary call. Dropping the future cancels the call.
    ///
    /// # Errors
    /// The call's status if it is not OK, or `INTERNAL` if the answer is not a `Resp`.
    pub fn unary<Req, Resp>(
        &self,
        head: CallHead,
        request: &Req,
    ) -> impl Future<Output = Result<Reply<Resp>, Status>> + Send + use<Req, Resp>
    where
        Req: prost::Message,
        Resp: prost::Message + Default,
    {
        let mut reply = self.connection.unary(head, OutMessage::encode(request));
        poll_fn(move |cx| {
            reply.as_mut().poll(cx).map(|reply| {
                let Reply {
                    message,
                    headers,
                    trailers,
                } = reply?;
                let message = Resp::decode(message).map_err(|error| undecodable(&error))?;
                Ok(Reply {
                    message,
                    headers,
                    trailers,
                })
            })
        })
    }

    /// Starts a streaming call; the requests are sent as flow control allows.
    pub fn streaming<Req, Resp>(&self, head: CallHead, requests: Streaming<Req>) -> Streaming<Resp>
    where
        Req: prost::Message + Default + 'static,
        Resp: prost::Message + Default + 'static,
    {
        let call: Box<dyn Call> = self.connection.open(head, requests.into_messages());
        Streaming::from_call(call)
    }
}

pub(super) fn undecodable(error: &prost::DecodeError) -> Status {
    Status::internal(format!(
        "cannot decode the message: {error}; do both sides use the same .proto?"
    ))
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.connection).finish()
    }
}
