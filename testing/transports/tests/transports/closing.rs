//! How connections end in order: drain, abort, the last handle.

use std::sync::Arc;

use bytes::Bytes;
use futures_channel::mpsc;
use outboard_core::rpc::{
    Call, Channel, Code, Codec, DecodeError, OutMessage, Reply, Status, Streaming,
};
use outboard_kit::echo::{self, never, next, out};
use outboard_kit::shape::Abrupt;
use outboard_transports::{Bench, Config, Pair, Stream};

use crate::support::{all_dropped, collect, dropped, hanging, head, of_all_kinds, started, works};

/// A call in lock step that has begun.
async fn begun(
    pair: &Pair,
) -> (
    mpsc::UnboundedSender<Result<OutMessage, Status>>,
    Box<dyn Call>,
) {
    let (sender, receiver) = mpsc::unbounded();
    let mut call = pair.connection.open(head("Each"), Box::pin(receiver));
    sender.unbounded_send(Ok(out("before"))).expect("open");
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("before"))));
    (sender, call)
}

pub async fn a_draining_client_finishes_its_calls(bench: Bench) {
    let pair = bench.pair();
    let (sender, mut call) = begun(&pair).await;
    pair.connection.drain();
    let late = pair.connection.unary(head("Echo"), out("x")).await;
    let error = late.expect_err("too late");
    assert_eq!(error.code(), Code::Unavailable);
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
    let late = pair.connection.unary(head("Echo"), out("x")).await;
    assert_eq!(late.expect_err("closed"), status);
}

pub async fn a_drain_finishes_calls_that_have_yet_to_be_sent(bench: Bench) {
    let pair = bench.pair();
    let (sender, receiver) = mpsc::unbounded();
    let mut call = pair.connection.open(head("Collect"), Box::pin(receiver));
    pair.connection.drain();
    sender.unbounded_send(Ok(out("end"))).expect("open");
    drop(sender);
    assert_eq!(collect(&mut call).await.expect("finished"), ["end"]);
    drop(call);
    pair.connection.closed().await;
    pair.serving.closed().await;
}

pub async fn a_drained_connection_ends_well_though_its_stream_cannot_be_closed(bench: Bench) {
    let [near, far] = bench.streams();
    let transport = bench.transport(None);
    let (_echo, router) = echo::router();
    let _serving = transport.serve(&bench.runtime, far, router, Default::default());
    let near = Box::new(Abrupt(near));
    let connection = transport.connect(&bench.runtime, near, Default::default());
    works(&*connection).await;
    connection.drain();
    let closed = connection.closed().await;
    assert!(
        closed.message().contains("this side has closed"),
        "{closed}"
    );
}

pub async fn a_draining_server_finishes_its_calls(bench: Bench) {
    let pair = bench.pair();
    let (sender, mut call) = begun(&pair).await;
    pair.serving.drain();
    // The word of it is on its way; until it is here, calls still reach the server.
    let error = loop {
        let late = pair.connection.unary(head("Echo"), out("x")).await;
        if let Err(error) = late {
            break error;
        }
    };
    assert_eq!(error.code(), Code::Unavailable);
    // It is here, whatever told so.
    let late = pair.connection.unary(head("Echo"), out("x")).await;
    let error = late.expect_err("too late");
    assert!(error.is_connection_lost(), "{error}");

    sender.unbounded_send(Ok(out("after"))).expect("open");
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("after"))));
    drop(sender);
    assert_eq!(next(&mut call).await, None);
    drop(call);
    pair.serving.closed().await;
    assert!(pair.connection.closed().await.is_connection_lost());
}

pub async fn an_idle_server_drains_at_once(bench: Bench) {
    let pair = bench.pair();
    pair.serving.drain();
    pair.serving.closed().await;
    pair.connection.closed().await;
}

