//! What surrounds a call, for handlers and callers that want more than the message.
//!
//! Methods of generated traits take and return plain messages, so that a local struct, a plugin
//! and a test double are interchangeable. A handler finds the rest here:
//!
//! ```no_run
//! # fn handler() -> Result<(), outboard::MetadataError> {
//! if let Some(call) = outboard::context::current() {
//!     let tenant = call.metadata().get("tenant");
//!     # let _ = tenant;
//!     call.insert_header("served-by", "replica-2")?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The current call belongs to the task that answers it: it is there while the handler's future
//! and the stream that it returned are polled, on whatever thread. It is not there in tasks that
//! the handler spawns (take it along with [`CurrentCall::scope`]), nor while the future or stream
//! is dropped. Code that a handler calls in the same task sees the handler's call, also through a
//! local implementation of another interface.
//!
//! **Deadlines cascade**: a generated client used in a handler passes the deadline of the current
//! call on, so that work down the line ends when nobody waits for it any more. A
//! [timeout](crate::CallOptions::timeout) of the client can shorten that;
//! an explicit [deadline](crate::CallOptions::deadline) replaces it; inside [`detach`] there is
//! nothing to inherit.
//!
//! **So do traces**: such a client passes on the [trace](crate::trace) that the current call belongs to, so
//! that the spans of a caller and those of whatever is called in turn are of one trace. Metadata of the client
//! that names a trace itself wins; inside [`detach`] there is nothing to pass on.
//!
//! A caller reads the metadata of an answer with [`capture`].

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{CallContext, CallHead, Metadata, MetadataError};
use outboard_core::trace::{self, TraceContext};

pub use outboard_core::rpc::Extensions;

/// The call that the code now running answers; `None` outside of handlers.
///
/// The first look at a unary call allocates; a handler that never looks does not pay for it.
#[must_use]
pub fn current() -> Option<CurrentCall> {
    look(|call| {
        let shared = call.take()?.share();
        *call = Some(Answering::Shared(shared.clone()));
        Some(shared)
    })
}

/// Runs `future` without a current call: its own calls inherit no deadline and no trace.
///
/// Cancel-safe if `future` is.
pub async fn detach<F: Future>(future: F) -> F::Output {
    enter_around(&mut None, future).await
}

/// Runs `future` and gives, beside its result, the metadata that came with the answer of the last
/// unary or client-streaming call in it that ended well.
///
/// Only calls made in the same task through generated clients count. What comes with a failed
/// call is in its [`Status`](crate::Status::metadata), and that of a response stream in
/// [`Streaming::headers`](crate::Streaming::headers) and
/// [`trailers`](crate::Streaming::trailers). When captures are nested, the innermost one gets
/// the metadata. Cancel-safe if `future` is.
pub async fn capture<F: Future>(future: F) -> (F::Output, ResponseMetadata) {
    let mut future = pin!(future);
    let mut slot = Some(Box::<ResponseMetadata>::default());
    let output = poll_fn(|cx| {
        let _entered = Captured::enter(&mut slot);
        future.as_mut().poll(cx)
    })
    .await;
    (
        output,
        slot.map_or_else(ResponseMetadata::default, |slot| *slot),
    )
}

/// The metadata that came with an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseMetadata {
    /// What was sent before the message.
    pub headers: Metadata,
    /// What was sent after it.
    pub trailers: Metadata,
}

/// A call being answered. Cheap to clone; clones are the same call.
#[derive(Clone)]
pub struct CurrentCall(Arc<Inner>);

struct Inner {
    context: CallContext,
    /// What the answer will carry.
    answer: Mutex<ResponseMetadata>,
}

impl CurrentCall {
    /// `/package.Service/Method`.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.0.context.path
    }

    /// The caller's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.context.metadata
    }

    /// When the caller stops waiting, on the clock of the server's runtime.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.context.deadline
    }

    /// The trace that the call belongs to, and the caller's span in it, as the caller's metadata
    /// (`traceparent`, `tracestate`) says. `None` if it says nothing that can be read.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        TraceContext::of(self.metadata())
    }

    /// What the driver added, such as the broker of the connection.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.0.context.extensions
    }

    /// Adds a text value to the metadata sent before the answer. Too late, and without effect,
    /// once the handler returned. A call that fails sends no headers; see
    /// [`insert_trailer`](Self::insert_trailer).
    ///
    /// # Errors
    /// [`MetadataError`] if the name or value is not allowed.
    pub fn insert_header(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: &str,
    ) -> Result<(), MetadataError> {
        let name = name.into();
        self.answer().headers.insert(name, value)
    }

    /// Adds a text value to the metadata sent after the answer, or with the status of a call that
    /// fails. A handler that returns a stream may still do so while the stream runs.
    ///
    /// # Errors
    /// [`MetadataError`] if the name or value is not allowed.
    pub fn insert_trailer(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: &str,
    ) -> Result<(), MetadataError> {
        let name = name.into();
        self.answer().trailers.insert(name, value)
    }

    /// Adds entries, text or binary, as [`insert_header`](Self::insert_header) does.
    pub fn extend_headers(&self, entries: &Metadata) {
        self.answer().headers.extend(entries);
    }

    /// Adds entries, text or binary, as [`insert_trailer`](Self::insert_trailer) does.
    pub fn extend_trailers(&self, entries: &Metadata) {
        self.answer().trailers.extend(entries);
    }

    /// Runs `future` with this call as the current one: for tasks that a handler spawns.
    ///
    /// Cancel-safe if `future` is.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        enter_around(&mut Some(Answering::Shared(self)), future).await
    }

    pub(crate) fn new(context: CallContext) -> Self {
        let answer = Mutex::new(Rank::Driver, ResponseMetadata::default());
        Self(Arc::new(Inner { context, answer }))
    }

    pub(crate) fn take_headers(&self) -> Metadata {
        mem::take(&mut self.answer().headers)
    }

    pub(crate) fn take_trailers(&self) -> Metadata {
        mem::take(&mut self.answer().trailers)
    }

    fn take_answer(&self) -> ResponseMetadata {
        mem::take(&mut self.answer())
    }

    fn answer(&self) -> MutexGuard<'_, ResponseMetadata> {
        self.0.answer.lock()
    }
}

