//! How connections end, well or not, and what hostile peers can do.

mod support;

use std::sync::Arc;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, stream};
use outboard_core::rpc::Keepalive;
use outboard_core::rpc::{
    CallHead, Code, Connection, ConnectionConfig, Metadata, ServerConfig, Status, Transport,
};
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::frame::{Body, Frame, OpenHead, UNNUMBERED};
use outboard_transport_stdio::wire::{MuxConfig, Settings};
use support::service::{next, out, router};
use support::{Event, PairBuilder, TestRuntime, pair, pipe, run};

fn echo() -> CallHead {
    CallHead::new("/test.Echo/Echo")
}

fn hang() -> CallHead {
    CallHead::new("/test.Echo/Hang")
}

async fn hanging(
    connection: &Arc<dyn Connection>,
) -> impl Future<Output = Result<outboard_core::rpc::Reply<bytes::Bytes>, Status>> + use<> {
    let mut call = connection.unary(hang(), out(""));
    assert!(futures_util::poll!(&mut call).is_pending());
    call
}

#[test]
fn a_lost_connection_fails_calls_with_what_the_hook_says() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, far) = pipe(1_000);
        let config = ConnectionConfig {
            lost: Some(Arc::new(|status| {
                assert!(status.is_connection_lost());
                Box::pin(async { Status::connection_lost("the plugin exited with status 3") })
            })),
            ..ConnectionConfig::default()
        };
        let connection = Stdio::new().connect(&runtime, Box::new(near), config);
        let call = hanging(&connection).await;
        drop(far);
        let expected = Status::connection_lost("the plugin exited with status 3");
        assert_eq!(call.await.expect_err("lost"), expected);
        assert_eq!(connection.closed().await, expected);
        let later = connection.unary(echo(), out("")).await;
        assert_eq!(later.expect_err("lost"), expected);
    });
}

#[test]
fn handlers_end_when_the_connection_is_lost() {
    run(async {
        let pair = pair();
        let mut events = pair.echo.events();
        let call = hanging(&pair.connection).await;
        assert_eq!(events.next().await, Some(Event::Started("Hang")));
        assert_eq!(events.next().await, Some(Event::Deadline(false)));
        drop((pair.channel, pair.connection));
        assert!(call.await.expect_err("closed").is_connection_lost());
        assert_eq!(events.next().await, Some(Event::Dropped("Hang")));
        pair.serving.closed().await;
    });
}

#[test]
fn draining_the_server_finishes_calls_in_flight() {
    run(async {
        let pair = pair();
        let (mut requests, receiver) = futures_channel::mpsc::channel(4);
        let head = CallHead::new("/test.Echo/Each");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        requests.try_send(Ok(out("a"))).expect("room");
        assert_eq!(next(&mut call).await, Some(Ok("a".into())));
        pair.serving.drain();
        // The refusal comes with the other side's word, whichever is first.
        loop {
            match pair.connection.unary(echo(), out("")).await {
                Ok(_) => {}
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable);
                    break;
                }
            }
        }
        requests.try_send(Ok(out("b"))).expect("room");
        assert_eq!(next(&mut call).await, Some(Ok("b".into())));
        drop(requests);
        assert_eq!(next(&mut call).await, None);
        pair.serving.closed().await;
        assert!(pair.connection.closed().await.is_connection_lost());
    });
}

#[test]
fn draining_the_connection_finishes_its_calls() {
    run(async {
        let pair = pair();
        let (mut requests, receiver) = futures_channel::mpsc::channel(4);
        let head = CallHead::new("/test.Echo/Collect");
        let mut call = pair.connection.open(head, Box::pin(receiver));
        pair.connection.drain();
        let refused = pair.connection.unary(echo(), out("")).await;
        assert_eq!(refused.expect_err("draining").code(), Code::Unavailable);
        requests.try_send(Ok(out("end"))).expect("room");
        drop(requests);
        assert_eq!(next(&mut call).await, Some(Ok("end".into())));
        assert_eq!(next(&mut call).await, None);
        drop(call);
        pair.connection.closed().await;
        pair.serving.closed().await;
    });
}

