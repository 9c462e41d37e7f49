//! Traces without a tracing system.

use outboard_core::trace::{SpanId, TraceContext, TraceId};
use tracing::Span;
use tracing::field::display;

use super::Propagator;
use crate::sys::random;

/// A propagator for any subscriber of `tracing`, also one that knows nothing of traces: it makes the ids itself, of
/// random numbers, and has them as fields of the spans: `trace_id`, `span_id` and `parent_id`. Whoever collects what
/// host and plugin record, or the records of a plugin's log, puts the trace together by these.
///
/// A call outside of handlers begins a trace. The program's own spans have no ids: they are told apart by what is in them.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "nothing can be set")]
pub struct Ids;

impl Propagator for Ids {
    fn outgoing(&self, span: &Span, around: Option<&TraceContext>) -> Option<TraceContext> {
        Some(within(span, around))
    }

    fn incoming(&self, span: &Span, caller: Option<&TraceContext>) -> Option<TraceContext> {
        Some(within(span, caller))
    }
}

/// A further span of the trace, or the first one of another.
fn within(span: &Span, parent: Option<&TraceContext>) -> TraceContext {
    let own = match parent {
        Some(parent) => {
            span.record("parent_id", display(parent.span_id()));
            parent.child(span_id())
        }
        None => TraceContext::new(trace_id(), span_id(), true).random(true),
    };
    span.record("trace_id", display(own.trace_id()));
    span.record("span_id", display(own.span_id()));
    own
}

fn trace_id() -> TraceId {
    loop {
        let number = u128::from(random::number()) << 64 | u128::from(random::number());
        if let Some(id) = TraceId::new(number.to_be_bytes()) {
            return id;
        }
    }
}

fn span_id() -> SpanId {
    loop {
        if let Some(id) = SpanId::new(random::number().to_be_bytes()) {
            return id;
        }
    }
}
