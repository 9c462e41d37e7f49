//! What hostile and odd peers can do, and calls that no frame holds.

mod support;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::rpc::{CallHead, Code, ServerConfig, Transport};
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::frame::{Body, Frame, OpenHead};
use outboard_transport_stdio::wire::{MuxConfig, Settings};
use support::service::{out, router};
use support::{TestRuntime, pair, pipe, run};

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
                path: "/test.Echo/Hang",
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
        for version in [1, 3] {
            let mut other = preface();
            other[8] = version;
            let answer = hostile(other).await;
            let text = String::from_utf8_lossy(&answer).into_owned();
            let expected =
                format!("speaks version {version} of the stdio protocol, this side version 2");
            assert!(text.contains(&expected), "{text}");
        }
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
                    path: "/test.Echo/Nope",
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
        let echo = CallHead::new("/test.Echo/Echo");
        pair.connection.unary(echo, out("")).await.expect("fine");
    });
}