#[test]
fn abort_fails_calls_with_the_status_given() {
    run(async {
        let pair = pair();
        let call = hanging(&pair.connection).await;
        pair.connection.abort(Status::aborted("enough"));
        assert_eq!(call.await.expect_err("aborted"), Status::aborted("enough"));
        let later = pair.connection.unary(echo(), out("")).await;
        assert_eq!(later.expect_err("aborted"), Status::aborted("enough"));
        pair.serving.closed().await;

        let pair = support::pair();
        let call = hanging(&pair.connection).await;
        pair.serving.abort();
        assert!(call.await.expect_err("lost").is_connection_lost());
        pair.serving.closed().await;
    });
}

#[test]
fn what_arrived_before_the_loss_is_delivered() {
    run(async {
        let pair = pair();
        let head = CallHead::new("/test.Echo/HangStream");
        let request = stream::iter([Ok(out("x"))]);
        let mut call = pair.connection.open(head, Box::pin(request));
        std::future::poll_fn(|cx| call.poll_headers(cx).map(|h| h.cloned()))
            .await
            .expect("headers");
        // A call after it comes back after it.
        pair.connection.unary(echo(), out("")).await.expect("reply");
        pair.serving.abort();
        pair.connection.closed().await;
        assert_eq!(next(&mut call).await, Some(Ok("first".into())));
        let lost = next(&mut call).await.expect("not over").expect_err("lost");
        assert!(lost.is_connection_lost());
    });
}

#[test]
fn a_silent_peer_is_found_out_only_with_keepalive() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, _far) = pipe(1_000);
        let stdio = Stdio::new().keepalive(Keepalive {
            interval: std::time::Duration::from_millis(20),
            timeout: std::time::Duration::from_millis(20),
        });
        let connection = stdio.connect(&runtime, Box::new(near), ConnectionConfig::default());
        let status = connection.closed().await;
        assert!(status.message().contains("keepalive ping"), "{status}");
        // A peer that lives answers.
        let pair = PairBuilder {
            stdio,
            ..PairBuilder::default()
        }
        .build();
        let mut head = hang();
        head.timeout = Some(std::time::Duration::from_millis(200));
        let error = pair.connection.unary(head, out("")).await;
        assert_eq!(error.expect_err("late").code(), Code::DeadlineExceeded);
        pair.connection.unary(echo(), out("")).await.expect("alive");
    });
}

/// Sends bytes to a server and gives all that it answers until it closes.
async fn hostile(bytes: Vec<u8>) -> Vec<u8> {
    let runtime = TestRuntime::shared();
    let (mut near, far) = pipe(1 << 20);
    let (_echo, router) = router();
    let serving = Stdio::new().serve(&runtime, Box::new(far), router, ServerConfig::default());
    near.write_all(&bytes).await.expect("written");
    near.flush().await.expect("written");
    serving.closed().await;
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.expect("read");
    answer
}

