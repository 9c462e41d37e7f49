//! The life of a call on the side that makes it, the same for each transport.
//!
//! A transport begins a call and offers a [`CallingStream`] of what is answered; it keeps its wire, and
//! how that says what. Here is what must not differ: from when a deadline counts and what it ends, the
//! rule of one response, that an error is told once, and when headers and trailers are there.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::guard::{Deadline, deadline_exceeded};
use super::{Call, Metadata, Reply, Single, Status};
use crate::rt::SharedRuntime;

/// What comes next of the answer to a call.
#[derive(Debug)]
pub enum Answer {
    /// A message.
    Message(Bytes),
    /// The end: well, with the trailers, or with an error. If this side's requests failed, that is the
    /// error, whatever the peer said to it.
    End(Result<Metadata, Status>),
}

/// The calling end of a call, as a transport offers it. Dropping it before its end cancels the call on
/// the wire.
pub trait CallingStream: Send + Unpin {
    /// The runtime whose clock deadlines count by.
    fn runtime(&self) -> &SharedRuntime;

    /// Ready when headers have come or the call has ended.
    ///
    /// # Errors
    /// How it ended, if that was not well; [`poll_next`](Self::poll_next) says it, too.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>>;

    /// The headers that have come, once.
    fn take_headers(&mut self) -> Metadata;

    /// What comes next. Nobody asks again after the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answer>;

    /// The whole of an answer with one message, which `single` takes. For transports that have a
    /// shorter way to it.
    fn poll_reply(
        &mut self,
        single: &mut Single,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Reply<Bytes>, Status>> {
        loop {
            match ready!(self.poll_next(cx)) {
                Answer::Message(message) => {
                    if let Err(second) = single.push(message) {
                        return Poll::Ready(Err(second));
                    }
                }
                Answer::End(ended) => {
                    return Poll::Ready(ended.and_then(|trailers| {
                        Ok(Reply {
                            message: single.finish()?,
                            headers: self.take_headers(),
                            trailers,
                        })
                    }));
                }
            }
        }
    }
}

/// What makes a unary call when it is first polled.
pub trait Begin: Send + Unpin {
    /// What it becomes.
    type Stream: CallingStream;

    /// The runtime whose clock deadlines count by.
    fn runtime(&self) -> &SharedRuntime;

    /// Ready when the call is under way, with this much time left to it if that is limited. Nothing
    /// is asked again then.
    ///
    /// # Errors
    /// What the call fails with if it cannot be made.
    fn poll_begin(
        &mut self,
        left: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Stream, Status>>;
}

/// A unary call. Nothing is sent before its first poll, but its time counts from when it was made.
/// Dropping it cancels the call.
///
/// ```text
///         begun             answered
/// Begin --------> Waiting ------------> Over
///    |                |                  ^
///    +----------------+-- deadline ------+
/// ```
pub struct Unary<B: Begin> {
    deadline: Deadline,
    stage: Stage<B>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "every call goes through both, in one box"
)]
enum Stage<B: Begin> {
    Begin(B),
    Waiting(B::Stream, Single),
    Over,
}

/// Why a unary call gives no reply.
#[derive(Debug)]
pub struct Failed<S> {
    /// What it fails with.
    pub status: Status,
    /// The call, if it is its answer that says so, and not this side's deadline.
    pub stream: Option<S>,
}

impl<B: Begin> Unary<B> {
    /// A call that is done by this deadline.
    #[must_use]
    pub const fn new(begin: B, deadline: Deadline) -> Self {
        Self {
            deadline,
            stage: Stage::Begin(begin),
        }
    }

