//! Tasks that a runtime drops, as it does when it is shut down.

use std::sync::Arc;

use outboard_core::rpc::{Connection, Status};
use outboard_kit::echo::{self, never};
use outboard_kit::{Echo, Spawned, TestRuntime};
use outboard_transports::Bench;

use crate::support::{dropped, failure_of, hanging, head, started, works};

/// A client, what it has spawned, and what it calls.
fn client(bench: &Bench) -> (Arc<dyn Connection>, Spawned, Arc<Echo>) {
    let [near, far] = bench.streams();
    let transport = bench.transport(None);
    let (runtime, spawned) = TestRuntime::that_drops(&bench.runtime);
    let (echo, router) = echo::router();
    // It serves until the other side is gone.
    drop(transport.serve(&bench.runtime, far, router, Default::default()));
    let connection = transport.connect(&runtime, near, Default::default());
    (connection, spawned, echo)
}

pub async fn a_call_whose_requests_are_sent_no_more_says_so(bench: Bench) {
    let (connection, spawned, echo) = client(&bench);
    let mut events = echo.events();
    works(&*connection).await;
    for method in ["Collect", "Each"] {
        let before = spawned.count();
        let mut call = connection.open(head(method), never());
        started(&mut events, method).await;
        assert_eq!(spawned.count(), before + 1);
        spawned.drop_since(before);
        let expected = Status::unavailable(
            "the task that sends the requests was dropped before it had sent all of them",
        );
        assert_eq!(failure_of(&mut call).await, expected);
        dropped(&mut events, method).await;
        works(&*connection).await;
    }
}

pub async fn a_runtime_that_is_shut_down_is_named(bench: Bench) {
    let (connection, spawned, echo) = client(&bench);
    let mut events = echo.events();
    works(&*connection).await;
    let unary = hanging(&*connection).await;
    let mut call = connection.open(head("Each"), never());
    started(&mut events, "Each").await;
    spawned.drop_since(0);
    let error = unary.await.expect_err("lost");
    assert!(error.is_connection_lost(), "{error}");
    assert_eq!(
        error.message(),
        "the connection is lost: the async runtime that drove it was shut down"
    );
    assert_eq!(failure_of(&mut call).await, error);
    assert_eq!(connection.closed().await, error);
    dropped(&mut events, "Each").await;
}

pub async fn a_handler_that_is_dropped_answers_with_an_error(bench: Bench) {
    let [near, far] = bench.streams();
    let transport = bench.transport(None);
    let (runtime, spawned) = TestRuntime::that_drops(&bench.runtime);
    let (echo, router) = echo::router();
    let _serving = transport.serve(&runtime, far, router, Default::default());
    let connection = transport.connect(&bench.runtime, near, Default::default());
    let mut events = echo.events();
    works(&*connection).await;
    let before = spawned.count();
    let call = hanging(&*connection).await;
    started(&mut events, "Hang").await;
    // It is given a task once it has been begun.
    spawned.more_than(before).await;
    spawned.drop_since(before);
    let expected = Status::unavailable("the handler was dropped before it had an answer");
    assert_eq!(call.await.expect_err("dropped"), expected);
    works(&*connection).await;
}