fn preface() -> Vec<u8> {
    let mut bytes = Vec::new();
    Settings::LEAST.encode(&mut bytes);
    bytes
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_why_and_cut_off() {
    run(async {
        let open = |stream, end| Frame::Open {
            stream,
            end,
            head: OpenHead {
                method: UNNUMBERED,
                path: Some("/test.Echo/Hang"),
                ..OpenHead::default()
            },
            body: Body::Inline(b""),
        };
        let cases: [(&str, Vec<Frame<'_>>); 6] = [
            ("still in use", vec![open(1, true), open(1, true)]),
            ("not open", vec![open(0x00ff_ffff, true)]),
            ("not open", vec![Frame::End { stream: 3 }]),
            (
                "after its end",
                vec![open(1, true), Frame::End { stream: 1 }],
            ),
            (
                "past 2^31",
                vec![Frame::ConnectionCredit { amount: u32::MAX }],
            ),
            (
                "no large message",
                vec![
                    open(1, true),
                    Frame::Grant {
                        stream: 1,
                        opener: true,
                    },
                ],
            ),
        ];
        for (expected, frames) in cases {
            let mut bytes = preface();
            for frame in &frames {
                frame.encode(&mut bytes);
            }
            let answer = hostile(bytes).await;
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let answer = hostile(b"Hello, world! I print to stdout.\n".to_vec()).await;
        assert!(String::from_utf8_lossy(&answer).contains("expected the outboard stdio preface"));
        let mut other = preface();
        other[8] = 2;
        let answer = hostile(other).await;
        assert!(String::from_utf8_lossy(&answer).contains("version 2"));
    });
}

#[test]
fn a_peer_that_never_reads_does_not_keep_us_from_reading() {
    run(async {
        let runtime = TestRuntime::shared();
        let (mut near, far) = pipe(4_096);
        let (_echo, router) = router();
        let limits = MuxConfig {
            settings: Settings {
                max_streams: 16,
                max_methods: 16,
                ..Settings::LEAST
            },
            ..MuxConfig::default()
        };
        let serving = Stdio::new().limits(limits).serve(
            &runtime,
            Box::new(far),
            router,
            ServerConfig::default(),
        );
        let mut bytes = preface();
        // Far more pings and cancels than there is room for answers.
        for _ in 0..20_000 {
            Frame::Ping { content: [1; 8] }.encode(&mut bytes);
            Frame::Cancel { stream: 5 }.encode(&mut bytes);
        }
        near.write_all(&bytes).await.expect("the server reads on");
        near.flush().await.expect("the server reads on");
        let mut open = Vec::new();
        for _ in 0..2 {
            Frame::Open {
                stream: 0,
                end: true,
                head: OpenHead {
                    method: UNNUMBERED,
                    path: Some("/test.Echo/Nope"),
                    ..OpenHead::default()
                },
                body: Body::Absent,
            }
            .encode(&mut open);
        }
        // Its answers cannot leave, so its second use of the stream is too early.
        near.write_all(&open).await.expect("written");
        near.flush().await.expect("written");
        drop(near);
        serving.closed().await;
    });
}

#[test]
fn unknown_frames_that_may_be_skipped_are() {
    run(async {
        let runtime = TestRuntime::shared();
        let (mut near, far) = pipe(1 << 20);
        let (_echo, router) = router();
        let _serving = Stdio::new().serve(&runtime, Box::new(far), router, ServerConfig::default());
        let mut bytes = preface();
        bytes.extend_from_slice(&[3, 0, 0, 0xf0, 9, 9, 9, 0xff, 1, 2, 3]);
        Frame::Ping {
            content: *b"are you?",
        }
        .encode(&mut bytes);
        near.write_all(&bytes).await.expect("written");
        near.flush().await.expect("written");
        let mut expected = Vec::new();
        Frame::Pong {
            content: *b"are you?",
        }
        .encode(&mut expected);
        let mut seen = Vec::new();
        while !seen.ends_with(&expected) {
            let mut byte = [0];
            near.read_exact(&mut byte).await.expect("still open");
            seen.extend_from_slice(&byte);
        }
    });
}

#[test]
fn a_name_that_is_too_long_fails_its_call_only() {
    run(async {
        let pair = pair();
        let path = format!("/test.Echo/{}", "x".repeat(2_000));
        let error = pair.connection.unary(CallHead::new(path), out("")).await;
        assert_eq!(error.expect_err("long").code(), Code::ResourceExhausted);
        let mut head = echo();
        let mut metadata = Metadata::new();
        metadata
            .insert_bin("x-bin", vec![0; 1 << 20])
            .expect("valid");
        head.metadata = metadata;
        let error = pair.connection.unary(head, out("")).await;
        assert_eq!(error.expect_err("large").code(), Code::ResourceExhausted);
        pair.connection.unary(echo(), out("")).await.expect("fine");
    });
}
