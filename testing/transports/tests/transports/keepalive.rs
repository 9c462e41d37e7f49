//! Peers that are there and say nothing.

use std::time::Duration;

use outboard_core::rpc::{Code, Keepalive};
use outboard_core::rt::BoxFuture;
use outboard_kit::echo::{out, poll_once};
use outboard_transports::{Bench, Config};

use crate::support::{hanging, head, works, yield_now};

const KEEPALIVE: Keepalive = Keepalive::new(Duration::from_secs(10), Duration::from_secs(5));

/// Lets time pass until `end`.
async fn silence<T>(bench: &Bench, mut end: BoxFuture<'static, T>) -> T {
    loop {
        for _ in 0..20 {
            if let Some(value) = poll_once(&mut end).await {
                return value;
            }
            yield_now().await;
        }
        bench.advance(Duration::from_secs(1));
    }
}

pub async fn a_silent_peer_is_found_out_by_both_sides_with_keepalive(bench: Bench) {
    let pair = bench.pair_with(Config {
        keepalive: Some(KEEPALIVE),
        ..Config::default()
    });
    works(&*pair.connection).await;
    let call = hanging(&*pair.connection).await;
    pair.tear.freeze();
    let closed = silence(&bench, pair.connection.closed()).await;
    assert!(closed.is_connection_lost());
    assert!(closed.message().contains("keepalive ping"), "{closed}");
    assert_eq!(call.await.expect_err("lost"), closed);
    silence(&bench, pair.serving.closed()).await;
}

pub async fn without_keepalive_nobody_is_asked(bench: Bench) {
    let pair = bench.pair();
    works(&*pair.connection).await;
    pair.tear.freeze();
    for _ in 0..100 {
        bench.advance(Duration::from_secs(3_600));
        yield_now().await;
    }
    let mut closed = pair.connection.closed();
    assert!(poll_once(&mut closed).await.is_none());
}

pub async fn a_peer_that_has_never_said_anything_is_found_out_too(bench: Bench) {
    let (connection, _far) = bench.client(Config {
        keepalive: Some(KEEPALIVE),
        ..Config::default()
    });
    let call = hanging(&*connection).await;
    let closed = silence(&bench, connection.closed()).await;
    assert!(closed.is_connection_lost());
    assert!(closed.message().contains("keepalive ping"), "{closed}");
    assert_eq!(call.await.expect_err("lost"), closed);
}

pub async fn a_peer_that_answers_pings_may_take_its_time(bench: Bench) {
    const LIMIT: Duration = Duration::from_secs(3_600);
    let pair = bench.pair_with(Config {
        keepalive: Some(KEEPALIVE),
        ..Config::default()
    });
    let mut within = head("Hang");
    within.timeout = Some(LIMIT);
    let mut call = pair.connection.unary(within, out("x"));
    assert!(poll_once(&mut call).await.is_none());
    works(&*pair.connection).await;
    let mut passed = Duration::ZERO;
    while passed < LIMIT {
        assert!(poll_once(&mut call).await.is_none());
        for step in [KEEPALIVE.interval, KEEPALIVE.timeout] {
            bench.advance(step);
            passed += step;
            if bench.is_on_one_thread() {
                // Nothing comes but answers to pings.
                for _ in 0..20 {
                    yield_now().await;
                }
            } else {
                works(&*pair.connection).await;
            }
        }
    }
    assert_eq!(call.await.expect_err("late").code(), Code::DeadlineExceeded);
    works(&*pair.connection).await;
    // It is asked to the end, by both sides.
    pair.tear.freeze();
    let closed = silence(&bench, pair.connection.closed()).await;
    assert!(closed.message().contains("keepalive ping"), "{closed}");
    silence(&bench, pair.serving.closed()).await;
}
