//! All kinds of calls between the two sides of a connection.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use outboard_core::rpc::{
    Call, CallHead, Code, ConnectionConfig, MessageStream, Metadata, ServerConfig, Status,
};
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::{MuxConfig, Settings};
use support::service::{failure, next, out, router};
use support::{Event, PairBuilder, pair, run};

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
        .insert_bin("x-bytes-bin", vec![0, 1, 255])
        .expect("valid");
    metadata
}

#[test]
fn unary() {
    run(async {
        let pair = pair();
        for method in ["/test.Echo/Echo", "/test.Echo/Yield"] {
            for text in ["hello", ""] {
                let reply = pair.connection.unary(CallHead::new(method), out(text));
                let reply = reply.await.expect("an answer");
                assert_eq!(reply.message, text, "{method}");
                assert!(reply.headers.is_empty() && reply.trailers.is_empty());
            }
        }
    });
}

/// The reason for this transport: a lone call is one write each way.
#[test]
fn a_lone_unary_call_is_one_write_each_way() {
    run(async {
        let pair = pair();
        let call = || {
            pair.connection
                .unary(CallHead::new("/test.Echo/Echo"), out("hi"))
        };
        call().await.expect("an answer");
        let before = [pair.writes[0].get(), pair.writes[1].get()];
        for _ in 0..100 {
            call().await.expect("an answer");
        }
        assert_eq!(pair.writes[0].get() - before[0], 100);
        assert_eq!(pair.writes[1].get() - before[1], 100);
    });
}

#[test]
fn the_three_streaming_kinds() {
    run(async {
        let pair = pair();
        let open = |method: &'static str, items| {
            pair.connection.open(CallHead::new(method), messages(items))
        };
        let mut call = open("/test.Echo/Count", vec!["3"]);
        let all = collect(&mut call).await.expect("ends well");
        assert_eq!(all, [0, 1, 2].map(|n| format!("{n:040}")));
        assert!(call.trailers().is_some());
        assert_eq!(next(&mut call).await, None);
        let mut call = open("/test.Echo/Count", vec!["0"]);
        assert_eq!(collect(&mut call).await, Ok(vec![]));
        let mut call = open("/test.Echo/Collect", vec!["a", "b", "c", "d"]);
        assert_eq!(collect(&mut call).await.expect("ends well"), ["abcd"]);
        let mut call = open("/test.Echo/First", vec!["x", "y", "z"]);
        assert_eq!(collect(&mut call).await.expect("ends well"), ["x"]);
        let mut call = open("/test.Echo/Each", vec!["1", "2", "3"]);
        assert_eq!(
            collect(&mut call).await.expect("ends well"),
            ["1", "2", "3"]
        );
    });
}

/// As in gRPC: a method that takes one message gets one, whatever it answers with.
#[test]
fn calls_of_one_request_message_fail_with_any_other_number() {
    run(async {
        let pair = pair();
        for method in ["Echo", "Count"] {
            let path = format!("/test.Echo/{method}");
            for (count, late) in [(0, false), (2, false), (3, false), (0, true), (2, true)] {
                let now = stream::iter((0..count).map(|_| Ok(out("1"))));
                // Late, the end comes by itself.
                let requests: MessageStream = if late {
                    let mut polls = 0;
                    let end = stream::poll_fn(move |cx| {
                        polls += 1;
                        if polls < 3 {
                            cx.waker().wake_by_ref();
                            return std::task::Poll::Pending;
                        }
                        std::task::Poll::Ready(None)
                    });
                    Box::pin(now.chain(end))
                } else {
                    Box::pin(now)
                };
                let mut call = pair.connection.open(CallHead::new(path.clone()), requests);
                let status = collect(&mut call).await.expect_err("not one message");
                assert_eq!(status.code(), Code::Internal, "{method} {count} {late}");
                let text = format!(
                    "cardinality violation: {path} takes exactly one request message, and the \
                     caller sent none or several"
                );
                assert_eq!(status.message(), text);
            }
            let mut call = pair
                .connection
                .open(CallHead::new(path), messages(vec!["1"]));
            assert_eq!(collect(&mut call).await.expect("well").len(), 1);
        }
    });
}

