//! Flow control, narrow pipes, slow readers, bursts of cancellations.

mod support;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{Call, CallHead, MessageStream, Status, Transport as _};
use outboard_transport_h2::H2;
use support::raw::{self, framed};
use support::service::{next, out};
use support::{Event, Pair, PairBuilder, TestRuntime, pair, pipe, run, service};

async fn collect(call: &mut Box<dyn Call>) -> Result<Vec<Bytes>, Status> {
    let mut all = Vec::new();
    while let Some(message) = next(call).await {
        all.push(message?);
    }
    Ok(all)
}

async fn echo(pair: &Pair, text: &str) {
    let call = pair
        .connection
        .unary(CallHead::new("/test.Echo/Echo"), out(text));
    assert_eq!(call.await.expect("the connection lives").message, text);
}

/// Opens a call that is answered with this many messages and waits for its headers only.
async fn paused(pair: &Pair, method: &str, count: u32) -> Box<dyn Call> {
    let request = stream::iter([Ok(out(count.to_string()))]);
    let head = CallHead::new(format!("/test.Echo/{method}"));
    let mut call = pair.connection.open(head, Box::pin(request));
    poll_fn(|cx| call.poll_headers(cx).map(|headers| headers.cloned()))
        .await
        .expect("headers");
    call
}

#[test]
fn a_paused_reader_of_small_messages_keeps_its_connection() {
    run(async {
        let pair = pair();
        let mut calls = Vec::new();
        for _ in 0..4 {
            calls.push(paused(&pair, "Count", 10_000).await);
        }
        // Answered after all that was sent before: 10,000 messages of 45 bytes fit the window.
        echo(&pair, "in between").await;
        for mut call in calls {
            let all = collect(&mut call).await.expect("ends well");
            assert_eq!(all.len(), 10_000);
            assert_eq!(all[9_999], format!("{:040}", 9_999));
        }
    });
}

#[test]
fn a_paused_reader_holds_no_more_than_its_window() {
    run(async {
        const WINDOW: usize = 100_000;
        let builder = PairBuilder {
            h2: H2::new().stream_window(100_000),
            ..PairBuilder::default()
        };
        let pair = builder.build();
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let requests = stream::iter(0..100_000).map(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(out([7; 95]))
        });
        // Nobody reads the requests.
        let mut events = pair.echo.events();
        let head = CallHead::new("/test.Echo/Ignore");
        let call = pair.connection.open(head, Box::pin(requests));
        while events.next().await != Some(Event::Started("Ignore")) {}
        for _ in 0..50 {
            echo(&pair, "sibling").await;
        }
        // One message may wait in hand and another be looked ahead to, on top of what h2 buffers
        // before it knows the window: HTTP/2 begins with 65,535 bytes.
        assert!(sent.load(Ordering::SeqCst) <= WINDOW / 100 + 2);
        drop(call);
        while events.next().await != Some(Event::Dropped("Ignore")) {}
    });
}

#[test]
fn paused_readers_do_not_stall_a_sibling() {
    run(async {
        const READERS: usize = 64;
        // 4 MiB each: more than a stream's window.
        const BLOCKS: u32 = 256;
        let pair = pair();
        let mut calls = Vec::new();
        for _ in 0..READERS {
            calls.push(paused(&pair, "Blocks", BLOCKS).await);
        }
        let large = vec![1; 1 << 20];
        for _ in 0..3 {
            let call = pair
                .connection
                .unary(CallHead::new("/test.Echo/Echo"), out(&large));
            assert_eq!(call.await.expect("an answer").message.len(), large.len());
        }
        drop(calls);
        // What the abandoned calls held is free again.
        let mut calls = Vec::new();
        for _ in 0..READERS {
            calls.push(paused(&pair, "Blocks", BLOCKS).await);
        }
        echo(&pair, "still there").await;
    });
}

