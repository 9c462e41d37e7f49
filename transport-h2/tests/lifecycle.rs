//! How calls and connections end: deadlines, cancellation, drain, abort, loss.

mod support;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_channel::mpsc::UnboundedReceiver;
use futures_channel::oneshot;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{
    Call, CallHead, Code, ConnectionConfig, MessageStream, Status, Transport,
};
use outboard_transport_h2::H2;
use support::pipe::End;
use support::raw::{self, framed};
use support::service::{never, next, out, poll_once};
use support::{Event, PairBuilder, pair, run};

/// Long enough for every call here, so that only what a test does can end it.
const LATER: Duration = Duration::from_secs(600);

async fn until(events: &mut UnboundedReceiver<Event>, wanted: &Event) {
    while events.next().await.expect("handlers report") != *wanted {}
}

fn one(text: &str) -> MessageStream {
    Box::pin(stream::iter([Ok(out(text))]))
}

#[test]
fn a_unary_deadline_ends_both_sides() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let mut head = CallHead::new("/test.Echo/Hang");
        head.timeout = Some(Duration::from_millis(30));
        let started = Instant::now();
        let error = pair
            .connection
            .unary(head, out("x"))
            .await
            .expect_err("ends");
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(started.elapsed() >= Duration::from_millis(30));
        until(&mut events, &Event::Deadline(true)).await;
        until(&mut events, &Event::Dropped("Hang")).await;
    });
}

#[test]
fn a_streaming_deadline_ends_both_sides() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let mut head = CallHead::new("/test.Echo/HangStream");
        head.deadline = Some(Instant::now() + Duration::from_millis(50));
        let mut call = pair.connection.open(head, one("x"));
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        let error = next(&mut call).await.expect("an error").expect_err("ends");
        assert_eq!(error.code(), Code::DeadlineExceeded);
        until(&mut events, &Event::Dropped("HangStream")).await;
    });
}

#[test]
fn a_deadline_in_the_past_sends_nothing() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let mut head = CallHead::new("/test.Echo/Echo");
        head.deadline = Some(Instant::now());
        let error = pair
            .connection
            .unary(head, out("x"))
            .await
            .expect_err("late");
        assert_eq!(error.code(), Code::DeadlineExceeded);
        let head = CallHead::new("/test.Echo/Echo");
        pair.connection
            .unary(head, out("x"))
            .await
            .expect("in time");
        assert_eq!(events.next().await, Some(Event::Started("Echo")));
        assert_eq!(events.next().await, Some(Event::Deadline(false)));
        assert_eq!(events.next().await, Some(Event::Dropped("Echo")));
        drop(pair);
        assert_eq!(events.next().await, None, "the first call never arrived");
    });
}

#[test]
fn the_server_keeps_a_deadline_by_itself() {
    run(async {
        let (_serving, echo, end) = raw::server_and_end(support::ServerConfig::default());
        let mut events = echo.events();
        let mut sender = raw::raw_client(end).await;
        for method in ["Hang", "HangStream", "Ignore"] {
            let mut request = raw::request(method);
            let timeout = "30m".parse().expect("valid");
            request.headers_mut().insert("grpc-timeout", timeout);
            let (response, mut stream) = sender.send_request(request, false).expect("open");
            stream
                .send_data(framed(b"x"), method != "Ignore")
                .expect("open");
            let answer = raw::read_answer(response).await.expect("an answer");
            assert_eq!(answer.field("grpc-status"), "4", "{method}");
            until(&mut events, &Event::Dropped(method)).await;
        }
        let mut request = raw::request("Hang");
        let timeout = "0n".parse().expect("valid");
        request.headers_mut().insert("grpc-timeout", timeout);
        let answer = raw::call_raw(&mut sender, request, &[framed(b"x")]).await;
        assert_eq!(answer.expect("an answer").field("grpc-status"), "4");
    });
}

