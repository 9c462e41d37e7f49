//! What handlers see beside the message, and what callers do.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use outboard::context::{self, CurrentCall};
use outboard::{CallOptions, Client as _, Code, Metadata, Status, Streaming};
use outboard_generator::counter::{Counter, CounterClient, CounterServer, Number};
use outboard_generator::greeter::{
    GreetReply, GreetRequest, Greeter, GreeterClient, GreeterServer,
};
use support::{block_on, channel_to};

fn call() -> CurrentCall {
    context::current().expect("inside a handler")
}

fn reply(text: impl Into<String>) -> Result<GreetReply, Status> {
    Ok(GreetReply { text: text.into() })
}

fn request(name: &str) -> GreetRequest {
    let name = name.to_owned();
    GreetRequest { name }
}

fn entry(name: &'static str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(name, value).expect("valid");
    metadata
}

/// Does what the name in the request says.
struct Actor;

impl Greeter for Actor {
    async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        match request.name.as_str() {
            "path" => reply(call().path()),
            "metadata" => reply(call().metadata().get("who").unwrap_or("nobody")),
            "answer" => {
                call().insert_header("early", "1").expect("valid");
                call().extend_trailers(&entry("late", "2"));
                reply("")
            }
            "fail" => {
                call().insert_header("early", "1").expect("valid");
                call().insert_trailer("late", "2").expect("valid");
                Err(Status::aborted("on purpose"))
            }
            "panic" => panic!("on purpose"),
            other => Err(Status::invalid_argument(other.to_owned())),
        }
    }
}

fn actor() -> GreeterClient {
    GreeterClient::new(channel_to([Arc::new(GreeterServer::new(Actor))]))
}

#[test]
fn a_handler_sees_path_and_metadata_of_its_call() {
    block_on(async {
        let client = actor();
        let text = client.greet(request("path")).await.expect("answers").text;
        assert_eq!(text, "/greeter.Greeter/Greet");
        let text = client.greet(request("metadata")).await;
        assert_eq!(text.expect("answers").text, "nobody");
        let client = client.with_options(CallOptions::new().metadata(entry("who", "me")));
        // A timeout leaves the other options alone.
        let client = client.with_timeout(Duration::from_secs(60));
        let text = client.greet(request("metadata")).await;
        assert_eq!(text.expect("answers").text, "me");
        assert!(context::current().is_none());
    });
}

#[test]
fn a_caller_captures_headers_and_trailers() {
    block_on(async {
        let client = actor();
        let (result, metadata) = context::capture(client.greet(request("answer"))).await;
        assert!(result.is_ok());
        assert_eq!(metadata.headers, entry("early", "1"));
        assert_eq!(metadata.trailers, entry("late", "2"));
        // Nothing is left for the next one.
        let (_, metadata) = context::capture(client.greet(request("path"))).await;
        assert_eq!(metadata, context::ResponseMetadata::default());
    });
}

#[test]
fn a_call_that_fails_carries_its_trailers_in_the_status() {
    let status = block_on(actor().greet(request("fail"))).expect_err("fails");
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(status.metadata(), &entry("late", "2"));
}

#[test]
fn a_panic_in_a_handler_leaves_no_call_behind() {
    let client = actor();
    for _ in 0..2 {
        let greeting = client.greet(request("panic"));
        assert!(catch_unwind(AssertUnwindSafe(|| block_on(greeting))).is_err());
        assert!(context::current().is_none());
    }
    let text = block_on(client.greet(request("path"))).expect("still works");
    assert_eq!(text.text, "/greeter.Greeter/Greet");
}

/// Looks at the current call while its streams run.
struct Watching;

impl Counter for Watching {
    async fn sum(&self, mut requests: Streaming<Number>) -> Result<Number, Status> {
        let mut sum = Number::default();
        while let Some(number) = requests.message().await? {
            sum.value += number.value;
        }
        call().insert_header("early", call().path()).expect("valid");
        call().insert_trailer("late", "sum").expect("valid");
        Ok(sum)
    }

    async fn running(&self, requests: Streaming<Number>) -> Result<Streaming<Number>, Status> {
        call().insert_header("early", "yes").expect("valid");
        let watched = requests.map(|number| {
            call().insert_trailer("seen", "one").expect("valid");
            match number?.value {
                0 => Err(Status::data_loss("zero")),
                value => Ok(Number { value }),
            }
        });
        Ok(Streaming::try_from_stream(watched))
    }
}

fn numbers<const N: usize>(values: [i64; N]) -> Streaming<Number> {
    Streaming::iter(values.map(|value| Number { value }))
}

