//! All kinds of calls between a client and a server of this crate.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use outboard_core::rpc::{Call, CallHead, Code, MessageStream, Metadata, Status};
use support::service::{failure, next, out};
use support::{PairBuilder, pair, run};

fn messages(items: Vec<&'static str>) -> MessageStream {
    Box::pin(stream::iter(items.into_iter().map(|item| Ok(out(item)))))
}

async fn collect(call: &mut Box<dyn Call>) -> Result<Vec<Bytes>, Status> {
    let mut all = Vec::new();
    while let Some(message) = next(call).await {
        all.push(message?);
    }
    Ok(all)
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    for value in ["one", "two, with comma"] {
        metadata.insert("x-text", value).expect("valid");
    }
    metadata
        .insert_bin("x-bytes-bin", vec![0, 1, 255, b','])
        .expect("valid");
    metadata
        .insert_bin("x-bytes-bin", Bytes::new())
        .expect("valid");
    metadata
}

#[test]
fn unary() {
    run(async {
        let pair = pair();
        for method in ["/test.Echo/Echo", "/test.Echo/Yield"] {
            let reply = pair.connection.unary(CallHead::new(method), out("hello"));
            let reply = reply.await.expect("an answer");
            assert_eq!(reply.message, "hello", "{method}");
            assert!(reply.headers.is_empty() && reply.trailers.is_empty());
        }
        let reply = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out(""));
        assert_eq!(reply.await.expect("an answer").message, "");
    });
}

#[test]
fn server_streaming() {
    run(async {
        let pair = pair();
        let head = CallHead::new("/test.Echo/Count");
        let mut call = pair.connection.open(head, messages(vec!["3"]));
        let all = collect(&mut call).await.expect("ends well");
        assert_eq!(all, [0, 1, 2].map(|n| format!("{n:040}")));
        assert!(call.trailers().is_some());
        assert_eq!(next(&mut call).await, None);
    });
}

#[test]
fn a_stream_without_messages_ends_well() {
    run(async {
        let pair = pair();
        let head = CallHead::new("/test.Echo/Count");
        let mut call = pair.connection.open(head, messages(vec!["0"]));
        assert_eq!(collect(&mut call).await, Ok(vec![]));
    });
}

#[test]
fn client_streaming() {
    run(async {
        let pair = pair();
        let head = CallHead::new("/test.Echo/Collect");
        let mut call = pair
            .connection
            .open(head, messages(vec!["a", "", "b", "c"]));
        assert_eq!(collect(&mut call).await.expect("ends well"), ["abc"]);
    });
}

#[test]
fn bidirectional_in_lock_step() {
    run(async {
        let pair = pair();
        let (sender, receiver) = futures_channel::mpsc::unbounded();
        let head = CallHead::new("/test.Echo/Each");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        for text in ["one", "two", "three"] {
            sender.unbounded_send(Ok(out(text))).expect("still open");
            assert_eq!(next(&mut call).await, Some(Ok(Bytes::from(text))));
        }
        drop(sender);
        assert_eq!(next(&mut call).await, None);
    });
}

#[test]
fn a_hundred_calls_at_once() {
    run(async {
        let pair = pair();
        let calls = (0..100).map(|n| {
            let method = ["/test.Echo/Echo", "/test.Echo/Yield"][n % 2];
            pair.connection
                .unary(CallHead::new(method), out(n.to_string()))
        });
        let replies = futures_util::future::join_all(calls).await;
        for (n, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply.expect("an answer").message, n.to_string());
        }
    });
}

#[test]
fn sixteen_mebibytes_go_both_ways() {
    run(async {
        let pair = pair();
        let message: Vec<u8> = (0..16 << 20).map(|n: u32| (n % 251) as u8).collect();
        let reply = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out(&message));
        assert!(reply.await.expect("an answer").message == message);

        let requests = stream::iter([Ok(out(&message))]);
        let head = CallHead::new("/test.Echo/Each");
        let mut call = pair.connection.open(head, Box::pin(requests));
        assert!(collect(&mut call).await.expect("ends well") == [message]);
    });
}

#[test]
fn metadata_travels_both_ways() {
    run(async {
        let pair = pair();
        let mut head = CallHead::new("/test.Echo/Metadata");
        head.metadata = metadata();
        let reply = pair.connection.unary(head, out("m")).await.expect("ok");
        assert_eq!(reply.headers, metadata());
        assert_eq!(reply.trailers, metadata());

        let mut head = CallHead::new("/test.Echo/Headers");
        head.metadata = metadata();
        let mut call = pair.connection.open(head, messages(vec!["m"]));
        let headers = std::future::poll_fn(|cx| call.poll_headers(cx).map(|h| h.cloned())).await;
        assert_eq!(headers, Ok(metadata()));
        assert_eq!(call.trailers(), None);
        assert_eq!(collect(&mut call).await.expect("ends well"), ["last"]);
        assert_eq!(call.trailers(), Some(&metadata()));
    });
}