#[test]
fn deadlines_travel_rounded_up() {
    run(async {
        let (sender, mut timeouts) = futures_channel::mpsc::unbounded();
        let connection = raw::client_of(move |request, mut respond| {
            let timeout = request.headers().get("grpc-timeout").cloned();
            let _ = sender.unbounded_send(timeout);
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        });
        let mut head = CallHead::new("/a.B/C");
        let call = connection.unary(head.clone(), out("x"));
        assert_eq!(call.await.expect_err("reset").code(), Code::Unavailable);
        assert_eq!(timeouts.next().await, Some(None));
        head.timeout = Some(LATER);
        let _ = connection.unary(head, out("x")).await.expect_err("reset");
        let timeout = timeouts.next().await.flatten().expect("sent");
        let timeout = outboard_core::grpc::parse_timeout(timeout.as_bytes()).expect("valid");
        assert!(timeout <= LATER && timeout > LATER - Duration::from_secs(60));
    });
}

#[test]
fn dropping_a_call_drops_its_handler() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();

        let mut call = pair
            .connection
            .unary(CallHead::new("/test.Echo/Hang"), out("x"));
        assert!(poll_once(&mut call).await.is_none());
        until(&mut events, &Event::Started("Hang")).await;
        drop(call);
        until(&mut events, &Event::Dropped("Hang")).await;

        // While the handler sends, reads, and does neither.
        for (method, messages) in [
            ("HangStream", one("x")),
            ("Each", never()),
            ("Ignore", never()),
        ] {
            let path = format!("/test.Echo/{method}");
            let call = pair.connection.open(CallHead::new(path), messages);
            until(&mut events, &Event::Started(method)).await;
            drop(call);
            until(&mut events, &Event::Dropped(method)).await;
        }
    });
}

/// Requests that go on for ever after `first`, and what resolves when they are dropped.
fn watched(first: Vec<&'static str>) -> (MessageStream, oneshot::Receiver<()>) {
    let (dropped, gone) = oneshot::channel::<()>();
    let first = stream::iter(first.into_iter().map(|text| Ok(out(text))));
    let rest = stream::once(async move {
        let _dropped = dropped;
        std::future::pending().await
    });
    (Box::pin(first.chain(rest)), gone)
}

#[test]
fn dropping_a_call_drops_its_requests() {
    run(async {
        let pair = pair();
        let (requests, gone) = watched(vec![]);
        let call = pair
            .connection
            .open(CallHead::new("/test.Echo/Each"), requests);
        drop(call);
        gone.await.expect_err("dropped, never sent");
    });
}

#[test]
fn dropping_a_call_resets_the_stream_with_cancel() {
    run(async {
        let (sender, mut resets) = futures_channel::mpsc::unbounded();
        let (seen, mut requests) = futures_channel::mpsc::unbounded();
        let connection = raw::client_of(move |request, mut respond| {
            let (sender, seen) = (sender.clone(), seen.clone());
            support::TestRuntime::shared().spawn(Box::pin(async move {
                let _request = request;
                let _ = seen.unbounded_send(());
                let reset = poll_fn(|cx| respond.poll_reset(cx)).await;
                let _ = sender.unbounded_send(reset.expect("a reset"));
            }));
        });
        let mut call = connection.unary(CallHead::new("/a.B/C"), out("x"));
        assert!(poll_once(&mut call).await.is_none());
        requests.next().await.expect("a request");
        drop(call);
        assert_eq!(resets.next().await, Some(h2::Reason::CANCEL));

        let call = connection.open(CallHead::new("/a.B/C"), never());
        requests.next().await.expect("a request");
        drop(call);
        assert_eq!(resets.next().await, Some(h2::Reason::CANCEL));
    });
}

#[test]
fn an_early_answer_stops_the_requests_without_an_error() {
    run(async {
        let pair = pair();
        let (requests, gone) = watched(vec!["first"]);
        let head = CallHead::new("/test.Echo/First");
        let mut call = pair.connection.open(head, requests);
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        assert_eq!(next(&mut call).await, None);
        gone.await.expect_err("dropped, never sent");
    });
}