impl fmt::Debug for CurrentCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentCall")
            .field("path", &self.path())
            .field("metadata", self.metadata())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

/// Has a call that is made now inherit the deadline of the current one.
pub(crate) fn inherit_deadline(head: &mut CallHead) {
    if head.deadline.is_none() {
        head.deadline = peek(|current| current.deadline);
    }
}

/// Has a call that is made now go on in the trace of the current one, where it does not name one.
pub(crate) fn pass_trace_on(head: &mut CallHead) {
    peek(|current| {
        trace::pass_on(&current.metadata, &mut head.metadata);
        Some(())
    });
}

/// Where in a trace the current call is: its handler's own place, or else its caller's.
pub(crate) fn trace_here() -> Option<TraceContext> {
    peek(|current| match &current.trace {
        Some(own) => Some(TraceContext::clone(own)),
        None => TraceContext::of(&current.metadata),
    })
}

/// Looks at the current call, without a place of its own for it.
fn peek<R>(with: impl FnOnce(&CallContext) -> Option<R>) -> Option<R> {
    look(|call| match call {
        Some(Answering::Alone(context)) => with(context),
        Some(Answering::Shared(call)) => with(&call.0.context),
        None => None,
    })
}

/// Whether the code now running answers a call. Costs less than looking at it.
#[cfg(all(unix, feature = "blocking"))]
pub(crate) fn is_answering() -> bool {
    let peek = |scope: &Scope| {
        let call = scope.call.take();
        let answers = call.is_some();
        scope.call.set(call);
        answers
    };
    SCOPE.try_with(peek).unwrap_or(false)
}

/// As [`capture`], for code that blocks: what `work` captures is on this thread.
#[cfg(all(unix, feature = "blocking"))]
pub(crate) fn capture_around<R>(work: impl FnOnce() -> R) -> (R, ResponseMetadata) {
    let mut slot = Some(Box::<ResponseMetadata>::default());
    let output = {
        let _entered = Captured::enter(&mut slot);
        work()
    };
    (
        output,
        slot.map_or_else(ResponseMetadata::default, |slot| *slot),
    )
}

/// Whether anybody wants the metadata of answers.
pub(crate) fn is_capturing() -> bool {
    let peek = |scope: &Scope| {
        let slot = scope.capture.take();
        let wanted = slot.is_some();
        scope.capture.set(slot);
        wanted
    };
    SCOPE.try_with(peek).unwrap_or(false)
}

/// Hands the metadata of an answer to whoever captures it.
pub(crate) fn record(headers: Metadata, trailers: Metadata) {
    let put = |scope: &Scope| {
        let mut slot = scope.capture.take();
        if let Some(slot) = &mut slot {
            **slot = ResponseMetadata { headers, trailers };
        }
        scope.capture.set(slot);
    };
    // A thread that is ending captures nothing.
    let _ = SCOPE.try_with(put);
}

/// A call being answered, on its way between the future that answers it and the thread.
pub(crate) enum Answering {
    /// Nobody has looked at it yet, so it needs no place of its own.
    Alone(CallContext),
    /// There may be handles to it.
    Shared(CurrentCall),
}

impl Answering {
    /// What was set to go along with the answer.
    pub(crate) fn into_answer(self) -> ResponseMetadata {
        match self {
            Self::Alone(_) => ResponseMetadata::default(),
            Self::Shared(call) => call.take_answer(),
        }
    }

    fn share(self) -> CurrentCall {
        match self {
            Self::Alone(context) => CurrentCall::new(context),
            Self::Shared(call) => call,
        }
    }
}

