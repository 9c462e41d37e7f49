//! Peers that are there and say nothing.

mod support;

use std::sync::Arc;
use std::time::Duration;

use outboard_core::rpc::{CallHead, Code, Connection, Keepalive, Transport};
use outboard_transport_h2::H2;
use support::pipe::{End, pipe};
use support::raw::{self, Frame};
use support::service::{self, out};
use support::{ServerConfig, TestRuntime, run};

const PING: u8 = 6;
const ACK: u8 = 1;

const SHORT: Duration = Duration::from_millis(20);

fn h2() -> H2 {
    H2::new().keepalive(Keepalive::new(SHORT, SHORT))
}

fn client(h2: &H2) -> (Arc<dyn Connection>, End) {
    let (near, far) = pipe(64 * 1024);
    let connection = h2.connect(&TestRuntime::shared(), Box::new(near), Default::default());
    (connection, far)
}

/// Reads the preface and says what a server has to say first.
async fn greet(end: &mut End) {
    let mut preface = [0; 24];
    futures_util::io::AsyncReadExt::read_exact(end, &mut preface)
        .await
        .expect("a preface");
    raw::send(end, &Frame::new(raw::SETTINGS, 0, 0, []).encode()).await;
}

#[test]
fn a_silent_server_is_asked_once_and_given_up() {
    run(async {
        let (connection, mut end) = client(&h2());
        let call = connection.unary(CallHead::new("/a.B/C"), out("x"));
        let peer = async {
            greet(&mut end).await;
            let mut pings = 0;
            while let Some(frame) = Frame::read(&mut end).await {
                pings += usize::from(frame.kind == PING && frame.flags & ACK == 0);
            }
            pings
        };
        let (ended, pings) = futures_util::future::join(call, peer).await;
        let status = ended.expect_err("nobody answers");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.is_connection_lost(), "{status}");
        assert!(status.message().contains("keepalive"), "{status}");
        assert_eq!(pings, 1);
        let closed = connection.closed().await;
        assert_eq!(closed.message(), status.message());
    });
}

#[test]
fn without_it_nobody_is_asked() {
    run(async {
        let (connection, mut end) = client(&H2::new());
        let _call = connection.unary(CallHead::new("/a.B/C"), out("x"));
        greet(&mut end).await;
        connection.abort(outboard_core::rpc::Status::cancelled("done"));
        while let Some(frame) = Frame::read(&mut end).await {
            assert_ne!(frame.kind, PING);
        }
    });
}

#[test]
fn a_silent_client_is_asked_once_and_given_up() {
    run(async {
        let (near, mut end) = pipe(64 * 1024);
        let (_echo, router) = service::router();
        let serving = h2().serve(
            &TestRuntime::shared(),
            Box::new(near),
            router,
            ServerConfig::default(),
        );
        raw::send(&mut end, raw::PREFACE).await;
        raw::send(&mut end, &Frame::new(raw::SETTINGS, 0, 0, []).encode()).await;
        let mut pings = 0;
        while let Some(frame) = Frame::read(&mut end).await {
            pings += usize::from(frame.kind == PING && frame.flags & ACK == 0);
        }
        assert_eq!(pings, 1);
        serving.closed().await;
    });
}
