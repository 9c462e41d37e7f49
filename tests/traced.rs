//! Spans of calls and handlers, with a subscriber that knows nothing of traces. In a program of its own, since a
//! process has one propagator.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use outboard::codegen::{
    self, Bytes, Call, CallContext, Channel, MethodDescriptor, MethodKind, Prost,
    ServiceDescriptor, StreamAnswer, UnaryAnswer, no_such_method, serve_server_streaming,
};
use outboard::trace::{self, Ids, TARGET, TRACEPARENT};
use outboard::{Host, Metadata, Plugin, RunningPlugin, Service, Status, Streaming, Tokio, memory};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};

#[allow(dead_code, unreachable_pub)]
mod greeter {
    include!("../src/front/greeter.rs");
    include!("../src/front/shared.rs");
}

use greeter::{GreetReply, GreetRequest, Greeter, GreeterClient, GreeterServer, HANDSHAKE};

/// What was recorded of a span.
#[derive(Clone, Debug, Default)]
struct Span {
    fields: BTreeMap<&'static str, String>,
    events: Vec<String>,
    closed: bool,
}

impl Span {
    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn id(&self) -> &str {
        self.get("span_id").expect("it has an id")
    }
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Span>>);

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Recorder {
    fn change<R>(&self, change: impl FnOnce(&mut Vec<Span>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, id: u64, change: impl FnOnce(&mut Span)) {
        self.change(|all| change(&mut all[place(id)]));
    }
}

fn place(id: u64) -> usize {
    usize::try_from(id).expect("there are few") - 1
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

struct Global(Arc<Recorder>);

impl Subscriber for Global {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == TARGET || metadata.target() == "traced"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut span = Span::default();
        attributes.record(&mut Fields(&mut span.fields));
        let id = self.0.change(|all| {
            all.push(span);
            all.len()
        });
        Id::from_u64(id as u64)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        self.0.of(id.into_u64(), |span| {
            values.record(&mut Fields(&mut span.fields))
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let message = fields.remove("message").unwrap_or_default();
        let here = ENTERED.with_borrow(|entered| entered.last().copied());
        if let Some(here) = here {
            self.0.of(here, |span| span.events.push(message));
        }
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        let left = ENTERED.with_borrow_mut(Vec::pop);
        assert_eq!(left, Some(id.into_u64()), "spans nest");
    }

    fn try_close(&self, id: Id) -> bool {
        self.0.of(id.into_u64(), |span| span.closed = true);
        true
    }
}

/// The recorder of all spans of this process.
fn recorder() -> &'static Arc<Recorder> {
    static RECORDER: OnceLock<Arc<Recorder>> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = Arc::new(Recorder::default());
        tracing::subscriber::set_global_default(Global(Arc::clone(&recorder))).expect("the first");
        trace::set_propagator(Ids).expect("the first");
        assert!(trace::set_propagator(Ids).is_err());
        recorder
    })
}

/// The spans of a trace, in the order in which they were made.
fn spans_of(trace: &str) -> Vec<Span> {
    recorder().change(|all| {
        let of = |span: &&Span| span.is("trace_id", trace);
        all.iter().filter(of).cloned().collect()
    })
}