/// Both sides send more than pipe, windows and buffers hold, and read only what they must.
fn both_ways(capacity: usize, messages: usize, size: usize) {
    run(async {
        let builder = PairBuilder {
            capacity,
            ..PairBuilder::default()
        };
        let pair = builder.build();
        let calls = (0..4).map(|_| {
            let payload = vec![3; size];
            let requests: MessageStream =
                Box::pin(stream::iter(0..messages).map(move |_| Ok(out(&payload))));
            let mut call = pair
                .connection
                .open(CallHead::new("/test.Echo/Each"), requests);
            async move { collect(&mut call).await }
        });
        for all in join_all(calls).await {
            let all = all.expect("ends well");
            assert_eq!(all.len(), messages);
            assert!(all.iter().all(|message| message.len() == size));
        }
    });
}

#[test]
fn both_sides_write_through_a_pipe_of_one_byte() {
    both_ways(1, 5, 700);
}

#[test]
fn both_sides_write_through_a_pipe_of_seven_bytes() {
    both_ways(7, 20, 1_500);
}

#[test]
fn both_sides_write_more_than_everything_holds() {
    both_ways(4096, 60, 100_000);
}

#[test]
fn a_window_smaller_than_a_message_only_slows_it() {
    run(async {
        let builder = PairBuilder {
            h2: H2::new().stream_window(1000).connection_window(65_535),
            ..PairBuilder::default()
        };
        let pair = builder.build();
        let large = vec![9; 300_000];
        let call = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out(&large));
        assert!(call.await.expect("an answer").message == large);
    });
}

