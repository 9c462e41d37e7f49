//! Peers that take few calls at once.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::io::AsyncWriteExt as _;
use h2::server::SendResponse;
use outboard_core::rpc::{
    CallFailure, CallHead, Code, Connection, ConnectionConfig, Reply, Transport as _,
};
use outboard_transport_h2::H2;
use support::pipe::pipe;
use support::raw::{self, Adapter};
use support::service::{never, next, out, poll_once};
use support::{TestRuntime, run};

fn head() -> CallHead {
    CallHead::new("/test.Echo/Echo")
}

fn within(limit: Duration) -> CallHead {
    let mut head = head();
    head.timeout = Some(limit);
    head
}

/// A server that takes this many calls at once, and what it is to answer.
fn client_of(
    streams: u32,
) -> (
    Arc<dyn Connection>,
    mpsc::UnboundedReceiver<SendResponse<Bytes>>,
) {
    let (take, taken) = mpsc::unbounded();
    let mut server = h2::server::Builder::new();
    server.max_concurrent_streams(streams);
    let answer = move |_, respond| take.unbounded_send(respond).unwrap();
    let connection = raw::client_and_server(ConnectionConfig::default(), server, answer);
    (connection, taken)
}

fn answer(mut respond: SendResponse<Bytes>) {
    let mut body = respond.send_response(raw::response(), false).unwrap();
    body.send_data(raw::framed(b"answer"), false).unwrap();
    body.send_trailers(raw::trailers(&[("grpc-status", "0")]))
        .unwrap();
}

#[test]
fn what_the_peer_takes_is_known_once_it_has_said_so() {
    run(async {
        let (connection, mut end) = raw::client_and_end(ConnectionConfig::default());
        let mut early = connection.max_calls();
        assert!(poll_once(&mut early).await.is_none());
        // SETTINGS with one entry, in two pieces.
        end.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3])
            .await
            .unwrap();
        end.flush().await.unwrap();
        connection.heard().await;
        assert!(poll_once(&mut early).await.is_none());
        end.write_all(&[0, 0, 0, 2]).await.unwrap();
        end.flush().await.unwrap();
        assert_eq!(early.await, Some(2));
        assert_eq!(connection.max_calls().await, Some(2));

        let (unlimited, mut end) = raw::client_and_end(ConnectionConfig::default());
        end.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        end.flush().await.unwrap();
        assert_eq!(unlimited.max_calls().await, None);

        let (silent, end) = raw::client_and_end(ConnectionConfig::default());
        let unknown = silent.max_calls();
        drop(end);
        assert_eq!(unknown.await, None);
    });
}

#[test]
fn a_call_that_waits_for_a_stream_keeps_its_limit() {
    for streams in [0, 1] {
        run(async move {
            let (connection, mut taken) = client_of(streams);
            assert_eq!(connection.max_calls().await, Some(streams));
            let mut holder = connection.open(head(), never());
            let held = match streams {
                0 => None,
                _ => taken.next().await,
            };
            let limit = Duration::from_millis(20);
            let late = connection.unary(within(limit), out("x")).await;
            assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
            let mut late = connection.open(within(limit), never());
            let status = next(&mut late).await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::DeadlineExceeded);
            if let Some(held) = held {
                // What was given up meanwhile takes nothing from the next one.
                let mut waits = connection.unary(head(), out("x"));
                assert!(poll_once(&mut waits).await.is_none());
                answer(held);
                assert_eq!(next(&mut holder).await.unwrap().unwrap(), "answer");
                assert!(next(&mut holder).await.is_none());
                let answering = async {
                    // Those given up come as well, and are reset at once.
                    while let Some(respond) = taken.next().await {
                        answer_if_wanted(respond);
                    }
                };
                let waits = std::pin::pin!(waits);
                let answering = std::pin::pin!(answering);
                match futures_util::future::select(waits, answering).await {
                    futures_util::future::Either::Left((reply, _)) => {
                        assert_eq!(reply.unwrap().message, "answer");
                    }
                    futures_util::future::Either::Right(_) => panic!("the server ended"),
                }
            }
        });
    }
}

/// As [`answer`], to a call that may have been reset.
fn answer_if_wanted(mut respond: SendResponse<Bytes>) {
    let Ok(mut body) = respond.send_response(raw::response(), false) else {
        return;
    };
    let _ = body.send_data(raw::framed(b"answer"), false);
    let _ = body.send_trailers(raw::trailers(&[("grpc-status", "0")]));
}

#[test]
fn calls_that_come_before_the_settings_are_not_refused() {
    run(async {
        let (near, far) = pipe(64 * 1024);
        let runtime = TestRuntime::shared();
        let connection = H2::new().connect(&runtime, Box::new(near), ConnectionConfig::default());
        // All before the server has said a word.
        let mut calls: Vec<_> = (0..9)
            .map(|_| connection.try_unary(head(), out("x")))
            .collect();
        for call in &mut calls {
            assert!(poll_once(call).await.is_none());
        }
        runtime.spawn(Box::pin(async move {
            let mut server = h2::server::Builder::new();
            server.max_concurrent_streams(2);
            let mut server = server.handshake(Adapter(far)).await.unwrap();
            while let Some(Ok((_, respond))) = server.accept().await {
                answer(respond);
            }
        }));
        let replies: Vec<Result<Reply<Bytes>, CallFailure<_>>> = join_all(calls).await;
        for reply in replies {
            assert_eq!(reply.unwrap().message, "answer");
        }
    });
}

#[test]
fn messages_of_a_call_that_waits_are_sent_once_it_begins() {
    run(async {
        let (echo, mut bodies) = mpsc::unbounded();
        let mut server = h2::server::Builder::new();
        server.max_concurrent_streams(1);
        let answer = move |request: http::Request<h2::RecvStream>, mut respond: SendResponse<_>| {
            let stream = respond.send_response(raw::response(), false).unwrap();
            echo.unbounded_send((request.into_body(), stream)).unwrap();
        };
        let connection = raw::client_and_server(ConnectionConfig::default(), server, answer);
        assert_eq!(connection.max_calls().await, Some(1));
        let messages = || -> outboard_core::rpc::MessageStream {
            Box::pin(futures_util::stream::iter((0..3).map(|_| Ok(out("x")))))
        };
        let mut first = connection.open(head(), messages());
        let (body, mut stream) = bodies.next().await.unwrap();
        let mut second = connection.open(head(), messages());
        assert!(poll_once(&mut Box::pin(next(&mut second))).await.is_none());
        // The connection is at work meanwhile.
        for _ in 0..5 {
            stream.send_data(raw::framed(b"busy"), false).unwrap();
            assert_eq!(next(&mut first).await.unwrap().unwrap(), "busy");
        }
        stream
            .send_trailers(raw::trailers(&[("grpc-status", "0")]))
            .unwrap();
        assert!(next(&mut first).await.is_none());
        drop(body);
        let (mut body, _stream) = bodies.next().await.unwrap();
        let mut received = Vec::new();
        while let Some(data) = body.data().await {
            received.extend_from_slice(&data.unwrap());
        }
        assert_eq!(received, raw::framed(b"x").repeat(3));
    });
}
