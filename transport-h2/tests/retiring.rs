//! Connections that take no more calls while those they have go on.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::StreamExt as _;
use futures_util::io::AsyncWriteExt as _;
use h2::Reason;
use h2::server::SendResponse;
use outboard_core::rpc::{
    CallFailure, CallHead, Connection, ConnectionConfig, OutMessage, Reply, Transport as _, Untaken,
};
use outboard_transport_h2::H2;
use support::pipe::pipe;
use support::raw::{self, Adapter};
use support::service::{never, next, out, poll_once};
use support::{PairBuilder, TestRuntime, run};

type Tried = Result<Reply<Bytes>, CallFailure<OutMessage>>;

fn given_back(tried: Tried) -> Untaken<OutMessage> {
    match tried {
        Err(CallFailure::Untaken(untaken)) => *untaken,
        other => panic!("not given back: {other:?}"),
    }
}

fn head() -> CallHead {
    CallHead::new("/test.Echo/Echo")
}

/// Answers a call with this message.
fn answer(mut respond: SendResponse<Bytes>, message: &str) {
    let head = http::Response::builder().header("content-type", "application/grpc");
    let mut body = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    body.send_data(out(message).with_prefix(&[0, 0, 0, 0, 1]), false)
        .unwrap();
    let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
    body.send_trailers(trailers.into_iter().collect()).unwrap();
}

#[test]
fn a_connection_whose_stream_ids_are_used_up_goes_on_with_the_calls_it_has() {
    run(async {
        let pair = PairBuilder {
            // Three calls: 1, 3 and 5.
            h2: H2::new().last_stream(5),
            ..PairBuilder::default()
        }
        .build();
        let call = |method: &str| {
            let head = CallHead::new(format!("/test.Echo/{method}"));
            pair.connection.try_unary(head, out("x"))
        };
        let mut hanging = call("Hang");
        assert!(poll_once(&mut hanging).await.is_none());
        assert_eq!(call("Echo").await.unwrap().message, "x");
        assert!(!pair.connection.is_retiring());
        assert_eq!(call("Echo").await.unwrap().message, "x");
        // Its owner learns of it before a call meets it.
        pair.connection.retiring().await;
        assert!(pair.connection.is_retiring());
        let untaken = given_back(call("Echo").await);
        assert!(untaken.status.is_connection_lost(), "{:?}", untaken.status);
        assert!(untaken.status.message().contains("2^30 calls"));
        assert_eq!(untaken.message.as_slice(), b"x");
        let refused = pair.connection.unary(head(), out("x")).await;
        assert_eq!(refused.expect_err("none is left"), untaken.status);
        assert!(poll_once(&mut hanging).await.is_none(), "it goes on");
        drop(hanging);
        pair.connection.closed().await;
        pair.serving.closed().await;
    });
}

#[test]
fn a_peer_that_says_goaway_is_believed_at_once_and_its_calls_go_on() {
    run(async {
        let (near, far) = pipe(64 * 1024);
        let (take, mut taken) = mpsc::unbounded();
        let runtime = TestRuntime::shared();
        runtime.spawn(Box::pin(async move {
            let mut server = h2::server::handshake(Adapter(far)).await.unwrap();
            while let Some(Ok((_, respond))) = server.accept().await {
                server.graceful_shutdown();
                take.unbounded_send(respond).unwrap();
            }
        }));
        let connection = H2::new().connect(&runtime, Box::new(near), ConnectionConfig::default());
        let mut call = connection.try_unary(head(), out("first"));
        assert!(poll_once(&mut call).await.is_none());
        let respond = taken.next().await.unwrap();
        connection.retiring().await;
        let untaken = given_back(connection.try_unary(head(), out("second")).await);
        assert_eq!(untaken.message.as_slice(), b"second");
        assert!(untaken.status.is_connection_lost());
        let back = connection.try_open(head(), never()).err().unwrap();
        assert_eq!(back.head.path, "/test.Echo/Echo");
        let mut failed = connection.open(head(), never());
        let status = next(&mut failed).await.unwrap().expect_err("not taken");
        assert!(status.is_connection_lost(), "{status}");
        answer(respond, "a");
        assert_eq!(call.await.unwrap().message, "a");
        assert!(connection.closed().await.is_connection_lost());
    });
}

#[test]
fn calls_that_a_goaway_leaves_out_are_given_back() {
    run(async {
        let (connection, mut end) = raw::client_and_end(ConnectionConfig::default());
        let mut call = connection.try_unary(head(), out("x"));
        assert!(poll_once(&mut call).await.is_none());
        // SETTINGS, then GOAWAY: last stream 0, NO_ERROR.
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        end.write_all(&settings).await.unwrap();
        end.write_all(&goaway).await.unwrap();
        end.flush().await.unwrap();
        assert_eq!(given_back(call.await).message.as_slice(), b"x");
        connection.retiring().await;
    });
}

#[test]
fn a_refused_stream_is_given_back_and_the_connection_goes_on() {
    run(async {
        let connection: Arc<dyn Connection> = raw::client_of(|_, mut respond| {
            respond.send_reset(Reason::REFUSED_STREAM);
        });
        let untaken = given_back(connection.try_unary(head(), out("x")).await);
        assert_eq!(untaken.message.as_slice(), b"x");
        assert!(!untaken.status.is_connection_lost());
        assert!(!connection.is_retiring());
        let reset = raw::client_of(|_, mut respond| respond.send_reset(Reason::INTERNAL_ERROR));
        let tried = reset.try_unary(head(), out("x")).await;
        assert!(matches!(tried, Err(CallFailure::Ended(_))), "{tried:?}");
    });
}

#[test]
fn a_call_that_was_begun_with_is_not_given_back() {
    run(async {
        let (connection, end) = raw::client_and_end(ConnectionConfig::default());
        let mut call = connection.try_unary(head(), out("x"));
        assert!(poll_once(&mut call).await.is_none());
        drop(end);
        let tried = call.await;
        let Err(CallFailure::Ended(status)) = tried else {
            panic!("{tried:?}");
        };
        assert!(status.is_connection_lost());
        connection.closed().await;
        assert_eq!(
            given_back(connection.try_unary(head(), out("y")).await)
                .message
                .as_slice(),
            b"y"
        );
    });
}

#[test]
fn a_peer_is_heard_of_once_it_has_sent_something() {
    run(async {
        let (connection, mut end) = raw::client_and_end(ConnectionConfig::default());
        let mut heard = connection.heard();
        assert!(poll_once(&mut heard).await.is_none());
        end.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        end.flush().await.unwrap();
        heard.await;
        let (silent, end) = raw::client_and_end(ConnectionConfig::default());
        let heard = silent.heard();
        drop(end);
        heard.await;
        silent.closed().await;
    });
}