#[test]
fn a_burst_of_cancellations_does_not_look_like_an_attack() {
    run(async {
        let pair = pair();
        for _ in 0..10 {
            let calls = (0..300).map(|_| {
                pair.connection
                    .unary(CallHead::new("/test.Echo/Hang"), out("x"))
            });
            let mut calls = join_all(calls);
            // Sends all of them, and takes all back before the server has looked.
            poll_fn(|cx| {
                assert!(std::pin::Pin::new(&mut calls).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(calls);
        }
        echo(&pair, "friends").await;
    });
}

#[test]
fn more_calls_than_the_peer_allows_wait_for_their_turn() {
    run(async {
        const ALLOWED: u32 = 2;
        let (active, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut server = h2::server::Builder::new();
        server.max_concurrent_streams(ALLOWED);
        let seen = Arc::clone(&most);
        let answer = move |request: http::Request<h2::RecvStream>, respond| {
            let mut respond: h2::server::SendResponse<Bytes> = respond;
            let now = active.fetch_add(1, Ordering::SeqCst) + 1;
            seen.fetch_max(now, Ordering::SeqCst);
            let active = Arc::clone(&active);
            // In a task, so that others can come before it is answered.
            TestRuntime::shared().spawn(Box::pin(async move {
                let mut body = request.into_body();
                while body.data().await.is_some() {}
                let mut stream = respond.send_response(raw::response(), false).expect("open");
                stream.send_data(framed(b"x"), false).expect("open");
                // Before the end, upon which the client may begin with the next call.
                active.fetch_sub(1, Ordering::SeqCst);
                let ok = raw::trailers(&[("grpc-status", "0")]);
                stream.send_trailers(ok).expect("open");
            }));
        };
        let connection = raw::client_and_server(Default::default(), server, answer);
        let call = || connection.unary(CallHead::new("/a.B/C"), out("x"));
        // With the answer the client knows how many it may make.
        call().await.expect("an answer");
        let mut calls = join_all((0..50).map(|_| call()));
        // All are made, and with them one that is given up before its turn.
        let mut given_up = call();
        poll_fn(|cx| {
            assert!(std::pin::Pin::new(&mut calls).poll(cx).is_pending());
            assert!(given_up.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(given_up);
        for reply in calls.await {
            assert_eq!(reply.expect("an answer").message, "x");
        }
        assert!(most.load(Ordering::SeqCst) <= ALLOWED as usize);
    });
}

#[test]
fn stream_errors_do_not_add_up_to_a_lost_connection() {
    run(async {
        // h2 closes a connection after 1,024 stream errors in its life unless told otherwise.
        const ERRORS: u32 = 1_100;
        let (_serving, _echo, mut end) = raw::server_and_end(support::ServerConfig::default());
        raw::send(&mut end, raw::PREFACE).await;
        raw::send(&mut end, &raw::Frame::new(raw::SETTINGS, 0, 0, []).encode()).await;
        let call = |stream, path| {
            let block = raw::request_block(Some("localhost"), path);
            let mut bytes = raw::Frame::new(raw::HEADERS, 4, stream, block).encode();
            bytes.extend(raw::Frame::new(raw::DATA, 1, stream, &framed(b"x")[..]).encode());
            bytes
        };
        for number in 0..ERRORS {
            let stream = 2 * number + 1;
            // A path is never empty.
            raw::send(&mut end, &call(stream, "")).await;
            let reset = raw::Frame::find(&mut end, &[raw::RST_STREAM], stream).await;
            assert!(reset.is_some(), "lost after {number} errors");
        }
        let stream = 2 * ERRORS + 1;
        raw::send(&mut end, &call(stream, "/test.Echo/Echo")).await;
        let data = raw::Frame::find(&mut end, &[raw::DATA], stream).await;
        assert_eq!(data.expect("an answer").payload, framed(b"x"));
    });
}

/// How many writes client and server make for `rounds` times `callers` calls at once, with caller,
/// client and server on one thread.
fn count_writes(rounds: usize, callers: usize) -> (usize, usize) {
    // A turn of a connection ends by time, too, and everything is slow here.
    let (runtime, executor) = TestRuntime::without_time();
    let (near, far) = pipe(1 << 20);
    let (client, server) = (near.write_count(), far.write_count());
    let (_echo, router) = service::router();
    let config = support::ServerConfig::default();
    let _serving = H2::new().serve(&runtime, Box::new(far), router, config);
    let config = outboard_core::rpc::ConnectionConfig::default();
    let connection = H2::new().connect(&runtime, Box::new(near), config);
    let call = || async {
        let calls = (0..callers)
            .map(|_| connection.unary(CallHead::new("/test.Echo/Echo"), out([5; 2000])));
        for reply in join_all(calls).await {
            reply.expect("an answer");
        }
    };
    run(executor.run(async {
        // Settings and their acknowledgements come with the first calls.
        for _ in 0..10 {
            call().await;
        }
        let before = (client.get(), server.get());
        for _ in 0..rounds {
            call().await;
        }
        (client.get() - before.0, server.get() - before.1)
    }))
}

#[test]
fn a_call_and_its_answer_take_one_write_each() {
    assert_eq!(count_writes(100, 1), (100, 100));
}

#[test]
fn what_is_ready_together_leaves_together() {
    // A write holds 64 KiB at most; 50 calls of 2 kB are twice that.
    let (client, server) = count_writes(10, 50);
    assert!(client <= 20, "client: {client}");
    assert!(server <= 20, "server: {server}");
}

#[test]
fn a_new_connection_sends_preface_settings_and_call_together() {
    run(async {
        let (connection, mut end) = raw::client_and_end(Default::default());
        let writes = {
            // Dropped calls would cancel: it is kept.
            let mut call = connection.unary(CallHead::new("/a.B/C"), out("x"));
            poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let mut preface = [0; 24];
            futures_util::io::AsyncReadExt::read_exact(&mut end, &mut preface)
                .await
                .expect("a preface");
            assert_eq!(preface, *raw::PREFACE);
            let settings = raw::Frame::read(&mut end).await.expect("settings");
            assert_eq!((settings.kind, settings.stream), (raw::SETTINGS, 0));
            let headers = raw::Frame::find(&mut end, &[raw::HEADERS], 1).await;
            assert!(headers.is_some());
            let data = raw::Frame::find(&mut end, &[raw::DATA], 1).await;
            let data = data.expect("the message");
            assert_eq!((data.payload, data.flags), (framed(b"x").to_vec(), 1));
            call
        };
        drop(writes);
    });
}
