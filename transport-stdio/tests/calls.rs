//! All kinds of calls between the two sides of a connection.

mod support;

use std::sync::Arc;

use futures_util::FutureExt as _;
use outboard_core::rpc::{CallHead, Code, ConnectionConfig, Status};
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::{MuxConfig, Settings};
use support::service::{out, router};
use support::{PairBuilder, pair, run};

#[test]
fn large_messages_pass_through_narrow_pipes_beside_small_calls() {
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
fn many_concurrent_calls_with_few_streams() {
    run(async {
        let config = MuxConfig {
            settings: Settings {
                max_streams: 16,
                ..Settings::LEAST
            },
            ..MuxConfig::default()
        };
        let pair = PairBuilder {
            capacity: 512,
            stdio: Stdio::new().limits(config),
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
            let mut urgent = head();
            urgent.urgent = true;
            let reply = pair.connection.unary(urgent, out(text)).await;
            assert_eq!(reply.expect("an answer").message, text);
        }
        assert!((&mut waits).now_or_never().is_none());
        drop(held);
        assert_eq!(waits.await.expect("an answer").message, "waits");
    });
}
