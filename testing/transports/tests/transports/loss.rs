//! Connections that are lost: what calls are told, and what is still delivered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::join_all;
use outboard_core::rpc::{ConnectionConfig, LostHook, Status};
use outboard_kit::echo::{self, next, out, poll_once};
use outboard_kit::shape::Part;
use outboard_transports::{Bench, Config, Wire};

use crate::support::{
    all_dropped, dropped, failure_of, hanging, head, headers, messages, of_all_kinds, started,
    works, yield_now,
};

fn explained(lost: LostHook) -> Config {
    let mut client = ConnectionConfig::default();
    client.lost = Some(lost);
    Config {
        client,
        ..Config::default()
    }
}

pub async fn a_torn_stream_fails_the_calls_and_drops_the_handlers(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let unary = hanging(&*pair.connection).await;
    started(&mut events, "Hang").await;
    let mut calls = of_all_kinds(&*pair.connection, &mut events).await;
    // What has come by now is read before the end is told.
    assert_eq!(next(&mut calls[0]).await, Some(Ok(Bytes::from("first"))));
    pair.tear.tear();
    let error = unary.await.expect_err("lost");
    assert!(error.is_connection_lost(), "{error}");
    for call in &mut calls {
        assert_eq!(failure_of(call).await, error);
        assert_eq!(next(call).await, None, "told once");
    }
    let late = pair.connection.unary(head("Echo"), out("x")).await;
    assert_eq!(late.expect_err("lost"), error);
    assert_eq!(pair.connection.closed().await, error);
    pair.serving.closed().await;
    drop((pair, calls));
    all_dropped(events, &["Each", "Hang", "HangStream", "Ignore"]).await;
}

pub async fn the_lost_hook_explains_once(bench: Bench) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let pair = bench.pair_with(explained(Arc::new(move |cause: Status| {
        count.fetch_add(1, Ordering::SeqCst);
        assert!(cause.is_connection_lost());
        Box::pin(async { Status::connection_lost("the plugin exited with status 3") })
    })));
    let mut events = pair.echo.events();
    let mut call = pair.connection.open(head("HangStream"), messages(["x"]));
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
    let mut calls = join_all([(); 3].map(|()| pair.connection.unary(head("Hang"), out("x"))));
    assert!(poll_once(&mut calls).await.is_none());
    started(&mut events, "Hang").await;
    pair.serving.abort();
    for result in calls.await {
        let error = result.expect_err("lost");
        assert_eq!(error.message(), "the plugin exited with status 3");
    }
    let error = failure_of(&mut call).await;
    assert_eq!(error.message(), "the plugin exited with status 3");
    let late = pair.connection.unary(head("Echo"), out("x")).await;
    assert_eq!(late.expect_err("lost"), error);
    assert_eq!(pair.connection.closed().await, error);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

pub async fn a_lost_hook_that_panics_has_nothing_to_say(bench: Bench) {
    let hooks: [LostHook; 2] = [
        Arc::new(|_| panic!("at once")),
        Arc::new(|_| Box::pin(async { panic!("later") })),
    ];
    for lost in hooks {
        let pair = bench.pair_with(explained(lost));
        let mut events = pair.echo.events();
        let unary = hanging(&*pair.connection).await;
        started(&mut events, "Hang").await;
        pair.serving.abort();
        let error = unary.await.expect_err("cut off");
        assert!(error.is_connection_lost(), "{error}");
        match bench.on.wire {
            Wire::H2 => assert_eq!(error.message(), "the peer has closed the connection"),
            // It may or may not have been able to say why.
            Wire::Stdio => assert!(error.message().starts_with("the other side "), "{error}"),
        }
        assert_eq!(pair.connection.closed().await, error);
    }
}

pub async fn a_call_that_is_cut_off_during_a_drain_is_told_why(bench: Bench) {
    let pair = bench.pair_with(explained(Arc::new(|_| {
        Box::pin(async { Status::connection_lost("the plugin was killed") })
    })));
    let mut events = pair.echo.events();
    let unary = hanging(&*pair.connection).await;
    started(&mut events, "Hang").await;
    pair.connection.drain();
    pair.serving.abort();
    let error = unary.await.expect_err("cut off");
    assert_eq!(error.message(), "the plugin was killed");
    assert_eq!(pair.connection.closed().await, error);
}