#[test]
fn bidirectional_in_lock_step() {
    run(async {
        let pair = pair();
        let (mut requests, receiver) = futures_channel::mpsc::channel(1);
        let head = CallHead::new("/test.Echo/Each");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        for text in ["one", "two", "three"] {
            requests.try_send(Ok(out(text))).expect("room");
            let reply = next(&mut call).await.expect("not over").expect("a message");
            assert_eq!(reply, text);
        }
        drop(requests);
        assert_eq!(next(&mut call).await, None);
    });
}

#[test]
fn metadata_and_errors_travel() {
    run(async {
        let pair = pair();
        let mut head = CallHead::new("/test.Echo/Metadata");
        head.metadata = metadata();
        let reply = pair.connection.unary(head, out("m")).await;
        let reply = reply.expect("an answer");
        assert_eq!(
            (&reply.headers, &reply.trailers),
            (&metadata(), &metadata())
        );

        let mut head = CallHead::new("/test.Echo/Headers");
        head.metadata = metadata();
        let mut call = pair.connection.open(head, messages(vec!["a"]));
        let headers = std::future::poll_fn(|cx| call.poll_headers(cx).map(|h| h.cloned())).await;
        assert_eq!(headers, Ok(metadata()));
        assert_eq!(collect(&mut call).await.expect("ends well"), ["last"]);
        assert_eq!(call.trailers(), Some(&metadata()));

        let failed = pair
            .connection
            .unary(CallHead::new("/test.Echo/Fail"), out(""))
            .await;
        assert_eq!(failed.expect_err("fails"), failure());
        let head = CallHead::new("/test.Echo/FailStream");
        let mut call = pair.connection.open(head, messages(vec!["x"]));
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        assert_eq!(next(&mut call).await, Some(Err(failure())));
        assert_eq!(next(&mut call).await, None);

        for (path, text) in [
            ("/test.Echo/Nope", "unknown method Nope"),
            (
                "/test.Nope/X",
                "unknown service test.Nope; the services here are test.Echo",
            ),
        ] {
            let error = pair.connection.unary(CallHead::new(path), out("")).await;
            let error = error.expect_err("unknown");
            assert_eq!(error.code(), Code::Unimplemented);
            assert!(error.message().contains(text), "{error}");
        }
    });
}

#[test]
fn panics_become_internal_and_the_connection_lives_on() {
    run(async {
        let pair = pair();
        let error = pair
            .connection
            .unary(CallHead::new("/test.Echo/Panic"), out(""))
            .await;
        assert_eq!(error.expect_err("panics").code(), Code::Internal);
        let head = CallHead::new("/test.Echo/PanicStream");
        let mut call = pair.connection.open(head, messages(vec!["x"]));
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        let error = next(&mut call)
            .await
            .expect("not over")
            .expect_err("panics");
        assert_eq!(error.code(), Code::Internal);
        let reply = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("on"));
        assert_eq!(reply.await.expect("an answer").message, "on");
    });
}

#[test]
fn sixteen_mebibytes_both_ways_beside_small_calls() {
    run(async {
        for capacity in [16, 64 * 1024] {
            let size = if capacity == 16 { 300_000 } else { 16 << 20 };
            let pair = PairBuilder {
                capacity,
                ..PairBuilder::default()
            }
            .build();
            let big: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
            let head = || CallHead::new("/test.Echo/Echo");
            let large = pair.connection.unary(head(), out(&big));
            let small = async {
                for _ in 0..20 {
                    let reply = pair.connection.unary(head(), out("small")).await;
                    assert_eq!(reply.expect("an answer").message, "small");
                }
            };
            let (large, ()) = futures_util::future::join(large, small).await;
            assert!(large.expect("an answer").message == big);
        }
    });
}

#[test]
fn many_concurrent_calls_even_with_few_streams() {
    run(async {
        let config = MuxConfig {
            settings: Settings {
                max_streams: 16,
                max_methods: 16,
                ..Settings::LEAST
            },
            ..MuxConfig::default()
        };
        for (capacity, stdio) in [
            (64 * 1024, Stdio::new()),
            (512, Stdio::new().limits(config)),
        ] {
            let pair = PairBuilder {
                capacity,
                stdio,
                ..PairBuilder::default()
            }
            .build();
            let calls = (0..1_000).map(|n| {
                let text = format!("call {n}");
                let connection = Arc::clone(&pair.connection);
                async move {
                    let path = ["/test.Echo/Echo", "/test.Echo/Yield"][n % 2];
                    let reply = connection.unary(CallHead::new(path), out(&text)).await;
                    assert_eq!(reply.expect("an answer").message, text);
                }
            });
            futures_util::future::join_all(calls).await;
        }
    });
}