/// Runs `future` with the call in `slot` as the current one; the call is in `slot` again whenever
/// `future` is not being polled.
pub(crate) async fn enter_around<F: Future>(slot: &mut Option<Answering>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _entered = Entered::enter(slot);
        future.as_mut().poll(cx)
    })
    .await
}

/// Makes a call the current one until dropped, also by a panic, and puts what was current before
/// back in its place then.
///
/// The call moves between `slot` and the thread, which costs less than sharing it.
pub(crate) struct Entered<'a> {
    slot: &'a mut Option<Answering>,
    /// A handler that runs inside a capturing caller (both in one process) is not captured.
    capture: Option<Box<ResponseMetadata>>,
}

impl<'a> Entered<'a> {
    pub(crate) fn enter(slot: &'a mut Option<Answering>) -> Self {
        let capture = SCOPE.try_with(|scope| {
            swap(&scope.call, slot);
            scope.capture.take()
        });
        let capture = capture.ok().flatten();
        Self { slot, capture }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let _ = SCOPE.try_with(|scope| {
            swap(&scope.call, self.slot);
            scope.capture.set(self.capture.take());
        });
    }
}

/// As [`Entered`], for [`capture`].
struct Captured<'a>(&'a mut Option<Box<ResponseMetadata>>);

impl<'a> Captured<'a> {
    fn enter(slot: &'a mut Option<Box<ResponseMetadata>>) -> Self {
        let _ = SCOPE.try_with(|scope| swap(&scope.capture, slot));
        Self(slot)
    }
}

impl Drop for Captured<'_> {
    fn drop(&mut self) {
        let _ = SCOPE.try_with(|scope| swap(&scope.capture, self.0));
    }
}

struct Scope {
    call: Cell<Option<Answering>>,
    capture: Cell<Option<Box<ResponseMetadata>>>,
}

thread_local! {
    static SCOPE: Scope = const {
        Scope { call: Cell::new(None), capture: Cell::new(None) }
    };
}

fn swap<T>(cell: &Cell<Option<T>>, slot: &mut Option<T>) {
    *slot = cell.replace(slot.take());
}

fn look<R>(with: impl FnOnce(&mut Option<Answering>) -> Option<R>) -> Option<R> {
    let peek = |scope: &Scope| {
        let mut call = scope.call.take();
        let result = with(&mut call);
        scope.call.set(call);
        result
    };
    // A thread that is ending has no current call.
    SCOPE.try_with(peek).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn call(path: &'static str) -> CurrentCall {
        CurrentCall::new(CallContext::new(path))
    }

    fn path() -> Option<&'static str> {
        current().map(|call| call.path())
    }

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn scopes_nest_and_end() {
        let inner = async {
            assert_eq!(path(), Some("/outer"));
            let seen = call("/inner").scope(async { path() }).await;
            assert_eq!((seen, path()), (Some("/inner"), Some("/outer")));
            let seen = detach(async { path() }).await;
            assert_eq!((seen, path()), (None, Some("/outer")));
        };
        assert_eq!(path(), None);
        assert!(poll(call("/outer").scope(inner)).is_ready());
        assert_eq!(path(), None);
    }

    #[test]
    fn a_waiting_future_leaves_nothing_behind_and_finds_its_call_again() {
        let mut first = true;
        let twice = poll_fn(|_| {
            assert_eq!(path(), Some("/a"));
            if mem::take(&mut first) {
                return Poll::Pending;
            }
            Poll::Ready(())
        });
        let mut scoped = pin!(call("/a").scope(twice));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(scoped.as_mut().poll(&mut cx).is_pending());
        assert_eq!(path(), None);
        assert!(scoped.as_mut().poll(&mut cx).is_ready());
        assert_eq!(path(), None);
    }

    #[test]
    fn a_panic_restores_the_call_around_it() {
        let seen = poll(call("/outer").scope(async {
            let panicking = call("/inner").scope(async { panic!("on purpose") });
            let caught = catch_unwind(AssertUnwindSafe(|| poll::<_>(panicking)));
            assert!(caught.is_err());
            path()
        }));
        assert_eq!((seen, path()), (Poll::Ready(Some("/outer")), None));
    }

    #[test]
    fn the_innermost_capture_gets_the_metadata_and_handlers_are_not_captured() {
        let metadata = |value| {
            let mut metadata = Metadata::new();
            metadata.insert("k", value).expect("valid");
            metadata
        };
        let future = async {
            record(metadata("a"), Metadata::new());
            let (_, inner) = capture(async { record(metadata("b"), Metadata::new()) }).await;
            assert_eq!(inner.headers.get("k"), Some("b"));
            let handler = async {
                assert!(!is_capturing());
                record(metadata("c"), Metadata::new());
            };
            call("/h").scope(handler).await;
            assert!(is_capturing());
        };
        let Poll::Ready((_, outer)) = poll(capture(future)) else {
            panic!("nothing in it waits");
        };
        assert_eq!(outer.headers.get("k"), Some("a"));
        assert!(!is_capturing());
    }
}