#[test]
fn the_call_is_current_while_its_response_stream_runs() {
    let client = CounterClient::new(channel_to([Arc::new(CounterServer::new(Watching))]));
    block_on(async {
        let mut stream = client.running(numbers([1, 2])).await.expect("starts");
        assert_eq!(stream.headers().await, Ok(entry("early", "yes")));
        while stream.message().await.expect("no error").is_some() {
            assert!(context::current().is_none());
        }
        let trailers = stream.trailers().expect("ended well");
        assert_eq!(trailers.len(), 2);

        let mut stream = client.running(numbers([1, 0])).await.expect("starts");
        assert!(stream.message().await.is_ok());
        let status = stream.message().await.expect_err("zero");
        assert_eq!(
            (status.code(), status.metadata().len()),
            (Code::DataLoss, 2)
        );

        let (sum, metadata) = context::capture(client.sum(numbers([1, 2]))).await;
        assert_eq!(sum, Ok(Number { value: 3 }));
        assert_eq!(metadata.headers, entry("early", "/counter.Counter/Sum"));
        assert_eq!(metadata.trailers, entry("late", "sum"));
    });
}

/// The deadline of the call, in milliseconds from a fixed time.
struct TellDeadline(Instant);

impl Greeter for TellDeadline {
    async fn greet(&self, _request: GreetRequest) -> Result<GreetReply, Status> {
        reply(match call().deadline() {
            Some(at) => at.duration_since(self.0).as_millis().to_string(),
            None => "none".to_owned(),
        })
    }
}

/// Passes the request on, in the way it says.
struct Relay {
    next: GreeterClient,
    epoch: Instant,
}

impl Greeter for Relay {
    async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        let at = |s| self.epoch + Duration::from_secs(s);
        match request.name.as_str() {
            "plain" => self.next.greet(request).await,
            "shorter" => {
                let next = self.next.with_timeout(Duration::from_secs(1));
                next.greet(request).await
            }
            "longer" => {
                let next = self.next.with_timeout(Duration::from_secs(10_000));
                next.greet(request).await
            }
            "own" => {
                let options = CallOptions::new().deadline(at(5000));
                self.next.with_options(options).greet(request).await
            }
            "detached" => context::detach(async { self.next.greet(request).await }).await,
            other => Err(Status::invalid_argument(other.to_owned())),
        }
    }
}

#[test]
fn options_of_a_client_add_up() {
    let teller = Arc::new(GreeterServer::new(TellDeadline(Instant::now())));
    let client = GreeterClient::from_channel(channel_to([teller]));
    let limit = Duration::from_secs(1000);
    let client = client.with_timeout(limit).with_metadata(entry("who", "me"));
    let client = client.with_options(CallOptions::new().metadata(entry("why", "so")));
    let options = client.channel().options().expect("some");
    assert_eq!(options.timeout, Some(limit));
    assert_eq!(options.metadata.get("who"), Some("me"));
    assert_eq!(options.metadata.get("why"), Some("so"));
    // The limit is that of the calls, too.
    let text = block_on(client.greet(request(""))).expect("answers").text;
    assert!(text.parse::<u128>().is_ok(), "{text}");
    let other = client.with_metadata(entry("who", "you"));
    let head = other.channel().head("/a/B");
    let who = head.metadata.iter().filter(|(name, _)| *name == "who");
    assert_eq!(who.count(), 1);
    assert_eq!(head.metadata.get("who"), Some("you"));
}

#[test]
fn deadlines_cascade_unless_told_otherwise() {
    let epoch = Instant::now();
    let teller = Arc::new(GreeterServer::new(TellDeadline(epoch)));
    let next = GreeterClient::from_channel(channel_to([teller]));
    let relay = Arc::new(GreeterServer::new(Relay { next, epoch }));
    let unlimited = GreeterClient::from_channel(channel_to([relay]));
    let deadline = epoch + Duration::from_secs(1000);
    let limited = unlimited.with_options(CallOptions::new().deadline(deadline));
    let seen =
        |client: &GreeterClient, how| block_on(client.greet(request(how))).expect("answers").text;
    assert_eq!(seen(&limited, "plain"), "1000000");
    assert_eq!(seen(&limited, "longer"), "1000000");
    let shorter: u128 = seen(&limited, "shorter").parse().expect("a number");
    assert!((1000..1_000_000).contains(&shorter), "{shorter}");
    assert_eq!(seen(&limited, "own"), "5000000");
    assert_eq!(seen(&limited, "detached"), "none");
    assert_eq!(seen(&unlimited, "plain"), "none");
}

#[test]
fn a_spawned_task_can_take_the_call_along() {
    /// Answers from another thread.
    struct Elsewhere;
    impl Greeter for Elsewhere {
        async fn greet(&self, _request: GreetRequest) -> Result<GreetReply, Status> {
            let call = call();
            let spawned = std::thread::spawn(|| {
                assert!(context::current().is_none());
                block_on(call.scope(async { context::current().map(|call| call.path()) }))
            });
            reply(spawned.join().expect("no panic").unwrap_or("none"))
        }
    }
    let client = GreeterClient::new(channel_to([Arc::new(GreeterServer::new(Elsewhere))]));
    let text = block_on(client.greet(request(""))).expect("answers").text;
    assert_eq!(text, "/greeter.Greeter/Greet");
}
