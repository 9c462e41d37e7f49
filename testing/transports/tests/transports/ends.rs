//! How calls end: limits of time, callers that lose interest, handlers that panic.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use outboard_core::rpc::Code;
use outboard_kit::Event;
use outboard_kit::echo::{never, next, out, poll_once};
use outboard_transports::{Bench, Config};

use crate::support::{dropped, failure_of, hanging, head, messages, started, until, works};

const LIMIT: Duration = Duration::from_millis(30);

pub async fn a_unary_deadline_ends_both_sides(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let mut within = head("Hang");
    within.timeout = Some(LIMIT);
    let mut call = pair.connection.unary(within, out("x"));
    assert!(poll_once(&mut call).await.is_none());
    until(&mut events, &Event::Deadline(true)).await;
    bench.advance(LIMIT - Duration::from_millis(1));
    works(&*pair.connection).await;
    assert!(poll_once(&mut call).await.is_none(), "not yet");
    bench.advance(Duration::from_millis(1));
    let error = call.await.expect_err("late");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    dropped(&mut events, "Hang").await;
}

pub async fn a_streaming_deadline_ends_both_sides(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let mut within = head("HangStream");
    within.deadline = Some(bench.clock.now() + LIMIT);
    let mut call = pair.connection.open(within, messages(["x"]));
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
    bench.advance(LIMIT);
    let error = failure_of(&mut call).await;
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(next(&mut call).await, None, "told once");
    dropped(&mut events, "HangStream").await;
}

/// Of a call that has a timeout and a deadline, the earlier of both counts.
pub async fn the_earlier_limit_counts(bench: Bench) {
    let pair = bench.pair();
    for (timeout, deadline) in [(LIMIT, 2 * LIMIT), (2 * LIMIT, LIMIT)] {
        let mut within = head("Each");
        within.timeout = Some(timeout);
        within.deadline = Some(bench.clock.now() + deadline);
        let mut call = pair.connection.open(within, never());
        bench.advance(LIMIT);
        let error = failure_of(&mut call).await;
        assert_eq!(error.code(), Code::DeadlineExceeded);
    }
}

pub async fn a_limit_that_is_over_sends_nothing(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    for over in ["timeout", "deadline"] {
        let within = || {
            let mut head = head("Hang");
            match over {
                "timeout" => head.timeout = Some(Duration::ZERO),
                _ => head.deadline = Some(bench.clock.now()),
            }
            head
        };
        let error = pair.connection.unary(within(), out("x")).await;
        assert_eq!(error.expect_err("late").code(), Code::DeadlineExceeded);
        let mut call = pair.connection.open(within(), messages(["x"]));
        let error = failure_of(&mut call).await;
        assert_eq!(error.code(), Code::DeadlineExceeded);
    }
    works(&*pair.connection).await;
    assert_eq!(events.next().await, Some(Event::Started("Echo")));
    assert_eq!(events.next().await, Some(Event::Deadline(false)));
    assert_eq!(events.next().await, Some(Event::Dropped("Echo")));
    pair.connection
        .abort(outboard_core::rpc::Status::aborted("over"));
    pair.serving.closed().await;
    drop(pair);
    assert_eq!(events.next().await, None, "the others never arrived");
}

pub async fn dropping_a_call_drops_its_handler(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let call = hanging(&*pair.connection).await;
    started(&mut events, "Hang").await;
    drop(call);
    dropped(&mut events, "Hang").await;

    // While the handler sends, reads, and does neither.
    for (method, requests) in [
        ("HangStream", messages(["x"])),
        ("Each", never()),
        ("Ignore", never()),
    ] {
        let call = pair.connection.open(head(method), requests);
        started(&mut events, method).await;
        drop(call);
        dropped(&mut events, method).await;
    }
    let mut call = pair.connection.open(head("HangStream"), messages(["x"]));
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
    drop(call);
    dropped(&mut events, "HangStream").await;
    works(&*pair.connection).await;
}

/// A handler whose answer is one message, of a caller that goes on sending.
pub async fn a_handler_that_reads_hears_that_its_caller_is_gone(bench: Bench) {
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let call = pair.connection.open(head("Headers"), never());
    started(&mut events, "Headers").await;
    drop(call);
    // It was told, or dropped, as it came.
    loop {
        match events.next().await.expect("an event") {
            Event::Dropped("Headers") => break,
            Event::Failed(status) => assert_eq!(status.code(), Code::Cancelled),
            other => panic!("{other:?}"),
        }
    }
}

/// Many calls that are given up at once, with and without the peer having seen them.
pub async fn a_burst_of_cancellations_leaves_the_connection_alone(bench: Bench) {
    let pair = bench.pair();
    for _ in 0..10 {
        let calls = (0..bench.calls(300)).map(|_| pair.connection.unary(head("Hang"), out("x")));
        let mut calls = futures_util::future::join_all(calls);
        // Sends all of them, and takes all back before the server has looked.
        std::future::poll_fn(|cx| {
            assert!(std::pin::Pin::new(&mut calls).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(calls);
    }
    works(&*pair.connection).await;
}

/// Time passes while a peer says nothing.
pub async fn a_call_of_a_peer_that_never_answers_ends_in_time(bench: Bench) {
    let (connection, far) = bench.client(Config::default());
    let mut within = head("Echo");
    within.timeout = Some(LIMIT);
    let mut call = connection.unary(within, out("x"));
    assert!(poll_once(&mut call).await.is_none());
    bench.advance(LIMIT);
    let error = call.await.expect_err("no answer");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    let mut call = connection.open(head("Each"), never());
    drop(far);
    let error = failure_of(&mut call).await;
    assert!(error.is_connection_lost(), "{error}");
}
