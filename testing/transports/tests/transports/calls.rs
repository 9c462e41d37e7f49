//! All kinds of calls.

use std::sync::{Arc, Mutex, Once};
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{Code, ConnectionConfig, MessageStream, Metadata, ServerConfig};
use outboard_kit::echo::{failure, next, out};
use outboard_transports::{Bench, Config, Pair};

use crate::support::{collect, failure_of, head, headers, messages, works};

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    for value in ["one", "two, with comma"] {
        metadata.insert("x-text", value).expect("valid");
    }
    for value in [&[0, 1, 255, b','][..], &[]] {
        metadata
            .insert_bin("x-bytes-bin", Bytes::copy_from_slice(value))
            .expect("valid");
    }
    metadata
}

pub async fn unary(bench: Bench) {
    let pair = bench.pair();
    for method in ["Echo", "Yield"] {
        for text in ["hello", ""] {
            let reply = pair.connection.unary(head(method), out(text)).await;
            let reply = reply.expect("an answer");
            assert_eq!(reply.message, text, "{method}");
            assert!(reply.headers.is_empty() && reply.trailers.is_empty());
        }
    }
}

pub async fn answers_of_a_stream_come_in_order(bench: Bench) {
    let pair = bench.pair();
    let mut call = pair.connection.open(head("Count"), messages(["3"]));
    let all = collect(&mut call).await.expect("ends well");
    assert_eq!(all, [0, 1, 2].map(|n| format!("{n:040}")));
    assert!(call.trailers().is_some());
    assert_eq!(next(&mut call).await, None);
}

pub async fn a_stream_without_messages_ends_well(bench: Bench) {
    let pair = bench.pair();
    let mut call = pair.connection.open(head("Count"), messages(["0"]));
    assert_eq!(collect(&mut call).await, Ok(vec![]));
}

pub async fn client_streaming(bench: Bench) {
    let pair = bench.pair();
    let requests = messages(["a", "", "b", "c"]);
    let mut call = pair.connection.open(head("Collect"), requests);
    assert_eq!(collect(&mut call).await.expect("ends well"), ["abc"]);
    let mut call = pair.connection.open(head("Collect"), messages([]));
    assert_eq!(collect(&mut call).await.expect("ends well"), [""]);
}

pub async fn bidirectional_in_lock_step(bench: Bench) {
    let pair = bench.pair();
    let (sender, receiver) = futures_channel::mpsc::unbounded();
    let mut call = pair.connection.open(head("Each"), Box::pin(receiver));
    for text in ["one", "two", "three"] {
        sender.unbounded_send(Ok(out(text))).expect("still open");
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from(text))));
    }
    drop(sender);
    assert_eq!(next(&mut call).await, None);
}

async fn at_once(bench: Bench, count: usize) {
    let pair = bench.pair();
    let calls = (0..bench.calls(count)).map(|n| {
        let method = ["Echo", "Yield"][n % 2];
        pair.connection.unary(head(method), out(n.to_string()))
    });
    for (n, reply) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(reply.expect("an answer").message, n.to_string());
    }
}

pub async fn a_hundred_calls_at_once(bench: Bench) {
    at_once(bench, 100).await;
}

pub async fn a_thousand_calls_at_once(bench: Bench) {
    at_once(bench, 1_000).await;
}

/// Messages as long as what a transport collects before it writes.
pub async fn long_messages_at_once(bench: Bench) {
    const ROUNDS: u8 = 20;
    let size = bench.bytes(usize::from(ROUNDS) * 64 * 65_536) / (usize::from(ROUNDS) * 64);
    let pair = bench.pair();
    let calls = (0..64u8).map(|n| {
        let connection = Arc::clone(&pair.connection);
        async move {
            for round in 0..ROUNDS {
                let message = vec![n ^ round; size];
                let reply = connection.unary(head("Echo"), out(&message)).await;
                assert!(reply.expect("an answer").message == message);
            }
        }
    });
    join_all(calls).await;
}

pub async fn sixteen_mebibytes_go_both_ways_beside_small_calls(bench: Bench) {
    let pair = bench.pair();
    let size = bench.bytes(16 << 20) as u32;
    let message: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    let large = pair.connection.unary(head("Echo"), out(&message));
    let small = async {
        for _ in 0..20 {
            works(&*pair.connection).await;
        }
    };
    let (reply, ()) = join(large, small).await;
    assert!(reply.expect("an answer").message == message);

    let requests = stream::iter([Ok(out(&message))]);
    let mut call = pair.connection.open(head("Each"), Box::pin(requests));
    assert!(collect(&mut call).await.expect("ends well") == [message]);
}

