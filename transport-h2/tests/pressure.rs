//! Flow control, narrow pipes, slow readers, bursts of cancellations.

mod support;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::CallHead;
use outboard_transport_h2::H2;
use support::raw::{self, framed};
use support::service::out;
use support::{Event, Pair, PairBuilder, TestRuntime, run};

async fn echo(pair: &Pair, text: &str) {
    let call = pair
        .connection
        .unary(CallHead::new("/test.Echo/Echo"), out(text));
    assert_eq!(call.await.expect("the connection lives").message, text);
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
