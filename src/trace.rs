//! One trace through host and plugin.
//!
//! A call says in its metadata which trace it belongs to and which span makes it: `traceparent` and
//! `tracestate`, as [W3C Trace Context] has them and all of gRPC's world reads them, Go's plugins and hosts
//! among it. This crate reads and writes them, whatever tracing system is behind.
//!
//! **Without anything set up** a trace is not broken: what a handler calls in turn, through generated clients, goes on
//! from what its caller sent, in both directions and through the [broker](crate::Broker). A handler finds that in
//! [`CurrentCall::trace`](crate::context::CurrentCall::trace). Nothing is recorded, and a call that belongs to no
//! trace costs nothing.
#![cfg_attr(
    feature = "trace",
    doc = "
**With a [`Propagator`]**, which [`set_propagator`] takes once in each process, each call is a span of `tracing`, and
so is each handler; the first names itself to the second as its parent. [`Ids`] needs nothing but a subscriber: both
have the trace's id among their fields. One for OpenTelemetry is some twenty lines, in the repository's
`examples/traced/src/bridge.rs`.

```no_run
use outboard::trace::{self, Ids};

# fn main() -> Result<(), trace::AlreadySet> {
trace::set_propagator(Ids)?;
# Ok(())
# }
```

# Spans

Their fields and names are OpenTelemetry's for RPC, and what its layer for `tracing` takes as directives begins with
`otel.`; [`log::Layer`](crate::log::Layer) leaves those out.

| Field | Of the call | Of the handler |
| --- | --- | --- |
| `otel.name`, `rpc.method` | `package.Service/Method` | the same |
| `otel.kind` | `client` | `server` |
| `rpc.system.name` | `grpc`, over stdio too: what is called and how it ends is gRPC's | the same |
| `rpc.response.status_code` | the status, as `NOT_FOUND`; `CANCELLED` if the call is given up | the same |
| `error.type`, `otel.status_code` | any status but `OK` | those that are the server's fault, as `INTERNAL` |
| `trace_id`, `span_id`, `parent_id` | by [`Ids`] | by [`Ids`] |

Both are at INFO, of the target [`TARGET`], and end with the call: a stream's with the stream. A handler's span is entered
whenever its future or stream is polled, a call's is not. It ends with the handler: connections that the handler dials
are not in it ([`rt::SpanLeft`](crate::rt::SpanLeft)). Health, reflection, output and the broker's control have none.

# What wins

Metadata that a caller [sets itself](crate::Channel::with_metadata) goes as it is. Else it is what the propagator
says, and else what the handler's own caller sent. What a handler [spawns](crate::context::CurrentCall::scope) has to
take its call along to be of its trace, and work that is [detached](crate::context::detach) is of none.
"
)]
//!
//! **Over Go's net/rpc** nothing of this travels: a call there has no metadata. Interfaces over it that want to be traced
//! carry the text of a `traceparent` among their arguments; [`TraceContext::parse`] reads it.
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context-2/

#[cfg(feature = "trace")]
mod ids;
#[cfg(feature = "trace")]
mod propagator;
#[cfg(feature = "trace")]
pub(crate) mod spans;
#[cfg(not(feature = "trace"))]
#[path = "trace/without_spans.rs"]
pub(crate) mod spans;

pub use outboard_core::trace::{
    MAX_STATE_MEMBERS, SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, TraceParentError,
    TraceState, TraceStateError,
};
#[cfg(feature = "trace")]
pub use tracing::Span;

#[cfg(feature = "trace")]
pub use self::ids::Ids;
#[cfg(feature = "trace")]
pub use self::propagator::{AlreadySet, Propagator, TARGET, set_propagator};

use crate::context;

/// Where in a trace the handler that now runs is: its own span where the propagator has told one, else the span of its
/// caller. `None` outside of handlers, and in those of calls that belong to no trace.
#[must_use]
pub fn here() -> Option<TraceContext> {
    context::trace_here()
}
