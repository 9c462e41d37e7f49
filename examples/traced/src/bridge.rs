//! Between the spans of outboard and OpenTelemetry: all that a program needs for that.

use opentelemetry::Context;
use opentelemetry::trace::{self as otel, SpanContext, TraceContextExt as _, TraceFlags};
use outboard::trace::{Propagator, Span, SpanId, TraceContext, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Tells calls which trace they belong to, and spans of handlers who their parent is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenTelemetry;

impl Propagator for OpenTelemetry {
    fn outgoing(&self, span: &Span, _around: Option<&TraceContext>) -> Option<TraceContext> {
        let context = span.context();
        let own = context.span().span_context().clone();
        let trace = TraceId::new(own.trace_id().to_bytes())?;
        let id = SpanId::new(own.span_id().to_bytes())?;
        let state = TraceState::parse([own.trace_state().header().as_str()]).unwrap_or_default();
        Some(TraceContext::new(trace, id, own.is_sampled()).with_state(state))
    }

    fn incoming(&self, span: &Span, caller: Option<&TraceContext>) -> Option<TraceContext> {
        let caller = caller?;
        let parent = SpanContext::new(
            otel::TraceId::from_bytes(caller.trace_id().to_bytes()),
            otel::SpanId::from_bytes(caller.span_id().to_bytes()),
            TraceFlags::default().with_sampled(caller.is_sampled()),
            true,
            caller.state().as_str().parse().unwrap_or_default(),
        );
        // It fails where the subscriber has no layer of OpenTelemetry's: then there are no spans either.
        let _no_layer = span.set_parent(Context::new().with_remote_span_context(parent));
        // The span is found by OpenTelemetry itself, as the current one.
        None
    }
}
