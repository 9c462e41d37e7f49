//! The life of a call on the side that answers it.

use std::future::{pending, poll_fn, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use outboard_core::rpc::serving::{self, Incoming};
use outboard_core::rpc::{CallContext, Prost, Reply, Status, StreamReply, Streaming};
use outboard_core::rt::Runtime;
use outboard_core::turn::Turn;

use crate::fake::{FakeRequests, InWorld, lock};
use crate::service::{
    BOTH, GATHER, MANY, ONE, SERVICE, Setup, StreamAnswer, UnaryAnswer, done, each, echo, futures,
    out, reply_each, serve,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_requests_of_a_method_with_one_are_one() {
    for method in [ONE, MANY] {
        for late in [false, true] {
            for count in 0..=2 {
                let setup = serve(echo, each);
                let stream = setup.stream();
                let send = || {
                    (0..count).for_each(|_| stream.request("x"));
                    stream.end();
                };
                if late {
                    setup.start(&stream, method);
                    assert_eq!(setup.begun(), 0, "not before all is there");
                    send();
                    setup.world.run();
                } else {
                    send();
                    setup.start(&stream, method);
                }
                let log = done(&stream);
                let expected: &[&str] = match (method, count) {
                    (ONE, 1) => &["reply x"],
                    (_, 1) => &["headers 0", "message x", "finish"],
                    (_, 0) => &[
                        "fail INTERNAL: cardinality violation: expected one request message, but \
                           the requests ended without any; do both sides declare the method alike in \
                           the .proto?",
                    ],
                    _ => &[
                        "fail INTERNAL: cardinality violation: expected one request message, but \
                           a second one followed; do both sides declare the method alike in the \
                           .proto?",
                    ],
                };
                assert_eq!(log, expected, "{method} {count} {late}");
                assert_eq!(setup.begun(), usize::from(count == 1));
                assert_eq!(setup.world.tasks(), 0);
            }
        }
    }
}

#[test]
fn many_requests_may_be_any_number() {
    for count in 0..=3 {
        let setup = serve(echo, each);
        let stream = setup.stream();
        setup.start(&stream, BOTH);
        assert_eq!(setup.begun(), 1, "at once");
        (0..count).for_each(|_| stream.request("x"));
        stream.end();
        setup.world.run();
        let mut expected = vec!["headers 0"];
        expected.extend((0..count).map(|_| "message x"));
        expected.push("finish");
        assert_eq!(done(&stream), expected);
    }
}

#[test]
fn the_response_of_a_method_with_one_is_one() {
    for count in 0..=2 {
        let setup = serve(echo, each);
        let stream = setup.stream();
        (0..count).for_each(|_| stream.request("x"));
        stream.end();
        setup.start(&stream, GATHER);
        let log = done(&stream).concat();
        let expected = match count {
            0 => "one response message, but the call ended well without any",
            1 => "headers 0message xfinish",
            _ => "one response message, but a second one followed",
        };
        assert!(log.contains(expected), "{count}: {log}");
    }
}

#[test]
fn a_request_that_is_cut_is_told_and_nothing_begins() {
    let setup = serve(echo, each);
    let stream = setup.stream();
    stream.request("x");
    let cut = Incoming::Cut(Status::internal("cut off"));
    stream.change(|line| line.requests.push_back(cut));
    setup.start(&stream, ONE);
    assert_eq!(done(&stream), ["fail INTERNAL: cut off"]);
    assert_eq!(setup.begun(), 0);
}

const TOO_LATE: &str = "abort DEADLINE_EXCEEDED: the deadline passed before the call was done";

#[test]
fn a_deadline_ends_what_waits_for_its_request_or_its_handler() {
    let slow = |_| -> UnaryAnswer { Box::pin(pending()) };
    let silent = |_| -> StreamAnswer { Box::pin(pending()) };
    for (method, whole, begun) in [
        (ONE, false, 0),
        (ONE, true, 1),
        (MANY, false, 0),
        (MANY, true, 1),
        (GATHER, false, 1),
        (BOTH, true, 1),
    ] {
        let setup = serve(slow, silent);
        let stream = setup.stream();
        if whole {
            stream.request("x");
            stream.end();
        }
        setup.start_within(&stream, method, Some(SECOND));
        setup.world.advance(SECOND / 2);
        assert!(done(&stream).is_empty());
        setup.world.advance(SECOND / 2);
        assert_eq!(done(&stream), [TOO_LATE], "{method} {whole}");
        assert_eq!((setup.begun(), setup.world.tasks()), (begun, 0));
    }
}

#[test]
fn a_deadline_ends_a_stream_that_waits() {
    let setup = serve(echo, each);
    let stream = setup.stream();
    setup.start_within(&stream, BOTH, Some(SECOND));
    stream.request("x");
    setup.world.advance(SECOND);
    assert_eq!(done(&stream), ["headers 0", "message x", TOO_LATE]);
    // One without room, too.
    let stream = setup.stream();
    stream.change(|line| line.room = 0);
    stream.request("x");
    setup.start_within(&stream, BOTH, Some(SECOND));
    setup.world.advance(SECOND);
    assert_eq!(done(&stream), ["headers 0", TOO_LATE]);
    assert_eq!(setup.world.tasks(), 0);
}

#[test]
fn nothing_begins_after_its_deadline() {
    let setup = serve(echo, each);
    let none_left = serving::deadline(&InWorld(Arc::clone(&setup.world)), Some(Duration::ZERO));
    none_left.expect_err("nothing is left");
    let stream = setup.stream();
    setup.start_within(&stream, ONE, Some(SECOND));
    // The request and the deadline are found together.
    stream.request("x");
    stream.end();
    setup.world.pass(2 * SECOND);
    setup.world.run();
    assert_eq!(done(&stream), [TOO_LATE]);
    assert_eq!(setup.begun(), 0);
}

#[test]
fn an_answer_that_is_there_with_the_deadline_is_sent() {
    let go = Arc::new(Mutex::new(false));
    let also = Arc::clone(&go);
    let setup = serve(
        move |message| {
            let go = Arc::clone(&also);
            Box::pin(poll_fn(move |_| {
                if *lock(&go) {
                    Poll::Ready(Ok(Reply::new(out(&message))))
                } else {
                    Poll::Pending
                }
            }))
        },
        each,
    );
    let stream = setup.stream();
    stream.request("x");
    stream.end();
    setup.start_within(&stream, ONE, Some(SECOND));
    *lock(&go) = true;
    setup.world.advance(SECOND);
    assert_eq!(done(&stream), ["reply x"]);
}

/// Panics when it is dropped.
struct Bomb(Arc<AtomicBool>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        panic!("in drop");
    }
}

#[test]
fn panics_become_statuses_wherever_they_are() {
    let panicked =
        |path: &str, what: &str| format!("fail INTERNAL: the handler of {path} panicked: {what}");
    // In the call that makes the future, in the future, and in the stream.
    let setup = serve(|_| panic!("making"), |_| panic!("making"));
    for method in [ONE, MANY, GATHER, BOTH] {
        let stream = setup.stream();
        stream.request("x");
        stream.end();
        setup.start(&stream, method);
        let path = SERVICE.methods[method].path;
        assert_eq!(done(&stream), [panicked(path, "making")]);
    }
    let setup = serve(
        |_| Box::pin(poll_fn(|_| panic!("working"))),
        |_| Box::pin(poll_fn(|_| panic!("working"))),
    );
    for method in [ONE, BOTH] {
        let stream = setup.stream();
        stream.request("x");
        stream.end();
        setup.start(&stream, method);
        let path = SERVICE.methods[method].path;
        assert_eq!(done(&stream), [panicked(path, "working")]);
    }
    let setup = serve(echo, |_| {
        let mut first = true;
        let messages = futures(move |_| {
            assert!(std::mem::take(&mut first), "streaming");
            Poll::Ready(Some(Ok(out("x"))))
        });
        Box::pin(ready(Ok(StreamReply::new(messages))))
    });
    let stream = setup.stream();
    setup.start(&stream, BOTH);
    let log = [
        "headers 0".into(),
        "message x".into(),
        panicked("/t.T/Both", "streaming"),
    ];
    assert_eq!(done(&stream), log);
    // In what makes the trailers.
    let setup = serve(echo, |_| {
        let mut reply = StreamReply::new(futures(|_| Poll::Ready(None)));
        reply.trailers = Some(Box::new(|| panic!("trailing")));
        Box::pin(ready(Ok(reply)))
    });
    let stream = setup.stream();
    setup.start(&stream, BOTH);
    assert_eq!(
        done(&stream),
        ["headers 0".into(), panicked("/t.T/Both", "trailing")]
    );
    assert_eq!(setup.world.tasks(), 0);
}

#[test]
fn a_panic_in_the_drop_of_a_handler_is_its_own_affair() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let setup = serve(
        move |message| {
            let bomb = Bomb(Arc::clone(&flag));
            Box::pin(poll_fn(move |_| {
                let _held = &bomb;
                Poll::Ready(Ok(Reply::new(out(&message))))
            }))
        },
        each,
    );
    let stream = setup.stream();
    stream.request("x");
    stream.end();
    setup.start(&stream, ONE);
    assert_eq!(done(&stream), ["reply x"]);
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn a_call_that_is_given_up_is_dropped_and_not_polled_again() {
    let polls = Arc::new(AtomicUsize::new(0));
    let dropped = Arc::new(AtomicBool::new(false));
    let (count, flag) = (Arc::clone(&polls), Arc::clone(&dropped));
    let setup = serve(
        move |_| {
            let (count, held) = (Arc::clone(&count), Quiet(Arc::clone(&flag)));
            Box::pin(poll_fn(move |_| {
                let _held = &held;
                count.fetch_add(1, Ordering::SeqCst);
                Poll::Pending
            }))
        },
        each,
    );
    let stream = setup.stream();
    stream.request("x");
    stream.end();
    setup.start(&stream, ONE);
    let before = polls.load(Ordering::SeqCst);
    stream.change(|line| line.gone = true);
    setup.world.run();
    assert_eq!(polls.load(Ordering::SeqCst), before);
    assert!(dropped.load(Ordering::SeqCst));
    assert!(done(&stream).is_empty(), "there is nobody to tell");
    assert_eq!(setup.world.tasks(), 0);
}

struct Quiet(Arc<AtomicBool>);

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_runtime_that_shuts_down_explains_itself_and_a_caller_that_is_gone_gets_nothing() {
    let setup = serve(|_| Box::pin(pending()), |_| Box::pin(pending()));
    for method in [ONE, MANY, BOTH] {
        let stream = setup.stream();
        stream.request("x");
        stream.end();
        setup.start(&stream, method);
        setup.world.drop_tasks();
        let expected = "abort UNAVAILABLE: the handler was dropped before it had an answer";
        assert_eq!(done(&stream), [expected]);
    }
}

#[test]
fn responses_wait_for_room() {
    let setup = serve(echo, each);
    let stream = setup.stream();
    stream.change(|line| line.room = 1);
    for text in ["a", "b", "c"] {
        stream.request(text);
    }
    stream.end();
    setup.start(&stream, BOTH);
    assert_eq!(done(&stream), ["headers 0", "message a"]);
    stream.change(|line| line.room = 2);
    setup.world.run();
    let all = ["headers 0", "message a", "message b", "message c", "finish"];
    assert_eq!(done(&stream), all);
}

#[test]
fn headers_leave_before_the_first_message_is_there_and_failures_without_them() {
    let setup = serve(echo, each);
    let stream = setup.stream();
    setup.start(&stream, BOTH);
    assert_eq!(done(&stream), ["headers 0"], "some callers wait for them");
    let setup = serve(echo, |_| {
        let failing = Streaming::<()>::try_iter([Err(Status::not_found("nothing"))]);
        Box::pin(ready(Ok(StreamReply::new(failing.into_messages(Prost)))))
    });
    let stream = setup.stream();
    setup.start(&stream, BOTH);
    assert_eq!(done(&stream), ["fail NOT_FOUND: nothing"]);
    let setup = serve(echo, |call| {
        let mut reply = reply_each(call);
        reply.headers.insert("bad", "x").expect("valid");
        Box::pin(ready(Ok(reply)))
    });
    let stream = setup.stream();
    setup.start(&stream, BOTH);
    assert_eq!(done(&stream), ["fail RESOURCE_EXHAUSTED: bad headers"]);
}

#[test]
fn what_is_quick_is_polled_in_the_connection_and_what_is_not_is_apart() {
    let setup = serve(echo, each);
    let call = || {
        let stream = setup.stream();
        stream.request("x");
        stream.end();
        setup.start(&stream, ONE);
        stream.log()
    };
    assert_eq!(
        call(),
        ["leaves", "reply x"],
        "nobody knows how long it takes"
    );
    assert_eq!(setup.world.spawned_apart.load(Ordering::SeqCst), 1);
    assert_eq!(call(), ["reply x"], "the first was quick");
    assert_eq!(setup.world.spawned.load(Ordering::SeqCst), 1);

    let world = Arc::clone(&setup.world);
    let slow = serve(
        move |message| {
            world.pass(SECOND);
            echo(message)
        },
        each,
    );
    // Its clock is that of the first world.
    let slow = Setup {
        world: Arc::clone(&setup.world),
        ..slow
    };
    for apart in 2..=4 {
        let stream = slow.stream();
        stream.request("x");
        stream.end();
        slow.start(&stream, ONE);
        assert_eq!(stream.log(), ["leaves", "reply x"]);
        assert_eq!(slow.world.spawned_apart.load(Ordering::SeqCst), apart);
    }
}

#[test]
fn a_stream_in_the_connection_takes_no_more_than_the_turn() {
    let setup = serve(echo, |_| {
        let messages = futures(|_| Poll::Ready(Some(Ok(out("x")))));
        Box::pin(ready(Ok(StreamReply::new(messages))))
    });
    let route = setup.route(BOTH);
    route.pace.took(Duration::ZERO);
    let stream = setup.stream();
    let runtime = InWorld(Arc::clone(&setup.world));
    let mut context = CallContext::new(route.descriptor.path);
    context.deadline = Some(runtime.now() + SECOND);
    let requests = FakeRequests(stream.clone());
    let mut turn = Turn::new();
    serving::start(stream.clone(), requests, route, context, None, &mut turn);
    assert!(turn.is_over(), "the connection's turn, too");
    let log = stream.log();
    assert_eq!(log.last().map(String::as_str), Some("leaves"));
    assert_eq!(log.len(), 2 + 204);
    setup.world.pass(SECOND);
    setup.world.run();
    assert_eq!(stream.log().last().map(String::as_str), Some(TOO_LATE));
}