    /// As [`poll`](Future::poll), and gives the stream of a call that failed.
    pub fn poll_or_fail(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Reply<Bytes>, Failed<B::Stream>>> {
        if let Stage::Begin(begin) = &mut self.stage {
            let begun = match self.deadline.left(begin.runtime().as_ref()) {
                Ok(left) => begin.poll_begin(left, cx),
                Err(late) => Poll::Ready(Err(late)),
            };
            match begun {
                Poll::Ready(Ok(stream)) => self.stage = Stage::Waiting(stream, Single::response()),
                Poll::Ready(Err(status)) => return Poll::Ready(Err(self.fail(status))),
                Poll::Pending => {
                    let runtime = begin.runtime();
                    ready!(self.deadline.poll_over(runtime.as_ref(), cx));
                    return Poll::Ready(Err(self.fail(deadline_exceeded())));
                }
            }
        }
        let Stage::Waiting(stream, single) = &mut self.stage else {
            // Polled after its end, which the contract of futures leaves open.
            return Poll::Pending;
        };
        let replied = stream.poll_reply(single, cx);
        let runtime = stream.runtime().as_ref();
        let replied = match replied {
            Poll::Ready(replied) => {
                replied.map_err(|status| self.deadline.explain(runtime, status))
            }
            Poll::Pending => {
                ready!(self.deadline.poll_over(runtime, cx));
                return Poll::Ready(Err(self.fail(deadline_exceeded())));
            }
        };
        Poll::Ready(match replied {
            Ok(reply) => {
                // Dropped where it is.
                self.stage = Stage::Over;
                Ok(reply)
            }
            Err(status) => Err(Failed {
                status,
                stream: match std::mem::replace(&mut self.stage, Stage::Over) {
                    Stage::Waiting(stream, _) => Some(stream),
                    Stage::Begin(_) | Stage::Over => None,
                },
            }),
        })
    }

    fn fail(&mut self, status: Status) -> Failed<B::Stream> {
        self.stage = Stage::Over;
        Failed {
            status,
            stream: None,
        }
    }
}

impl<B: Begin> Future for Unary<B> {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_or_fail(cx).map_err(|failed| failed.status)
    }
}

impl<B: Begin> fmt::Debug for Unary<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unary")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// A streaming call, as its caller sees it.
///
/// ```text
///        End(Ok), trailers kept
/// Live --------------------------> Over
///   |                               ^
///   |  End(Err), deadline           | told
///   +-----------------> Failed -----+
/// ```
pub struct StreamingCall<S> {
    deadline: Deadline,
    phase: Phase<S>,
    headers: Option<Metadata>,
    trailers: Option<Metadata>,
}

enum Phase<S> {
    Live(S),
    /// To be told.
    Failed(Status),
    Over,
}

impl<S: CallingStream> StreamingCall<S> {
    /// A call that was begun.
    #[must_use]
    pub const fn new(stream: S, deadline: Deadline) -> Self {
        Self::in_phase(Phase::Live(stream), deadline)
    }

    /// A call that could not be begun.
    #[must_use]
    pub const fn failed(status: Status) -> Self {
        Self::in_phase(Phase::Failed(status), Deadline::new(None))
    }

    const fn in_phase(phase: Phase<S>, deadline: Deadline) -> Self {
        Self {
            deadline,
            phase,
            headers: None,
            trailers: None,
        }
    }

    /// Ready if the deadline has passed, which ends the call.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Live(stream) = &self.phase else {
            return Poll::Pending;
        };
        ready!(self.deadline.poll_over(stream.runtime().as_ref(), cx));
        self.phase = Phase::Failed(deadline_exceeded());
        Poll::Ready(())
    }
}

impl<S: CallingStream> Call for StreamingCall<S> {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        if self.headers.is_none()
            && let Phase::Live(stream) = &mut self.phase
        {
            match stream.poll_head(cx) {
                Poll::Ready(Ok(())) => self.headers = Some(stream.take_headers()),
                Poll::Ready(Err(status)) => {
                    let status = self.deadline.explain(stream.runtime().as_ref(), status);
                    self.phase = Phase::Failed(status);
                }
                Poll::Pending => ready!(self.poll_deadline(cx)),
            }
        }
        match (&self.phase, &self.headers) {
            (Phase::Failed(status), None) => Poll::Ready(Err(status.clone())),
            (Phase::Live(_) | Phase::Failed(_) | Phase::Over, _) => {
                Poll::Ready(Ok(self.headers.get_or_insert_default()))
            }
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if let Phase::Live(stream) = &mut self.phase {
            match stream.poll_next(cx) {
                Poll::Ready(Answer::Message(message)) => return Poll::Ready(Some(Ok(message))),
                Poll::Ready(Answer::End(Ok(trailers))) => {
                    self.headers.get_or_insert_with(|| stream.take_headers());
                    self.trailers = Some(trailers);
                    self.phase = Phase::Over;
                }
                Poll::Ready(Answer::End(Err(status))) => {
                    let status = self.deadline.explain(stream.runtime().as_ref(), status);
                    self.phase = Phase::Failed(status);
                }
                Poll::Pending => ready!(self.poll_deadline(cx)),
            }
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Failed(status) => Poll::Ready(Some(Err(status))),
            Phase::Live(_) | Phase::Over => Poll::Ready(None),
        }
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.trailers.as_ref()
    }
}

impl<S> fmt::Debug for StreamingCall<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Live(_) => "live",
            Phase::Failed(_) => "failed",
            Phase::Over => "over",
        };
        f.debug_struct("StreamingCall")
            .field("phase", &phase)
            .finish_non_exhaustive()
    }
}
