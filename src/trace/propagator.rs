//! What tells the traces of calls, one for a process.

use std::sync::OnceLock;

use outboard_core::lock::assert_unlocked;
use outboard_core::trace::TraceContext;
use tracing::Span;

/// The target of the spans of calls and handlers.
pub const TARGET: &str = "outboard::trace";

static PROPAGATOR: OnceLock<Box<dyn Propagator>> = OnceLock::new();

/// What knows which trace a span of `tracing` belongs to: the bridge to a tracing system.
///
/// It is asked for each call and each handler, on the thread that makes or begins it, so it should not take long. If
/// it panics, that call fails, or the code that makes it panics.
pub trait Propagator: Send + Sync + 'static {
    /// What a call says that is made now: its own span, `span`, where the subscriber has that, or else the one that is
    /// current. `around` is where in a trace the handler is that makes the call, if it is made in one
    /// ([`here`](super::here)). With `None` the call says what the handler's own caller sent, or nothing.
    fn outgoing(&self, span: &Span, around: Option<&TraceContext>) -> Option<TraceContext>;

    /// A handler is about to begin. `span` is its own and was not entered yet; `caller` is the trace and the span of its
    /// caller, which is to become the parent. What is given back is where the handler itself is in the trace, for
    /// systems that do not find that by its span.
    fn incoming(&self, span: &Span, caller: Option<&TraceContext>) -> Option<TraceContext>;
}

/// The process has its propagator already.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process has a propagator of traces already: it is set once, by the program and not by its libraries"
)]
#[non_exhaustive]
pub struct AlreadySet;

outboard_core::debug_as_text!(AlreadySet);

/// Sets what tells the traces of all calls of this process: by the program, before it starts or serves a plugin. It is
/// one for the process, as the subscriber is whose spans it knows.
///
/// # Errors
/// [`AlreadySet`]
pub fn set_propagator(propagator: impl Propagator) -> Result<(), AlreadySet> {
    assert_unlocked("the propagator of traces");
    PROPAGATOR.set(Box::new(propagator)).map_err(|_| AlreadySet)
}

/// The one that is set.
#[inline]
pub(super) fn get() -> Option<&'static dyn Propagator> {
    PROPAGATOR.get().map(Box::as_ref)
}