/// The largest that are held back and put together with others, the smallest and the largest that are
/// not, and those that a transport sends in a way of their own.
pub async fn messages_of_all_sizes_are_flushed(bench: Bench) {
    let pair = bench.pair();
    for size in [0, 8_000, 8_192, 9_000, 20_000, 65_000, 66_000, 300_000] {
        let message = vec![7; bench.bytes(size)];
        let reply = pair.connection.unary(head("Echo"), out(&message)).await;
        assert_eq!(reply.expect("an answer").message, message, "{size}");
    }
}

pub async fn metadata_travels_both_ways(bench: Bench) {
    let pair = bench.pair();
    let mut unary = head("Metadata");
    unary.metadata = metadata();
    let reply = pair.connection.unary(unary, out("m")).await.expect("ok");
    assert_eq!(reply.headers, metadata());
    assert_eq!(reply.trailers, metadata());

    let mut streaming = head("Headers");
    streaming.metadata = metadata();
    let mut call = pair.connection.open(streaming, messages(["m"]));
    assert_eq!(headers(&mut call).await, Ok(metadata()));
    assert_eq!(call.trailers(), None);
    assert_eq!(collect(&mut call).await.expect("ends well"), ["last"]);
    assert_eq!(call.trailers(), Some(&metadata()));
}

pub async fn headers_come_before_the_first_message(bench: Bench) {
    let pair = bench.pair();
    let (sender, receiver) = futures_channel::mpsc::unbounded();
    let mut call = pair.connection.open(head("Each"), Box::pin(receiver));
    // Nothing was sent, so no answer can be on its way.
    assert_eq!(headers(&mut call).await, Ok(Metadata::new()));
    drop(sender);
    assert_eq!(next(&mut call).await, None);
}

pub async fn errors_keep_text_details_and_metadata(bench: Bench) {
    let pair = bench.pair();
    let failed = pair.connection.unary(head("Fail"), out("x")).await;
    let error = failed.expect_err("fails");
    assert_eq!(error, failure());
    assert!(!error.is_connection_lost());

    let mut call = pair.connection.open(head("FailStream"), messages(["x"]));
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
    assert_eq!(next(&mut call).await, Some(Err(failure())));
    assert_eq!(next(&mut call).await, None, "an error is told once");
    assert_eq!(call.trailers(), None);
}

pub async fn unknown_methods_and_services_are_told_apart(bench: Bench) {
    let pair = bench.pair();
    for (path, text) in [
        ("/test.Echo/Nope", "unknown method Nope"),
        (
            "/test.Nope/Echo",
            "unknown service test.Nope; the services here are test.Echo",
        ),
    ] {
        let to = || outboard_core::rpc::CallHead::new(path);
        let error = pair.connection.unary(to(), out("x")).await;
        let error = error.expect_err("unknown");
        assert_eq!(error.code(), Code::Unimplemented);
        assert!(error.message().starts_with(text), "{error}");

        let mut call = pair.connection.open(to(), messages(["x"]));
        let error = headers(&mut call).await.expect_err("unknown");
        assert_eq!(error.code(), Code::Unimplemented);
        let error = failure_of(&mut call).await;
        assert_eq!(error.code(), Code::Unimplemented);
        assert!(error.message().starts_with(text), "{error}");
    }
    let to = outboard_core::rpc::CallHead::new("no path");
    let error = pair.connection.unary(to, out("x")).await;
    assert_eq!(error.expect_err("unknown").code(), Code::Unimplemented);
}

