//! The built-in services, asked the way a host or a tool asks them.

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream as _;
use outboard::codegen::Prost;
use outboard::{Channel, Code, HealthReporter, HealthService, Reflection, Status, Streaming};
use outboard_core::rpc::{Router, Service};
use outboard_core::wire::health::health_check_response::ServingStatus;
use outboard_core::wire::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use outboard_core::wire::reflection::server_reflection_request::MessageRequest;
use outboard_core::wire::reflection::server_reflection_response::MessageResponse;
use outboard_core::wire::reflection::{
    ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse,
};
use outboard_generator::greeter::{GreetReply, GreetRequest, Greeter, GreeterServer};
use outboard_generator::odd_cases::extended::{Base, Extended, ExtendedServer};
use outboard_generator::streamer::{Item, Range, Streamer, StreamerServer};
use prost_types::FileDescriptorProto;
use support::{block_on, channel_over, channel_to};

struct Silent;

impl Greeter for Silent {
    async fn greet(&self, _request: GreetRequest) -> Result<GreetReply, Status> {
        Err(Status::unimplemented("silent"))
    }
}

impl Streamer for Silent {
    async fn count(&self, _range: Range) -> Result<Streaming<Item>, Status> {
        Err(Status::unimplemented("silent"))
    }

    async fn reset(&self, (): ()) -> Result<(), Status> {
        Err(Status::unimplemented("silent"))
    }
}

impl Extended for Silent {
    async fn get(&self, _base: Base) -> Result<Base, Status> {
        Err(Status::unimplemented("silent"))
    }
}

fn health() -> (Channel, HealthReporter) {
    let health = HealthService::new();
    let reporter = health.reporter();
    (channel_to([Arc::new(health)]), reporter)
}

fn about(service: &str) -> HealthCheckRequest {
    let service = service.to_owned();
    HealthCheckRequest { service }
}

fn check(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let head = channel.head("/grpc.health.v1.Health/Check");
    let reply = block_on(channel.unary(Prost, head, &about(service)));
    reply.map(|reply| HealthCheckResponse::status(&reply.message))
}

#[test]
fn health_knows_the_plugin_and_the_server() {
    let (channel, reporter) = health();
    assert_eq!(check(&channel, "plugin"), Ok(ServingStatus::Serving));
    assert_eq!(check(&channel, ""), Ok(ServingStatus::Serving));
    let unknown = check(&channel, "other").expect_err("not known");
    assert_eq!(unknown.code(), Code::NotFound);

    reporter.set("other", false);
    assert_eq!(check(&channel, "other"), Ok(ServingStatus::NotServing));
    reporter.remove("other");
    assert!(check(&channel, "other").is_err());
}

#[test]
fn health_lists_everything() {
    let (channel, reporter) = health();
    reporter.set("other", false);
    let head = channel.head("/grpc.health.v1.Health/List");
    let reply = block_on(channel.unary(Prost, head, &HealthListRequest {}));
    let list: HealthListResponse = reply.expect("answers").message;
    let list: Vec<_> = list
        .statuses
        .iter()
        .map(|(name, r)| (&**name, r.status()))
        .collect();
    let expected = [
        ("", ServingStatus::Serving),
        ("other", ServingStatus::NotServing),
        ("plugin", ServingStatus::Serving),
    ];
    assert_eq!(list, expected);
}

/// The next item of a stream, if there is one now.
fn now(stream: &mut Streaming<HealthCheckResponse>) -> Poll<Option<Result<ServingStatus, Code>>> {
    let mut cx = Context::from_waker(Waker::noop());
    let item = pin!(stream).poll_next(&mut cx);
    item.map(|item| item.map(|r| r.map(|r| r.status()).map_err(|status| status.code())))
}

fn watch(channel: &Channel, service: &str) -> Streaming<HealthCheckResponse> {
    let head = channel.head("/grpc.health.v1.Health/Watch");
    channel.streaming(Prost, head, Streaming::once(about(service)))
}