#[test]
fn headers_come_before_the_first_message() {
    run(async {
        let pair = pair();
        let (sender, receiver) = futures_channel::mpsc::unbounded();
        let head = CallHead::new("/test.Echo/Each");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        // Nothing was sent, so no answer can be on its way.
        let headers = std::future::poll_fn(|cx| call.poll_headers(cx).map(|h| h.cloned())).await;
        assert_eq!(headers, Ok(Metadata::new()));
        drop(sender);
        assert_eq!(next(&mut call).await, None);
    });
}

#[test]
fn errors_keep_text_details_and_metadata() {
    run(async {
        let pair = pair();
        let error = pair
            .connection
            .unary(CallHead::new("/test.Echo/Fail"), out("x"))
            .await
            .expect_err("fails");
        assert_eq!(error, failure());
        assert!(!error.is_connection_lost());

        let head = CallHead::new("/test.Echo/FailStream");
        let mut call = pair.connection.open(head, messages(vec!["x"]));
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        assert_eq!(next(&mut call).await, Some(Err(failure())));
        assert_eq!(next(&mut call).await, None, "an error is told once");
        assert_eq!(call.trailers(), None);
    });
}

#[test]
fn unknown_methods_and_services_are_told_apart() {
    run(async {
        let pair = pair();
        for (path, text) in [
            ("/test.Echo/Nope", "unknown method Nope"),
            (
                "/test.Nope/Echo",
                "unknown service test.Nope; the services here are test.Echo",
            ),
        ] {
            let call = pair.connection.unary(CallHead::new(path), out("x"));
            let error = call.await.expect_err("fails");
            assert_eq!(error.code(), Code::Unimplemented);
            assert!(error.message().starts_with(text), "{error}");

            let mut call = pair
                .connection
                .open(CallHead::new(path), messages(vec!["x"]));
            let headers = std::future::poll_fn(|cx| call.poll_headers(cx).map(|h| h.cloned()));
            assert_eq!(
                headers.await.expect_err("fails").code(),
                Code::Unimplemented
            );
            let error = next(&mut call).await.expect("an error").expect_err("fails");
            assert_eq!(error.code(), Code::Unimplemented);
        }
        let call = pair.connection.unary(CallHead::new("no path"), out("x"));
        assert_eq!(call.await.expect_err("fails").code(), Code::Unimplemented);
    });
}

#[test]
fn the_size_limit_holds_in_all_four_places() {
    fn limited(client: usize, server: usize) -> support::Pair {
        let mut builder = PairBuilder::default();
        builder.client.max_message_size = client;
        builder.server.max_message_size = server;
        builder.build()
    }
    run(async {
        // Sent and received by the client, sent and received by the server.
        for (client, server, request) in [
            (10, 100, "a request of more than ten"),
            (100, 10, "a request of more than ten"),
        ] {
            let pair = limited(client, server);
            let call = pair
                .connection
                .unary(CallHead::new("/test.Echo/Echo"), out(request));
            let error = call.await.expect_err("too large");
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert!(error.message().contains("limit of 10 bytes"), "{error}");
            assert!(error.message().contains("max_message_size"), "{error}");
        }
        for (client, server) in [(39, 100), (100, 39)] {
            let pair = limited(client, server);
            let head = CallHead::new("/test.Echo/Count");
            let mut call = pair.connection.open(head, messages(vec!["2"]));
            let error = collect(&mut call).await.expect_err("too large");
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert!(error.message().contains("limit of 39 bytes"), "{error}");
            // The connection has not suffered.
            let call = pair
                .connection
                .unary(CallHead::new("/test.Echo/Echo"), out("small"));
            assert_eq!(call.await.expect("an answer").message, "small");
        }
        let pair = limited(40, 40);
        let head = CallHead::new("/test.Echo/Count");
        let mut call = pair.connection.open(head, messages(vec!["2"]));
        assert_eq!(collect(&mut call).await.expect("just fits").len(), 2);
    });
}