#[test]
fn an_early_answer_is_followed_by_a_reset_without_error() {
    run(async {
        let (_serving, _echo, mut end) = raw::server_and_end(support::ServerConfig::default());
        let block = raw::request_block(Some("localhost"), "/test.Echo/First");
        let mut bytes = raw::PREFACE.to_vec();
        bytes.extend(raw::Frame::new(raw::SETTINGS, 0, 0, []).encode());
        bytes.extend(raw::Frame::new(raw::HEADERS, 4, 1, block).encode());
        bytes.extend(raw::Frame::new(raw::DATA, 0, 1, &framed(b"one")[..]).encode());
        raw::send(&mut end, &bytes).await;
        let mut kinds = Vec::new();
        let reset = loop {
            let frame = raw::Frame::read(&mut end).await.expect("more frames");
            if frame.stream == 1 {
                kinds.push(frame.kind);
            }
            if frame.kind == raw::RST_STREAM {
                break frame;
            }
        };
        assert_eq!(
            kinds,
            [raw::HEADERS, raw::DATA, raw::HEADERS, raw::RST_STREAM]
        );
        assert_eq!(reset.payload, [0, 0, 0, 0], "NO_ERROR");
    });
}

#[test]
fn a_draining_client_finishes_its_calls() {
    run(async {
        let pair = pair();
        let (sender, receiver) = futures_channel::mpsc::unbounded();
        let head = CallHead::new("/test.Echo/Each");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        sender.unbounded_send(Ok(out("before"))).expect("open");
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("before"))));

        pair.connection.drain();
        let late = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("x"));
        let error = late.await.expect_err("too late");
        assert!(error.is_connection_lost(), "{error}");

        sender.unbounded_send(Ok(out("after"))).expect("open");
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("after"))));
        drop(sender);
        assert_eq!(next(&mut call).await, None);
        drop(call);
        assert!(pair.connection.closed().await.is_connection_lost());
        pair.serving.closed().await;

        // Whoever knows more of the end can still tell later calls.
        let status = Status::connection_lost("the plugin was shut down");
        pair.connection.abort(status.clone());
        let late = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("x"));
        assert_eq!(late.await.expect_err("closed"), status);
    });
}

/// A stream that cannot say farewell: its peer went first, as a TLS peer may.
struct Abrupt(End);

impl AsyncRead for Abrupt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, target)
    }
}

impl AsyncWrite for Abrupt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
}

#[test]
fn a_drained_connection_ends_well_though_its_stream_cannot_be_closed() {
    run(async {
        let runtime = support::TestRuntime::shared();
        let (near, far) = support::pipe(64 * 1024);
        let (_echo, router) = support::service::router();
        let config = support::ServerConfig::default();
        let _serving = H2::new().serve(&runtime, Box::new(far), router, config);
        let connection = H2::new().connect(&runtime, Box::new(Abrupt(near)), Default::default());
        let call = connection.unary(CallHead::new("/test.Echo/Echo"), out("x"));
        assert_eq!(call.await.expect("an answer").message, "x");
        connection.drain();
        let closed = connection.closed().await;
        assert!(
            closed.message().contains("this side has closed"),
            "{closed}"
        );
    });
}

#[test]
fn a_draining_server_finishes_its_calls() {
    run(async {
        let pair = pair();
        let (sender, receiver) = futures_channel::mpsc::unbounded();
        let head = CallHead::new("/test.Echo/Each");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        sender.unbounded_send(Ok(out("before"))).expect("open");
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("before"))));

        pair.serving.drain();
        // GOAWAY is on its way; until it is here, calls still reach the server.
        let error = loop {
            let late = pair
                .connection
                .unary(CallHead::new("/test.Echo/Echo"), out("x"));
            if let Err(error) = late.await {
                break error;
            }
        };
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.is_connection_lost(), "{error}");

        sender.unbounded_send(Ok(out("after"))).expect("open");
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("after"))));
        drop(sender);
        assert_eq!(next(&mut call).await, None);
        drop(call);
        pair.serving.closed().await;
        assert!(pair.connection.closed().await.is_connection_lost());
    });
}