/// As in gRPC: a method that takes one message gets one, whatever it answers with.
pub async fn calls_of_one_request_message_fail_with_any_other_number(bench: Bench) {
    let pair = bench.pair();
    for method in ["Echo", "Count"] {
        for (count, late) in [(0, false), (2, false), (3, false), (0, true), (2, true)] {
            let now = stream::iter((0..count).map(|_| Ok(out("1"))));
            let requests: MessageStream = if late {
                let mut polls = 0;
                let end = stream::poll_fn(move |cx| {
                    polls += 1;
                    if polls < 3 {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Ready(None)
                });
                Box::pin(now.chain(end))
            } else {
                Box::pin(now)
            };
            let mut call = pair.connection.open(head(method), requests);
            let status = collect(&mut call).await.expect_err("not one message");
            assert_eq!(status.code(), Code::Internal, "{method} {count} {late}");
            let found = match count {
                0 => "the requests ended without any",
                _ => "a second one followed",
            };
            let text = format!(
                "cardinality violation: expected one request message, but {found}; do both sides \
                 declare the method alike in the .proto?"
            );
            assert_eq!(status.message(), text);
        }
        let mut call = pair.connection.open(head(method), messages(["1"]));
        assert_eq!(collect(&mut call).await.expect("well").len(), 1);
    }
}

fn limited(bench: &Bench, client: usize, server: usize) -> Pair {
    bench.pair_with(Config {
        client: ConnectionConfig::new(client),
        server: ServerConfig::new(server),
        ..Config::default()
    })
}

pub async fn the_size_limit_holds_in_all_four_places(bench: Bench) {
    // Sent and received by the client, sent and received by the server.
    for (client, server) in [(10, 100), (100, 10)] {
        let pair = limited(&bench, client, server);
        let request = out("a request of more than ten");
        let error = pair.connection.unary(head("Echo"), request).await;
        let error = error.expect_err("too large");
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.message().contains("limit of 10 bytes"), "{error}");
        assert!(error.message().contains("max_message_size"), "{error}");
    }
    for (client, server) in [(39, 100), (100, 39)] {
        let pair = limited(&bench, client, server);
        let mut call = pair.connection.open(head("Count"), messages(["2"]));
        let error = collect(&mut call).await.expect_err("too large");
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.message().contains("limit of 39 bytes"), "{error}");
        works(&*pair.connection).await;
    }
    let pair = limited(&bench, 40, 40);
    let mut call = pair.connection.open(head("Count"), messages(["2"]));
    assert_eq!(collect(&mut call).await.expect("just fits").len(), 2);
}

pub async fn messages_over_the_limit_of_either_side_fail_their_call_only(bench: Bench) {
    let pair = limited(&bench, 1_000_000, 1_000);
    // The largest is not even sent.
    for len in [1_001, bench.bytes(200_000), 1_000_001] {
        let error = pair.connection.unary(head("Echo"), out(vec![0; len])).await;
        let error = error.expect_err("too large");
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    }
    let reply = pair.connection.unary(head("Echo"), out([0; 1_000])).await;
    assert_eq!(reply.expect("fits").message.len(), 1_000);
}

pub async fn a_panic_fails_its_call_only(bench: Bench) {
    let pair = bench.pair();
    let error = pair.connection.unary(head("Panic"), out("x")).await;
    let error = error.expect_err("panics");
    assert_eq!(error.code(), Code::Internal);
    assert!(error.message().contains("over the edge"), "{error}");

    let mut call = pair.connection.open(head("PanicStream"), messages(["x"]));
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
    let error = failure_of(&mut call).await;
    assert_eq!(error.code(), Code::Internal);
    assert!(error.message().contains("over the edge"), "{error}");
    works(&*pair.connection).await;
}

/// The error records of all cases of this program.
fn error_records() -> &'static Mutex<Vec<String>> {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    struct Errors;

    static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static ONCE: Once = Once::new();

    impl<S: tracing::Subscriber> Layer<S> for Errors {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() == tracing::Level::ERROR {
                let mut fields = String::new();
                event.record(
                    &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                        fields.push_str(&format!("{field}={value:?} "));
                    },
                );
                RECORDS
                    .lock()
                    .expect("no panic under the lock")
                    .push(fields);
            }
        }
    }

    // Handlers may run on other threads, so the subscriber has to be everybody's.
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Errors);
        tracing::subscriber::set_global_default(subscriber).expect("the only one");
    });
    &RECORDS
}

pub async fn a_panic_leaves_an_error_record(bench: Bench) {
    let records = error_records();
    let pair = bench.pair();
    // As no other case says it.
    let said = format!("in the record of {bench:?}");
    let error = pair.connection.unary(head("Panic"), out(&said)).await;
    error.expect_err("panics");
    let records = records.lock().expect("no panic under the lock");
    let mut of_it = records.iter().filter(|record| record.contains(&said));
    let record = of_it.next().expect("a record");
    assert!(record.contains("/test.Echo/Panic"), "{record}");
    assert!(record.contains("over the edge"), "{record}");
    assert_eq!(of_it.next(), None, "told once");
}