#[test]
fn a_panic_fails_its_call_only() {
    run(async {
        let pair = pair();
        let call = pair
            .connection
            .unary(CallHead::new("/test.Echo/Panic"), out("x"));
        let error = call.await.expect_err("panics");
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("over the edge"), "{error}");

        let head = CallHead::new("/test.Echo/PanicStream");
        let mut call = pair.connection.open(head, messages(vec!["x"]));
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        let error = next(&mut call)
            .await
            .expect("an error")
            .expect_err("panics");
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("over the edge"), "{error}");

        let call = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("alive"));
        assert_eq!(call.await.expect("an answer").message, "alive");
    });
}

#[test]
fn a_panic_leaves_an_error_record() {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    struct Errors(std::sync::Mutex<Vec<String>>);

    impl<S: tracing::Subscriber> Layer<S> for &'static Errors {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() == tracing::Level::ERROR {
                let mut fields = String::new();
                event.record(
                    &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                        fields.push_str(&format!("{field}={value:?} "));
                    },
                );
                self.0.lock().expect("no panic under the lock").push(fields);
            }
        }
    }

    let errors: &'static Errors = Box::leak(Box::new(Errors(std::sync::Mutex::default())));
    // The handler runs on the executor's threads, so the subscriber has to be everybody's.
    let subscriber = tracing_subscriber::registry().with(errors);
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    run(async {
        let pair = pair();
        let call = pair
            .connection
            .unary(CallHead::new("/test.Echo/Panic"), out("x"));
        call.await.expect_err("panics");
    });
    let errors = errors.0.lock().expect("no panic under the lock");
    assert!(
        errors
            .iter()
            .any(|e| e.contains("/test.Echo/Panic") && e.contains("over the edge")),
        "{errors:?}"
    );
}

#[test]
fn failing_or_panicking_requests_cancel_the_call() {
    run(async {
        let pair = pair();
        let requests = stream::iter([Ok(out("a")), Err(Status::data_loss("no more"))]);
        let head = CallHead::new("/test.Echo/Collect");
        let mut call = pair.connection.open(head, Box::pin(requests));
        assert_eq!(
            next(&mut call).await,
            Some(Err(Status::data_loss("no more")))
        );

        let requests = stream::iter(0..2).map(|n| {
            assert!(n == 0, "in the caller");
            Ok(out("a"))
        });
        let head = CallHead::new("/test.Echo/Collect");
        let mut call = pair.connection.open(head, Box::pin(requests));
        let error = next(&mut call)
            .await
            .expect("an error")
            .expect_err("panics");
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(
            error.message(),
            "the caller's stream of requests to /test.Echo/Collect panicked: in the caller"
        );
        // In a task, as the stream is not ready at once, and only when it is dropped.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("at its end");
            }
        }
        let bomb = Bomb;
        let requests = stream::once(async move {
            futures_util::future::poll_fn({
                let mut polled = false;
                move |cx| {
                    if std::mem::replace(&mut polled, true) {
                        return std::task::Poll::Ready(());
                    }
                    cx.waker().wake_by_ref();
                    std::task::Poll::Pending
                }
            })
            .await;
            Err(Status::data_loss("no more"))
        })
        .map(move |message| {
            let _kept = &bomb;
            message
        });
        let head = CallHead::new("/test.Echo/Collect");
        let mut call = pair.connection.open(head, Box::pin(requests));
        assert_eq!(
            next(&mut call).await,
            Some(Err(Status::data_loss("no more")))
        );
        let reply = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("on"));
        assert_eq!(reply.await.expect("an answer").message, "on");
    });
    use futures_util::StreamExt as _;
}

#[test]
fn an_authority_that_is_none_fails_the_calls_with_a_reason() {
    run(async {
        let mut builder = PairBuilder::default();
        builder.client.authority = "/tmp/plugin.sock".to_owned();
        let pair = builder.build();
        let call = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("x"));
        let error = call.await.expect_err("no authority");
        assert!(error.message().contains("/tmp/plugin.sock"), "{error}");
        assert_eq!(pair.connection.closed().await, error);
        drop(Arc::clone(&pair.serving));
    });
}

#[test]
fn messages_of_all_sizes_are_flushed() {
    run(async {
        let pair = pair();
        // The largest that are held back and put together with others, and the smallest and the
        // largest that are not.
        for size in [0, 8_000, 8_192, 9_000, 20_000, 65_000, 66_000, 300_000] {
            let message = vec![7; size];
            let call = pair
                .connection
                .unary(CallHead::new("/test.Echo/Echo"), out(&message));
            assert_eq!(call.await.expect("an answer").message, message, "{size}");
        }
    });
}