#[test]
fn an_idle_server_drains_at_once() {
    run(async {
        let pair = pair();
        pair.serving.drain();
        pair.serving.closed().await;
        pair.connection.closed().await;

        // Even if nobody has connected.
        let (serving, _echo, _end) = raw::server_and_end(support::ServerConfig::default());
        serving.drain();
        serving.closed().await;
    });
}

#[test]
fn abort_fails_everything_with_its_status() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let mut unary = pair
            .connection
            .unary(CallHead::new("/test.Echo/Hang"), out("x"));
        assert!(poll_once(&mut unary).await.is_none());
        let mut call = pair
            .connection
            .open(CallHead::new("/test.Echo/Ignore"), never());
        until(&mut events, &Event::Started("Ignore")).await;

        let status = Status::connection_lost("the plugin was killed");
        pair.connection.abort(status.clone());
        pair.connection.abort(Status::internal("a second time"));
        assert_eq!(unary.await.expect_err("aborted"), status);
        assert_eq!(next(&mut call).await, Some(Err(status.clone())));
        let late = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("x"));
        assert_eq!(late.await.expect_err("closed"), status);
        let mut late = pair
            .connection
            .open(CallHead::new("/test.Echo/Each"), never());
        assert_eq!(next(&mut late).await, Some(Err(status.clone())));
        assert_eq!(pair.connection.closed().await, status);
        until(&mut events, &Event::Dropped("Ignore")).await;
        pair.serving.closed().await;
    });
}

#[test]
fn an_aborted_server_drops_its_handlers() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let mut unary = pair
            .connection
            .unary(CallHead::new("/test.Echo/Hang"), out("x"));
        assert!(poll_once(&mut unary).await.is_none());
        until(&mut events, &Event::Started("Hang")).await;
        pair.serving.abort();
        pair.serving.closed().await;
        until(&mut events, &Event::Dropped("Hang")).await;
        let error = unary.await.expect_err("aborted");
        assert!(error.is_connection_lost(), "{error}");
        assert_eq!(pair.connection.closed().await, error);
    });
}

#[test]
fn dropping_the_last_handle_closes() {
    run(async {
        let support::Pair {
            connection,
            channel,
            serving,
            ..
        } = pair();
        let mut unary = connection.unary(CallHead::new("/test.Echo/Hang"), out("x"));
        assert!(poll_once(&mut unary).await.is_none());
        drop(connection);
        let reply = channel
            .connection()
            .unary(CallHead::new("/test.Echo/Echo"), out("still"));
        assert_eq!(reply.await.expect("one handle left").message, "still");
        let closed = channel.connection().closed();
        drop(channel);
        let error = unary.await.expect_err("closed");
        assert!(error.is_connection_lost(), "{error}");
        assert_eq!(closed.await, error);
        serving.closed().await;
    });
}

