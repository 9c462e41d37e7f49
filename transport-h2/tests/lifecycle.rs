//! How calls end on the wire: what is sent of deadlines and of calls that are given up.

mod support;

use std::future::poll_fn;
use std::time::Duration;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt as _;
use outboard_core::rpc::{CallHead, Code};
use support::raw::{self, framed};
use support::service::{never, out, poll_once};
use support::{Event, run};

/// Long enough for every call here, so that only what a test does can end it.
const LATER: Duration = Duration::from_secs(600);

async fn until(events: &mut UnboundedReceiver<Event>, wanted: &Event) {
    while events.next().await.expect("handlers report") != *wanted {}
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
