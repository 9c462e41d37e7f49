//! An exporter that prints a line for each span. A program of yours has OTLP's in its place.

use std::future::{Future, ready};

use opentelemetry::trace::Status;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// Prints the spans of this side.
#[derive(Debug)]
pub(crate) struct Lines(pub(crate) &'static str);

impl SpanExporter for Lines {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        for span in batch {
            let kind = format!("{:?}", span.span_kind).to_lowercase();
            let status = match span.status {
                Status::Error { .. } => "error",
                Status::Ok | Status::Unset => "well",
            };
            println!(
                "span of the {}: {} ({kind}, {status}) trace {} id {} parent {}",
                self.0,
                span.name,
                span.span_context.trace_id(),
                span.span_context.span_id(),
                span.parent_span_id,
            );
        }
        ready(Ok(()))
    }
}