#[test]
fn watchers_hear_of_changes() {
    let (channel, reporter) = health();
    let mut plugin = watch(&channel, "plugin");
    let mut other = watch(&channel, "other");
    assert_eq!(
        now(&mut plugin),
        Poll::Ready(Some(Ok(ServingStatus::Serving)))
    );
    assert_eq!(now(&mut plugin), Poll::Pending);
    let unknown = Poll::Ready(Some(Ok(ServingStatus::ServiceUnknown)));
    assert_eq!(now(&mut other), unknown);

    // A watcher is woken, on whatever thread it waits.
    let waiting = std::thread::spawn(move || {
        let message = block_on(other.message())
            .expect("no error")
            .expect("a change");
        (message.status(), other)
    });
    reporter.set("other", true);
    let (status, mut other) = waiting.join().expect("no panic");
    assert_eq!(status, ServingStatus::Serving);
    assert_eq!(now(&mut plugin), Poll::Pending);

    // Setting what is set already is no change, and only the last of several counts.
    reporter.set("other", true);
    assert_eq!(now(&mut other), Poll::Pending);
    reporter.set("other", false);
    reporter.remove("other");
    assert_eq!(now(&mut other), unknown);
    assert_eq!(now(&mut other), Poll::Pending);
}

#[test]
fn shutting_down_tells_watchers_and_ends_their_streams() {
    let (channel, reporter) = health();
    let mut plugin = watch(&channel, "plugin");
    assert_eq!(
        now(&mut plugin),
        Poll::Ready(Some(Ok(ServingStatus::Serving)))
    );
    reporter.shut_down();
    assert_eq!(
        now(&mut plugin),
        Poll::Ready(Some(Ok(ServingStatus::NotServing)))
    );
    assert_eq!(now(&mut plugin), Poll::Ready(Some(Err(Code::Unavailable))));
    assert_eq!(now(&mut plugin), Poll::Ready(None));
    reporter.set("plugin", true);
    assert_eq!(check(&channel, "plugin"), Ok(ServingStatus::NotServing));
}

fn server() -> Channel {
    let mut router = Router::new();
    let services: [Arc<dyn Service>; 4] = [
        Arc::new(StreamerServer::new(Silent)),
        Arc::new(GreeterServer::new(Silent)),
        Arc::new(ExtendedServer::new(Silent)),
        Arc::new(HealthService::new()),
    ];
    for service in services {
        router.add(service).expect("services of different names");
    }
    Reflection::add_to(&mut router).expect("no reflection yet");
    channel_over(router)
}

const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// The answers to these questions over one stream.
fn ask<const N: usize>(path: &'static str, questions: [MessageRequest; N]) -> [MessageResponse; N] {
    let channel = server();
    let requests = questions.map(|question| ServerReflectionRequest {
        host: "here".to_owned(),
        message_request: Some(question),
    });
    let mut answers: Streaming<ServerReflectionResponse> =
        channel.streaming(Prost, channel.head(path), Streaming::iter(requests.clone()));
    requests.map(|request| {
        let answer = block_on(answers.message())
            .expect("no error")
            .expect("one each");
        assert_eq!(answer.valid_host, "here");
        assert_eq!(answer.original_request, Some(request));
        answer.message_response.expect("an answer")
    })
}

fn files(answer: MessageResponse) -> Vec<String> {
    let MessageResponse::FileDescriptorResponse(files) = answer else {
        panic!("expected files, got {answer:?}");
    };
    let files = files.file_descriptor_proto.into_iter();
    let decoded = files.map(|file| prost::Message::decode(file).expect("a descriptor"));
    decoded
        .map(|file: FileDescriptorProto| file.name().to_owned())
        .collect()
}

fn symbol(name: &str) -> MessageRequest {
    MessageRequest::FileContainingSymbol(name.to_owned())
}

