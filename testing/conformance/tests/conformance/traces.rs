//! Which trace calls belong to, on both sides and through the broker.

use outboard::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use outboard::{Metadata, Status};
use outboard_conformance::proto::{
    LogRequest, Nothing, Payload, Probe as _, Process as _, RelayRequest, relay_request::Op,
};

use crate::broker::{lend, relay};
use crate::harness::{Harness, Rig};
use crate::logs::Records;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

fn metadata(entries: &[(&'static str, &str)]) -> Metadata {
    let mut metadata = Metadata::new();
    for (name, value) in entries {
        metadata.insert(*name, value).expect("valid");
    }
    metadata
}

fn traced() -> Metadata {
    metadata(&[(TRACEPARENT, PARENT), (TRACESTATE, STATE)])
}

/// Has who serves this id told what it is called with.
fn told_at(id: u32) -> RelayRequest {
    RelayRequest {
        op: Op::Trace.into(),
        ..relay(id, "")
    }
}

fn text(answer: Result<Payload, Status>) -> String {
    String::from_utf8(answer.expect("it is told").data).expect("it is a text")
}

/// What the host is called with when the plugin's handler calls it, which was called with this.
async fn told(rig: &Rig, sent: Metadata, request: RelayRequest) -> String {
    text(rig.probe.with_metadata(sent).relay(request).await)
}

pub async fn a_trace_goes_on_through_handlers_and_the_broker(h: Harness) {
    let rig = h.start().await;
    let lent = lend(&rig);
    let expected = format!("{PARENT} {STATE}");
    assert_eq!(told(&rig, traced(), told_at(lent.id())).await, expected);
    // Down to the plugin again and back. An id serves one dial.
    let (outer, lent) = (lend(&rig), lend(&rig));
    let served = rig.probe.serve(Nothing {}).await.expect("served").id;
    let nested = |id, inner| RelayRequest {
        op: Op::Relay.into(),
        inner: Some(Box::new(inner)),
        ..relay(id, "")
    };
    let request = nested(outer.id(), nested(served, told_at(lent.id())));
    assert_eq!(told(&rig, traced(), request).await, expected);
    // What this side does not understand it passes on all the same.
    let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-and-more";
    let sent = metadata(&[(TRACEPARENT, later)]);
    let lent = lend(&rig);
    assert_eq!(told(&rig, sent, told_at(lent.id())).await, later);
    rig.shutdown().await;
}

pub async fn a_call_of_no_trace_says_nothing_of_one(h: Harness) {
    let rig = h.start().await;
    let lent = lend(&rig);
    assert_eq!(told(&rig, Metadata::new(), told_at(lent.id())).await, "");
    rig.shutdown().await;
}

pub async fn what_a_handler_says_of_its_calls_itself_wins(h: Harness) {
    let rig = h.start().await;
    let lent = lend(&rig);
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let request = RelayRequest {
        data: own.into(),
        ..told_at(lent.id())
    };
    assert_eq!(told(&rig, traced(), request).await, own);
    rig.shutdown().await;
}

pub async fn a_plugin_with_spans_puts_its_own_between(h: Harness) {
    let records = Records::default();
    let rig = h.start_host(records.of(h.host(["--traced"]))).await;
    let lent = lend(&rig);
    let sent = TraceContext::of(&traced()).expect("valid");
    let told = told(&rig, traced(), told_at(lent.id())).await;
    let (parent, state) = told.split_once(' ').expect("both are passed on");
    assert_eq!(state, STATE);
    let seen = TraceContext::parse(parent.as_bytes()).expect("valid");
    assert_eq!(seen.trace_id(), sent.trace_id());
    assert_ne!(seen.span_id(), sent.span_id());
    assert!(seen.is_sampled());
    // What is logged in a handler tells where it belongs.
    let process = rig.process.with_metadata(traced());
    let request = LogRequest {
        level: "info".to_owned(),
        message: "in a span".to_owned(),
    };
    process.log(request).await.expect("it logs");
    let record = h.promptly(records.with("in a span")).await;
    let field = |name: &str| record.fields.get(name).cloned().unwrap_or_default();
    assert_eq!(field("trace_id"), sent.trace_id().to_string());
    assert_eq!(field("parent_id"), sent.span_id().to_string());
    assert_eq!(field("span_id").as_str().map(str::len), Some(16));
    assert_eq!(field("rpc.method"), "outboard.suite.Process/Log");
    assert_eq!(field("rpc.system.name"), "grpc");
    assert!(!record.fields.contains_key("otel.name"), "{record:?}");
    // One of no trace begins one.
    let lent = lend(&rig);
    let alone = text(rig.probe.relay(told_at(lent.id())).await);
    let alone = TraceContext::parse(alone.as_bytes()).expect("valid");
    assert_ne!(alone.trace_id(), sent.trace_id());
    rig.shutdown().await;
}