#[test]
fn the_lost_hook_explains_once() {
    run(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let mut builder = PairBuilder::default();
        builder.client.lost = Some(Arc::new(move |cause: Status| {
            count.fetch_add(1, Ordering::SeqCst);
            assert!(cause.is_connection_lost());
            Box::pin(async { Status::connection_lost("the plugin exited with status 3") })
        }));
        let pair = builder.build();
        let mut events = pair.echo.events();
        let calls: Vec<_> = (0..3)
            .map(|_| {
                pair.connection
                    .unary(CallHead::new("/test.Echo/Hang"), out("x"))
            })
            .collect();
        let mut call = pair
            .connection
            .open(CallHead::new("/test.Echo/HangStream"), one("x"));
        assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
        let mut calls = join_all(calls);
        assert!(poll_once(&mut calls).await.is_none());
        until(&mut events, &Event::Started("Hang")).await;
        pair.serving.abort();
        for result in calls.await {
            let error = result.expect_err("lost");
            assert_eq!(error.message(), "the plugin exited with status 3");
        }
        let error = next(&mut call).await.expect("an error").expect_err("lost");
        assert_eq!(error.message(), "the plugin exited with status 3");
        let late = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("x"));
        assert_eq!(late.await.expect_err("lost"), error);
        assert_eq!(pair.connection.closed().await, error);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_call_that_is_cut_off_during_a_drain_is_told_why() {
    run(async {
        let mut builder = PairBuilder::default();
        builder.client.lost = Some(Arc::new(|_| {
            Box::pin(async { Status::connection_lost("the plugin was killed") })
        }));
        let pair = builder.build();
        let mut events = pair.echo.events();
        let mut unary = pair
            .connection
            .unary(CallHead::new("/test.Echo/Hang"), out("x"));
        assert!(poll_once(&mut unary).await.is_none());
        until(&mut events, &Event::Started("Hang")).await;
        pair.connection.drain();
        pair.serving.abort();
        let error = unary.await.expect_err("cut off");
        assert_eq!(error.message(), "the plugin was killed");
        assert_eq!(pair.connection.closed().await, error);
    });
}

#[test]
fn an_abort_does_not_wait_for_the_lost_hook() {
    run(async {
        let config = ConnectionConfig {
            lost: Some(Arc::new(|_| Box::pin(std::future::pending()))),
            ..ConnectionConfig::default()
        };
        let (connection, end) = raw::client_and_end(config);
        let mut call = connection.unary(CallHead::new("/a.B/C"), out("x"));
        assert!(poll_once(&mut call).await.is_none());
        drop(end);
        let status = Status::connection_lost("enough");
        connection.abort(status.clone());
        assert_eq!(call.await.expect_err("aborted"), status);
        assert_eq!(connection.closed().await, status);
    });
}

#[test]
fn a_lost_client_drops_the_handlers() {
    run(async {
        let (serving, echo, end) = raw::server_and_end(support::ServerConfig::default());
        let mut events = echo.events();
        let mut sender = raw::raw_client(end).await;
        let mut pending = Vec::new();
        for method in ["Hang", "HangStream", "Each", "Ignore"] {
            let (response, mut stream) = sender
                .send_request(raw::request(method), false)
                .expect("open");
            let unary_like = matches!(method, "Hang" | "HangStream");
            stream.send_data(framed(b"x"), unary_like).expect("open");
            pending.push((response, stream));
            until(&mut events, &Event::Started(method)).await;
        }
        pair_dropped(sender, pending);
        serving.closed().await;
        drop((serving, echo));
        let mut dropped = Vec::new();
        while let Some(event) = events.next().await {
            if let Event::Dropped(name) = event {
                dropped.push(name);
            }
        }
        dropped.sort_unstable();
        assert_eq!(dropped, ["Each", "Hang", "HangStream", "Ignore"]);
    });

    /// h2 closes the connection once nothing refers to it.
    fn pair_dropped<A, B>(sender: A, pending: B) {
        drop(pending);
        drop(sender);
    }
}

#[test]
fn a_call_of_a_connection_that_never_answers_can_be_given_up() {
    run(async {
        let (connection, end) = raw::client_and_end(ConnectionConfig::default());
        let mut head = CallHead::new("/a.B/C");
        head.timeout = Some(Duration::from_millis(20));
        let error = connection
            .unary(head, out("x"))
            .await
            .expect_err("no answer");
        assert_eq!(error.code(), Code::DeadlineExceeded);
        let mut call: Box<dyn Call> = connection.open(CallHead::new("/a.B/C"), never());
        drop(end);
        let error = next(&mut call).await.expect("an error").expect_err("lost");
        assert!(error.is_connection_lost(), "{error}");
    });
}