pub async fn an_abort_does_not_wait_for_the_lost_hook(bench: Bench) {
    let pair = bench.pair_with(explained(Arc::new(|_| Box::pin(std::future::pending()))));
    let call = hanging(&*pair.connection).await;
    pair.tear.tear();
    let status = Status::connection_lost("enough");
    pair.connection.abort(status.clone());
    assert_eq!(call.await.expect_err("aborted"), status);
    assert_eq!(pair.connection.closed().await, status);
}

pub async fn calls_that_begin_while_the_loss_is_explained_are_told_too(bench: Bench) {
    let (explain, explanation) = oneshot::channel::<Status>();
    let (ask, asked) = oneshot::channel::<()>();
    let once = Mutex::new(Some((ask, explanation)));
    let pair = bench.pair_with(explained(Arc::new(move |status| {
        let taken = once.lock().expect("no panic").take();
        let (ask, explanation) = taken.expect("asked once");
        ask.send(()).expect("the case waits");
        Box::pin(async move { explanation.await.unwrap_or(status) })
    })));
    works(&*pair.connection).await;
    pair.tear.tear();
    asked.await.expect("asked");
    let mut streamed = pair.connection.open(head("Each"), messages(["x"]));
    let mut unary = pair.connection.unary(head("Echo"), out("x"));
    assert!(poll_once(&mut unary).await.is_none());
    assert!(
        poll_once(&mut Box::pin(next(&mut streamed)))
            .await
            .is_none()
    );
    let expected = Status::connection_lost("the plugin exited with status 3");
    explain.send(expected.clone()).expect("it is waited for");
    assert_eq!(next(&mut streamed).await, Some(Err(expected.clone())));
    assert_eq!(next(&mut streamed).await, None);
    assert_eq!(unary.await.expect_err("explained"), expected);
}

pub async fn a_lost_connection_says_so_before_anybody_knows_why(bench: Bench) {
    let pair = bench.pair_with(explained(Arc::new(|_| Box::pin(std::future::pending()))));
    works(&*pair.connection).await;
    assert!(!pair.connection.is_retiring());
    let mut retiring = pair.connection.retiring();
    assert!(poll_once(&mut retiring).await.is_none());
    pair.tear.tear();
    retiring.await;
    assert!(pair.connection.is_retiring());
    let mut closed = pair.connection.closed();
    assert!(poll_once(&mut closed).await.is_none());
    let tried = pair.connection.try_open(head("Each"), messages(["x"]));
    let gives_back = pair.connection.gives_back();
    assert_eq!(tried.is_err(), gives_back, "for another connection");
}

pub async fn what_arrived_before_the_loss_is_delivered(bench: Bench) {
    let pair = bench.pair();
    let mut call = pair.connection.open(head("HangStream"), messages(["x"]));
    headers(&mut call).await.expect("headers");
    // A call after it comes back after it.
    works(&*pair.connection).await;
    pair.serving.abort();
    pair.connection.closed().await;
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
    assert!(failure_of(&mut call).await.is_connection_lost());
}

pub async fn answers_are_read_also_after_a_write_has_failed(bench: Bench) {
    let [near, far] = bench.streams();
    let transport = bench.transport(None);
    let part = Part::default();
    let near = Box::new(part.around(near));
    let (echo, router) = echo::router();
    let _serving = transport.serve(&bench.runtime, far, router, Default::default());
    let connection = transport.connect(&bench.runtime, near, Default::default());
    let mut events = echo.events();
    works(&*connection).await;
    dropped(&mut events, "Echo").await;
    part.keep_back();
    let mut answered = connection.unary(head("Echo"), out("x"));
    assert!(poll_once(&mut answered).await.is_none());
    dropped(&mut events, "Echo").await;
    // Its answer comes, byte by byte at worst.
    for _ in 0..1_000 {
        yield_now().await;
    }
    assert!(poll_once(&mut answered).await.is_none());
    part.part();
    let mut late = connection.open(head("Each"), messages(["late"]));
    assert_eq!(answered.await.expect("answered").message, "x");
    let error = failure_of(&mut late).await;
    assert!(error.is_connection_lost(), "{error}");
}