/// Waits until all spans of a trace are closed.
async fn closed(trace: &str) -> Vec<Span> {
    for _ in 0..1000 {
        let spans = spans_of(trace);
        if !spans.is_empty() && spans.iter().all(|span| span.closed) {
            return spans;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("they do not end: {:?}", spans_of(trace));
}

/// Answers with the trace it is in; forwards where there is another.
struct Answering {
    next: Option<GreeterClient>,
    begun: tokio::sync::mpsc::UnboundedSender<String>,
}

impl Greeter for Answering {
    async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        tracing::info!(target: "traced", "greeting {}", request.name);
        let here = trace::here().expect("it has a span").trace_id().to_string();
        let _unread = self.begun.send(here.clone());
        if let Some(next) = &self.next {
            return next.greet(request).await;
        }
        match request.name.as_str() {
            "nobody" => Err(Status::not_found("nobody of that name")),
            "everybody" => Err(Status::internal("too many")),
            "godot" => {
                tokio::task::yield_now().await;
                std::future::pending().await
            }
            _ => Ok(GreetReply { text: here }),
        }
    }
}

struct Rig {
    plugin: RunningPlugin,
    greeter: GreeterClient,
    begun: tokio::sync::mpsc::UnboundedReceiver<String>,
}

async fn start(next: Option<GreeterClient>) -> Rig {
    recorder();
    let (begun, told) = tokio::sync::mpsc::unbounded_channel();
    let service = GreeterServer::new(Answering { next, begun });
    let plugin = Plugin::new(HANDSHAKE).provide("greeter", service);
    let plugin = memory::start(&Host::new(HANDSHAKE), plugin, Tokio::current()).await;
    let plugin = plugin.expect("it starts");
    Rig {
        greeter: plugin.dispense("greeter").await.expect("it is there"),
        plugin,
        begun: told,
    }
}

fn named(name: &str) -> GreetRequest {
    GreetRequest { name: name.into() }
}

#[tokio::test]
async fn calls_and_handlers_form_one_trace() {
    let inner = start(None).await;
    let outer = start(Some(inner.greeter.clone())).await;
    let trace = outer.greeter.greet(named("world")).await.expect("ok").text;
    let spans = closed(&trace).await;
    let kinds: Vec<_> = spans
        .iter()
        .filter_map(|span| span.get("otel.kind"))
        .collect();
    assert_eq!(kinds, ["client", "server", "client", "server"]);
    let mut parent = None;
    for span in &spans {
        assert_eq!(span.get("parent_id"), parent);
        parent = Some(span.id());
        assert!(
            span.is("rpc.method", "greeter.Greeter/Greet")
                && span.is("otel.name", "greeter.Greeter/Greet")
        );
        assert!(span.is("rpc.system.name", "grpc") && span.is("rpc.response.status_code", "OK"));
        assert_eq!(
            (span.get("error.type"), span.get("otel.status_code")),
            (None, None)
        );
    }
    let events: Vec<_> = spans.iter().map(|span| span.events.len()).collect();
    assert_eq!(events, [0, 1, 0, 1], "handlers run in their spans");
    // Two calls are two traces.
    let other = outer.greeter.greet(named("world")).await.expect("ok").text;
    assert_ne!(other, trace);
    outer.plugin.shutdown().await.expect("in good order");
    inner.plugin.shutdown().await.expect("in good order");
    let own = |span: &&Span| {
        span.get("rpc.method")
            .is_some_and(|method| !method.starts_with("greeter.") && !method.starts_with("pourer."))
    };
    recorder().change(|all| assert_eq!(all.iter().find(own).map(|span| &span.fields), None));
}

#[tokio::test]
async fn statuses_are_told_and_errors_are_those_of_their_side() {
    let mut rig = start(None).await;
    for (name, code, of_server) in [
        ("nobody", "NOT_FOUND", false),
        ("everybody", "INTERNAL", true),
    ] {
        rig.greeter.greet(named(name)).await.expect_err("as asked");
        let trace = rig.begun.recv().await.expect("it began");
        let spans = closed(&trace).await;
        let [client, server] = &spans[..] else {
            panic!("{spans:?}")
        };
        assert!(
            client.is("rpc.response.status_code", code)
                && server.is("rpc.response.status_code", code)
        );
        assert!(client.is("error.type", code) && client.is("otel.status_code", "ERROR"));
        assert_eq!(server.get("error.type"), of_server.then_some(code));
    }
    rig.plugin.shutdown().await.expect("in good order");
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_both_spans() {
    let mut rig = start(None).await;
    let call = rig.greeter.greet(named("godot"));
    let trace = tokio::select! {
        trace = rig.begun.recv() => trace.expect("it began"),
        answer = call => panic!("{answer:?}"),
    };
    let spans = closed(&trace).await;
    assert_eq!(spans.len(), 2);
    assert!(
        spans
            .iter()
            .all(|span| span.is("rpc.response.status_code", "CANCELLED")),
        "{spans:?}"
    );
    rig.plugin.shutdown().await.expect("in good order");
}

#[tokio::test]
async fn what_the_caller_says_itself_wins() {
    let rig = start(None).await;
    let mut metadata = Metadata::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    metadata.insert(TRACEPARENT, parent).expect("valid");
    let greeter = rig.greeter.with_metadata(metadata);
    let trace = greeter.greet(named("world")).await.expect("ok").text;
    assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    let spans = closed(&trace).await;
    let [server] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert!(server.is("parent_id", "b7ad6b7169203331") && server.is("otel.kind", "server"));
    rig.plugin.shutdown().await.expect("in good order");
}

/// Pours greetings without end, or as many as its caller's name has letters.
struct Pourer;

static POURER: ServiceDescriptor = ServiceDescriptor::new(
    "pourer.Pourer",
    &[MethodDescriptor::new(
        "Pour",
        "/pourer.Pourer/Pour",
        MethodKind::ServerStreaming,
    )],
    &[],
);

impl Service for Pourer {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &POURER
    }

    fn unary(&self, method: usize, _: CallContext, _: Bytes) -> UnaryAnswer {
        no_such_method(&POURER, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        serve_server_streaming(Prost, context, call, |request: GreetRequest| async move {
            let here = trace::here().expect("it has a span").trace_id().to_string();
            let count = match request.name.as_str() {
                "" => usize::MAX,
                name => name.len(),
            };
            let letters = (0..count).map(move |_| {
                tracing::info!(target: "traced", "pouring");
                GreetReply { text: here.clone() }
            });
            Ok(Streaming::iter(letters))
        })
    }
}

fn pour(channel: &Channel, name: &str) -> Streaming<GreetReply> {
    codegen::call_server_streaming(Prost, channel, "/pourer.Pourer/Pour", named(name))
}

#[tokio::test]
async fn spans_of_streams_end_with_them() {
    recorder();
    let service: Arc<dyn Service> = Arc::new(Pourer);
    let plugin = Plugin::new(HANDSHAKE).provide("pourer", service);
    let plugin = memory::start(&Host::new(HANDSHAKE), plugin, Tokio::current()).await;
    let plugin = plugin.expect("it starts");
    let mut stream = pour(&plugin.channel(), "abc");
    let first = stream
        .message()
        .await
        .expect("ok")
        .expect("there are three");
    let open = spans_of(&first.text);
    assert!(open.iter().all(
        |span| span.get("rpc.response.status_code").is_none() || span.is("otel.kind", "server")
    ));
    while stream.message().await.expect("ok").is_some() {}
    drop(stream);
    let spans = closed(&first.text).await;
    let [client, server] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(server.get("parent_id"), Some(client.id()));
    assert!(
        spans
            .iter()
            .all(|span| span.is("rpc.response.status_code", "OK")),
        "{spans:?}"
    );
    assert_eq!(server.events.len(), 3, "each is made in the span");
    // One that is left early.
    let mut stream = pour(&plugin.channel(), "");
    let first = stream.message().await.expect("ok").expect("there are many");
    drop(stream);
    let spans = closed(&first.text).await;
    assert!(
        spans
            .iter()
            .all(|span| span.is("rpc.response.status_code", "CANCELLED")),
        "{spans:?}"
    );
    plugin.shutdown().await.expect("in good order");
}