/// Frames as long as what is collected before a write: the numbers of streams are used again at
/// once.
#[test]
fn many_concurrent_calls_with_long_messages() {
    run(async {
        let pair = pair();
        let calls = (0..64u8).map(|n| {
            let connection = Arc::clone(&pair.connection);
            async move {
                for round in 0..20 {
                    let message = vec![n ^ round; 65_536];
                    let head = CallHead::new("/test.Echo/Echo");
                    let reply = connection.unary(head, out(&message)).await;
                    assert!(reply.expect("an answer").message == message);
                }
            }
        });
        futures_util::future::join_all(calls).await;
    });
}

#[test]
fn a_slow_reader_holds_up_its_sender_and_nobody_else() {
    run(async {
        let pair = pair();
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let endless = stream::repeat_with(move || {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(out([7; 10_000]))
        });
        let head = CallHead::new("/test.Echo/Ignore");
        let call = pair.connection.open(head, Box::pin(endless));
        let count = CallHead::new("/test.Echo/Count");
        let mut unread = pair.connection.open(count, messages(vec!["100000"]));
        for _ in 0..200 {
            let reply = pair
                .connection
                .unary(CallHead::new("/test.Echo/Echo"), out("x"));
            reply.await.expect("an answer");
        }
        // The stream's credit, what is queued, and what fills the pipe.
        let sent = sent.load(std::sync::atomic::Ordering::SeqCst);
        assert!(sent * 10_000 < 1_000_000, "{sent} messages were sent");
        drop(call);
        // Credit makes the other one go on to its end.
        assert_eq!(
            collect(&mut unread).await.expect("ends well").len(),
            100_000
        );
    });
}

#[test]
fn dropping_a_call_drops_its_handler() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let mut hang = pair
            .connection
            .unary(CallHead::new("/test.Echo/Hang"), out(""));
        assert!(futures_util::poll!(&mut hang).is_pending());
        assert_eq!(events.next().await, Some(Event::Started("Hang")));
        assert_eq!(events.next().await, Some(Event::Deadline(false)));
        drop(hang);
        assert_eq!(events.next().await, Some(Event::Dropped("Hang")));

        let head = CallHead::new("/test.Echo/HangStream");
        let mut call = pair.connection.open(head, messages(vec!["x"]));
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        assert_eq!(events.next().await, Some(Event::Started("HangStream")));
        drop(call);
        assert_eq!(events.next().await, Some(Event::Dropped("HangStream")));

        let head = CallHead::new("/test.Echo/Headers");
        let call = pair.connection.open(head, Box::pin(stream::pending()));
        assert_eq!(events.next().await, Some(Event::Started("Headers")));
        drop(call);
        // Its handler was told, or dropped, as it came.
        loop {
            match events.next().await.expect("an event") {
                Event::Dropped("Headers") => break,
                Event::Failed(status) => assert_eq!(status.code(), Code::Cancelled),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn deadlines_hold_on_both_sides() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let mut head = CallHead::new("/test.Echo/Hang");
        head.timeout = Some(Duration::from_millis(50));
        let error = pair.connection.unary(head, out("")).await;
        assert_eq!(error.expect_err("too late").code(), Code::DeadlineExceeded);
        assert_eq!(events.next().await, Some(Event::Started("Hang")));
        assert_eq!(events.next().await, Some(Event::Deadline(true)));
        assert_eq!(events.next().await, Some(Event::Dropped("Hang")));

        let mut head = CallHead::new("/test.Echo/Each");
        head.timeout = Some(Duration::from_millis(50));
        let mut call = pair.connection.open(head, Box::pin(stream::pending()));
        let error = next(&mut call).await.expect("not over").expect_err("late");
        assert_eq!(error.code(), Code::DeadlineExceeded);

        let mut head = CallHead::new("/test.Echo/Echo");
        head.timeout = Some(Duration::ZERO);
        let error = pair.connection.unary(head, out("")).await;
        assert_eq!(error.expect_err("too late").code(), Code::DeadlineExceeded);
    });
}

