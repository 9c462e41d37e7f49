//! One call, as the calling side sees it.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;

use super::{Metadata, OutMessage, Single, Status};

/// What a call begins with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallHead {
    /// `/package.Service/Method`.
    pub path: Cow<'static, str>,
    /// The caller's metadata.
    pub metadata: Metadata,
    /// How long the call may take from its start, if limited.
    pub timeout: Option<Duration>,
    /// When the call must be done, if limited: a deadline inherited from the call that this one
    /// is made for. With a timeout too, the earlier of both counts.
    pub deadline: Option<Instant>,
    /// Whether the call may have the last of the calls that the peer takes at once, where this side
    /// counts them: that one is kept for what must not wait for calls without an end, as the request
    /// to end does not.
    pub urgent: bool,
    /// Whether the call may be made again when it is not known whether the other side has seen it, since
    /// twice is as good as once: its method is marked so in the `.proto`, by
    /// `option idempotency_level = NO_SIDE_EFFECTS` or `IDEMPOTENT`. Only connections of supervised
    /// plugins do that.
    pub idempotent: bool,
}

impl CallHead {
    /// A call of `path` without metadata or deadline.
    pub fn new(path: impl Into<Cow<'static, str>>) -> Self {
        Self {
            path: path.into(),
            metadata: Metadata::new(),
            timeout: None,
            deadline: None,
            urgent: false,
            idempotent: false,
        }
    }

    /// When the call must be done if it starts `now`.
    #[must_use]
    pub fn deadline_from(&self, now: Instant) -> Option<Instant> {
        // A timeout past the end of time is no limit.
        let own = self.timeout.and_then(|timeout| now.checked_add(timeout));
        match (own, self.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// Messages on their way to the peer. An `Err` ends the call with that status: on the client by
/// cancelling it, on the server by sending it.
pub type MessageStream = Pin<Box<dyn Stream<Item = Result<OutMessage, Status>> + Send>>;

/// The answer of a call with exactly one response message.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reply<M> {
    /// The message.
    pub message: M,
    /// The metadata sent before the message.
    pub headers: Metadata,
    /// The metadata sent after it.
    pub trailers: Metadata,
}

impl<M> Reply<M> {
    /// A reply without metadata.
    pub fn new(message: M) -> Self {
        Self {
            message,
            headers: Metadata::new(),
            trailers: Metadata::new(),
        }
    }

    /// The same reply with what `change` makes of its message, for connections around others.
    pub fn map<N>(self, change: impl FnOnce(M) -> N) -> Reply<N> {
        Reply {
            message: change(self.message),
            headers: self.headers,
            trailers: self.trailers,
        }
    }
}

/// A streaming call in progress, seen by its caller.
///
/// Dropping it before its end cancels the call on the wire. All polls are cancel-safe. The task
/// that polled last is woken.
pub trait Call: Send {
    /// Ready when the response headers have come. A peer may send them only with the first
    /// message (grpc-go does), so nobody should wait for them without need.
    ///
    /// # Errors
    /// The call's status, if it ended without headers.
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>>;

    /// The next response message; `None` after the call ended well; the status, once, if it did
    /// not, then `None`.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>>;

    /// The trailing metadata, once the call ended well.
    fn trailers(&self) -> Option<&Metadata>;
}

/// The request of a call that takes exactly one and answers with a stream: the message, once it is
/// certain that nothing follows. As in grpc-go, a handler does not begin before that.
///
/// # Errors
/// The status of a call that is cut off, and `INTERNAL` if there is no message or a second one.
pub fn single_request(
    mut call: Box<dyn Call>,
) -> impl Future<Output = Result<Bytes, Status>> + Send + 'static {
    let mut request = Single::request();
    poll_fn(move |cx| {
        loop {
            return Poll::Ready(match ready!(call.poll_message(cx)) {
                Some(Ok(message)) => match request.push(message) {
                    Ok(()) => continue,
                    Err(second) => Err(second),
                },
                Some(Err(status)) => Err(status),
                None => request.finish(),
            });
        }
    })
}

/// A call that has ended with this status, for connections that do not take it.
#[must_use]
pub fn ended_call(status: Status) -> Box<dyn Call> {
    Box::new(Ended {
        status: status.clone(),
        untold: Some(status),
    })
}

struct Ended {
    status: Status,
    /// Until a message was asked for.
    untold: Option<Status>,
}

impl Call for Ended {
    fn poll_headers(&mut self, _: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        Poll::Ready(Err(self.status.clone()))
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        Poll::Ready(self.untold.take().map(Err))
    }

    fn trailers(&self) -> Option<&Metadata> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::rpc::{Side, single};

    /// What comes of the requests, and then nothing.
    struct Requests(VecDeque<Result<Bytes, Status>>);

    impl Call for Requests {
        fn poll_headers(&mut self, _: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
            Poll::Pending
        }

        fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
            Poll::Ready(self.0.pop_front())
        }

        fn trailers(&self) -> Option<&Metadata> {
            None
        }
    }

    #[test]
    fn a_single_request_has_nothing_before_or_after_it() {
        let one = || Ok(Bytes::from_static(b"one"));
        let cut = || Err(Status::internal("cut off"));
        let cases = [
            (vec![one()], one()),
            (vec![], Err(single::none(Side::Caller))),
            (vec![one(), one()], Err(single::second(Side::Caller))),
            (vec![cut()], cut()),
            (vec![one(), cut()], cut()),
        ];
        for (requests, expected) in cases {
            let mut request = Box::pin(single_request(Box::new(Requests(requests.into()))));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert_eq!(request.as_mut().poll(&mut cx), Poll::Ready(expected));
        }
    }

    #[test]
    fn the_earlier_of_timeout_and_deadline_counts() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut head = CallHead::new("/a.B/C");
        assert_eq!(head.deadline_from(now), None);
        head.timeout = Some(second);
        assert_eq!(head.deadline_from(now), Some(now + second));
        head.deadline = Some(now + second / 2);
        assert_eq!(head.deadline_from(now), Some(now + second / 2));
        head.timeout = Some(Duration::MAX);
        assert_eq!(head.deadline_from(now), Some(now + second / 2));
        head.deadline = None;
        assert_eq!(head.deadline_from(now), None);
    }
}
