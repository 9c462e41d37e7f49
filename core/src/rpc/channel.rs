//! The channel that generated clients call through.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Call, CallHead, Codec, Connection, Metadata, Reply, Status, Streaming};

/// A way to a set of services on the other side. Cheap to clone; clones share the connection, and hold
/// it, as do calls in flight: it is closed when the last of them is gone.
///
/// A channel names neither the transport nor the runtime behind it.
#[derive(Clone)]
pub struct Channel {
    connection: Arc<dyn Connection>,
    options: Option<Arc<CallOptions>>,
}

/// What applies to calls beside their message.
///
/// Where options meet others, as in [`Channel::with_options`], they add up.
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
    /// No metadata and no timeout.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this timeout for each call, sent to the other side as its deadline.
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

    /// With this metadata sent along. Names that were set before have the new values alone.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        if self.metadata.is_empty() {
            self.metadata = metadata;
        } else {
            self.metadata.replace(&metadata);
        }
        self
    }

    /// These options and `later`: a timeout or deadline that `later` has wins over the one here, and so
    /// does each name in its metadata; everything else stays.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.timeout = later.timeout.or(self.timeout);
        self.deadline = later.deadline.or(self.deadline);
        self.metadata(later.metadata)
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

    /// The same channel with these options for its calls, added to the present ones as
    /// [`CallOptions::and`] says. Nothing takes options away; this channel stays as it is.
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Self {
        let present = self.options().cloned().unwrap_or_default();
        Self {
            connection: Arc::clone(&self.connection),
            options: Some(Arc::new(present.and(options))),
        }
    }

    /// The same channel with this timeout for each call; other options stay.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        self.with_options(CallOptions::new().timeout(timeout))
    }

    /// The same channel with this metadata sent along with each call; other options stay. Names
    /// that were set before have the new values alone.
    #[must_use]
    pub fn with_metadata(&self, metadata: Metadata) -> Self {
        self.with_options(CallOptions::new().metadata(metadata))
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
    pub fn unary<C, Req, Resp>(
        &self,
        _codec: C,
        head: CallHead,
        request: &Req,
    ) -> impl Future<Output = Result<Reply<Resp>, Status>> + Send + use<C, Req, Resp>
    where
        C: Codec<Req> + Codec<Resp>,
    {
        let request = <C as Codec<Req>>::encode(request);
        let mut reply = self.connection.unary(head, request);
        // It may be the last who wants the connection.
        let connection = Arc::clone(&self.connection);
        poll_fn(move |cx| {
            let _held = &connection;
            reply.as_mut().poll(cx).map(|reply| {
                let Reply {
                    message,
                    headers,
                    trailers,
                } = reply?;
                let message =
                    <C as Codec<Resp>>::decode(message).map_err(|error| error.status("answer"))?;
                Ok(Reply {
                    message,
                    headers,
                    trailers,
                })
            })
        })
    }

    /// Starts a streaming call; the requests are sent as flow control allows.
    pub fn streaming<C, Req, Resp>(
        &self,
        codec: C,
        head: CallHead,
        requests: Streaming<Req>,
    ) -> Streaming<Resp>
    where
        C: Codec<Req> + Codec<Resp>,
        Req: 'static,
    {
        self.streaming_around(codec, head, requests, |call| call)
    }

    /// As [`streaming`](Self::streaming), of a call that `around` puts something around.
    pub fn streaming_around<C, Req, Resp>(
        &self,
        codec: C,
        head: CallHead,
        requests: Streaming<Req>,
        around: impl FnOnce(Box<dyn Call>) -> Box<dyn Call>,
    ) -> Streaming<Resp>
    where
        C: Codec<Req> + Codec<Resp>,
        Req: 'static,
    {
        let requests = requests.into_messages(codec);
        let call = around(self.connection.open(head, requests));
        Streaming::of_connection(codec, call, Arc::clone(&self.connection))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.connection).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: &[(&'static str, &str)]) -> Metadata {
        let mut metadata = Metadata::new();
        for (name, value) in entries {
            metadata.insert(*name, value).expect("valid");
        }
        metadata
    }

    #[test]
    fn options_add_up() {
        let second = Duration::from_secs(1);
        let deadline = Instant::now();
        let first = CallOptions::new().timeout(second).metadata(metadata(&[
            ("a", "1"),
            ("b", "1"),
            ("a", "2"),
        ]));
        let both = first.and(
            CallOptions::new()
                .deadline(deadline)
                .metadata(metadata(&[("a", "3"), ("c", "3")])),
        );
        assert_eq!(
            (both.timeout, both.deadline),
            (Some(second), Some(deadline))
        );
        let expected = metadata(&[("b", "1"), ("a", "3"), ("c", "3")]);
        assert_eq!(both.metadata, expected);
        let shorter = both.and(CallOptions::new().timeout(second / 2));
        assert_eq!(shorter.timeout, Some(second / 2));
        assert_eq!(shorter.metadata, expected);
    }
}