#[test]
fn messages_over_the_limit_fail_their_call_only() {
    run(async {
        let pair = PairBuilder {
            client: ConnectionConfig {
                max_message_size: 1_000_000,
                ..ConnectionConfig::default()
            },
            server: ServerConfig {
                max_message_size: 1_000,
            },
            ..PairBuilder::default()
        }
        .build();
        for len in [1_001, 200_000, 1_000_001] {
            let head = CallHead::new("/test.Echo/Echo");
            let error = pair.connection.unary(head, out(vec![0; len])).await;
            let error = error.expect_err("too large");
            assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
        }
        let head = CallHead::new("/test.Echo/Echo");
        let reply = pair.connection.unary(head, out(vec![0; 1_000])).await;
        assert_eq!(reply.expect("fits").message.len(), 1_000);
    });
}

#[test]
fn an_error_in_the_request_stream_ends_the_call_with_it() {
    run(async {
        let pair = pair();
        let (mut requests, receiver) = futures_channel::mpsc::channel(4);
        let head = CallHead::new("/test.Echo/Collect");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        requests.try_send(Ok(out("a"))).expect("room");
        requests
            .try_send(Err(Status::data_loss("torn")))
            .expect("room");
        let error = next(&mut call).await.expect("not over").expect_err("fails");
        assert_eq!(error, Status::data_loss("torn"));
    });
}

#[test]
fn brokered_channels_work_in_both_directions() {
    run(async {
        let pair = pair();
        let host = pair.connection.sub_channels().expect("inside the pipe");
        let plugin = pair.serving.sub_channels().expect("inside the pipe");
        let echo = || CallHead::new("/test.Echo/Echo");
        for (acceptor, dialler) in [(&host, &plugin), (&plugin, &host)] {
            let (_echo, router) = router();
            let serving = acceptor.accept(7, Arc::clone(&router)).expect("free");
            let error = acceptor.accept(7, router).expect_err("taken");
            assert_eq!(error.code(), Code::AlreadyExists);
            let dialled = dialler.dial(7, ConnectionConfig::default());
            let again = dialler.dial(7, ConnectionConfig::default());
            for connection in [&dialled, &again] {
                let reply = connection.unary(echo(), out("brokered")).await;
                assert_eq!(reply.expect("an answer").message, "brokered");
            }
            // Nobody serves this id.
            let nobody = dialler.dial(8, ConnectionConfig::default());
            let error = nobody.unary(echo(), out("")).await.expect_err("refused");
            assert_eq!(error.code(), Code::Unavailable);
            assert!(error.message().contains("channel 8"), "{error}");

            // Ending one dialled connection leaves the other alone.
            let mut hang = again.unary(CallHead::new("/test.Echo/Hang"), out(""));
            assert!(futures_util::poll!(&mut hang).is_pending());
            again.abort(Status::aborted("enough"));
            assert_eq!(hang.await.expect_err("aborted"), Status::aborted("enough"));
            assert_eq!(again.closed().await, Status::aborted("enough"));
            dialled.unary(echo(), out("")).await.expect("an answer");

            serving.drain();
            serving.closed().await;
            let error = dialled.unary(echo(), out("")).await.expect_err("stopped");
            assert_eq!(error.code(), Code::Unavailable);
        }
        // The main channel of the calling side is not served.
        let reply = pair.connection.unary(echo(), out("main")).await;
        assert_eq!(reply.expect("an answer").message, "main");
    });
}

#[test]
fn an_urgent_call_needs_no_free_stream() {
    run(async {
        let config = MuxConfig {
            settings: Settings {
                max_streams: 16,
                ..Settings::LEAST
            },
            ..MuxConfig::default()
        };
        let pair = PairBuilder {
            stdio: Stdio::new().limits(config),
            ..PairBuilder::default()
        }
        .build();
        let head = || CallHead::new("/test.Echo/Echo");
        let hang = || {
            pair.connection
                .unary(CallHead::new("/test.Echo/Hang"), out("x"))
        };
        let mut held: Vec<_> = (0..32).map(|_| hang()).collect();
        for call in &mut held {
            assert!(call.now_or_never().is_none());
        }
        let mut waits = pair.connection.unary(head(), out("waits"));
        assert!((&mut waits).now_or_never().is_none());
        for text in ["urgent", "urgent as well"] {
            let urgent = CallHead {
                urgent: true,
                ..head()
            };
            let reply = pair.connection.unary(urgent, out(text)).await;
            assert_eq!(reply.expect("an answer").message, text);
        }
        assert!((&mut waits).now_or_never().is_none());
        drop(held);
        assert_eq!(waits.await.expect("an answer").message, "waits");
    });
}