pub async fn a_server_that_nobody_has_called_drains_at_once(bench: Bench) {
    let (serving, _echo, mut near) = bench.server(Config::default());
    serving.drain();
    // Somebody is there, but has nothing to say, and where there is room, does not even read.
    if bench.on.stream != Stream::Slow {
        return serving.closed().await;
    }
    let mut heard = Vec::new();
    let reading = futures_util::AsyncReadExt::read_to_end(&mut near, &mut heard);
    let (read, ()) = futures_util::future::join(reading, serving.closed()).await;
    read.expect("what was sent can be read");
}

pub async fn abort_fails_everything_with_its_status(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let unary = hanging(&*pair.connection).await;
    let mut call = pair.connection.open(head("Ignore"), never());
    started(&mut events, "Ignore").await;

    let status = Status::connection_lost("the plugin was killed");
    pair.connection.abort(status.clone());
    pair.connection.abort(Status::internal("a second time"));
    assert_eq!(unary.await.expect_err("aborted"), status);
    assert_eq!(next(&mut call).await, Some(Err(status.clone())));
    assert_eq!(next(&mut call).await, None, "told once");
    let late = pair.connection.unary(head("Echo"), out("x")).await;
    assert_eq!(late.expect_err("closed"), status);
    let mut late = pair.connection.open(head("Each"), never());
    assert_eq!(next(&mut late).await, Some(Err(status.clone())));
    assert_eq!(pair.connection.closed().await, status);
    dropped(&mut events, "Ignore").await;
    pair.serving.closed().await;
}

pub async fn an_aborted_server_drops_its_handlers(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let unary = hanging(&*pair.connection).await;
    started(&mut events, "Hang").await;
    pair.serving.abort();
    pair.serving.closed().await;
    dropped(&mut events, "Hang").await;
    let error = unary.await.expect_err("aborted");
    assert!(error.is_connection_lost(), "{error}");
    assert_eq!(pair.connection.closed().await, error);
}

pub async fn dropping_the_last_handle_closes(bench: Bench) {
    let Pair {
        connection,
        serving,
        echo,
        ..
    } = bench.pair();
    let mut events = echo.events();
    let unary = hanging(&*connection).await;
    started(&mut events, "Hang").await;
    let _calls = of_all_kinds(&*connection, &mut events).await;
    let other = Arc::clone(&connection);
    drop(connection);
    works(&*other).await;
    let closed = other.closed();
    drop(other);
    let error = unary.await.expect_err("closed");
    assert!(error.is_connection_lost(), "{error}");
    assert_eq!(closed.await, error);
    serving.closed().await;
    drop((serving, echo));
    all_dropped(events, &["Each", "Echo", "Hang", "HangStream", "Ignore"]).await;
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Plain;

impl Codec<Bytes> for Plain {
    fn encode(message: &Bytes) -> OutMessage {
        out(message)
    }

    fn decode(bytes: Bytes) -> Result<Bytes, DecodeError> {
        Ok(bytes)
    }
}

pub async fn calls_of_a_channel_hold_its_connection_until_they_end(bench: Bench) {
    let pair = bench.pair();
    let channel = Channel::new(pair.connection);
    let (mut sender, requests) = Streaming::channel(1);
    let mut each: Streaming<Bytes> = channel.streaming(Plain, head("Each"), requests);
    drop(channel);
    for text in ["one", "two"] {
        sender.send(Bytes::from(text)).await.expect("it is read");
        assert_eq!(each.message().await, Ok(Some(Bytes::from(text))));
    }
    drop(sender);
    assert_eq!(each.message().await, Ok(None));
    // What is left of it holds nothing.
    pair.serving.closed().await;
    drop(each);

    let pair = bench.pair();
    let channel = Channel::new(pair.connection);
    let echo = channel.unary(Plain, head("Echo"), &Bytes::from("alone"));
    drop(channel);
    let reply: Reply<Bytes> = echo.await.expect("answered");
    assert_eq!(reply.message, "alone");
    pair.serving.closed().await;
}

pub async fn a_drained_connection_is_retiring(bench: Bench) {
    let pair = bench.pair();
    let (_sender, _call) = begun(&pair).await;
    assert!(!pair.connection.is_retiring());
    pair.connection.drain();
    pair.connection.retiring().await;
    assert!(pair.connection.is_retiring());
}