#[test]
fn reflection_lists_exactly_what_is_served_sorted() {
    for path in [V1, V1ALPHA] {
        let [answer] = ask(path, [MessageRequest::ListServices("*".to_owned())]);
        let MessageResponse::ListServicesResponse(list) = answer else {
            panic!("expected services, got {answer:?}");
        };
        let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
        let expected = [
            "extended.Extended",
            "greeter.Greeter",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "streamer.v1.Streamer",
        ];
        assert_eq!(names, expected);
    }
}

#[test]
fn reflection_finds_files_with_their_imports() {
    const EMPTY: &str = "google/protobuf/empty.proto";
    let by_name = MessageRequest::FileByFilename("streamer.proto".to_owned());
    let [first, again] = ask(V1, [by_name, symbol("streamer.v1.Streamer.Count")]);
    assert_eq!(files(first), ["streamer.proto", EMPTY]);
    // The import is known by now.
    assert_eq!(files(again), ["streamer.proto"]);
}

#[test]
fn reflection_finds_every_kind_of_symbol() {
    let symbols = [
        "grpc.health.v1.Health",
        "grpc.health.v1.Health.Watch",
        "grpc.health.v1.HealthCheckRequest",
        "grpc.health.v1.HealthCheckRequest.service",
        "grpc.health.v1.HealthCheckResponse.ServingStatus",
        "grpc.health.v1.HealthCheckResponse.NOT_SERVING",
    ];
    for answer in ask(V1ALPHA, symbols.map(symbol)) {
        assert_eq!(files(answer), ["grpc/health/v1/health.proto"]);
    }
    let [oneof] = ask(
        V1,
        [symbol(
            "grpc.reflection.v1.ServerReflectionRequest.message_request",
        )],
    );
    assert_eq!(files(oneof), ["grpc/reflection/v1/reflection.proto"]);
}

#[test]
fn reflection_finds_extensions() {
    let extension = |of: &str, number| {
        MessageRequest::FileContainingExtension(ExtensionRequest {
            containing_type: of.to_owned(),
            extension_number: number,
        })
    };
    let numbers = |of: &str| MessageRequest::AllExtensionNumbersOfType(of.to_owned());
    let questions = [
        extension("extended.Base", 110),
        numbers("extended.Base"),
        numbers("extended.Unextended"),
        symbol("extended.Holder.first"),
    ];
    let [file, all, none, by_symbol] = ask(V1, questions);
    assert_eq!(files(file), ["extended.proto"]);
    assert_eq!(files(by_symbol), ["extended.proto"]);
    let numbers_in = |answer| match answer {
        MessageResponse::AllExtensionNumbersResponse(numbers) => numbers,
        other => panic!("expected numbers, got {other:?}"),
    };
    let all = numbers_in(all);
    assert_eq!(all.base_type_name, "extended.Base");
    assert_eq!(all.extension_number, [110, 120]);
    assert!(numbers_in(none).extension_number.is_empty());
}

#[test]
fn reflection_says_not_found_and_goes_on() {
    let questions = [
        MessageRequest::FileByFilename("no.proto".to_owned()),
        symbol("no.Such"),
        symbol(""),
        MessageRequest::FileContainingExtension(ExtensionRequest {
            containing_type: "extended.Base".to_owned(),
            extension_number: 1,
        }),
        MessageRequest::AllExtensionNumbersOfType("no.Such".to_owned()),
    ];
    for answer in ask(V1, questions) {
        let MessageResponse::ErrorResponse(error) = answer else {
            panic!("expected an error, got {answer:?}");
        };
        assert_eq!(error.error_code, 5);
    }
}

#[test]
fn a_reflection_request_without_a_question_ends_the_stream() {
    let channel = server();
    let requests = Streaming::iter([ServerReflectionRequest::default()]);
    let mut answers: Streaming<ServerReflectionResponse> =
        channel.streaming(Prost, channel.head(V1), requests);
    let status = block_on(answers.message()).expect_err("no question");
    assert_eq!(status.code(), Code::InvalidArgument);
}
