//! The life of a call on the side that makes it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use outboard_core::rpc::calling::{Answer, Begin, CallingStream, StreamingCall, Unary};
use outboard_core::rpc::guard::Deadline;
use outboard_core::rpc::{Call, CallHead, Code, Metadata, Reply, Status};
use outboard_core::rt::SharedRuntime;

use crate::fake::{InWorld, World, lock};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What comes of the other side, what was done, and who waits.
#[derive(Default)]
struct Line {
    headers: Option<Metadata>,
    answers: VecDeque<Answer>,
    begun: Option<Option<Duration>>,
    holds_back: bool,
    dropped: bool,
    wakers: Vec<Waker>,
}

#[derive(Clone)]
struct Wire {
    runtime: SharedRuntime,
    line: Arc<Mutex<Line>>,
}

impl Wire {
    fn new(world: &Arc<World>) -> Self {
        Self {
            runtime: Arc::new(InWorld(Arc::clone(world))),
            line: Arc::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Line)) {
        let wakers = {
            let mut line = lock(&self.line);
            change(&mut line);
            std::mem::take(&mut line.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn message(&self, text: &'static str) {
        let message = Answer::Message(Bytes::from_static(text.as_bytes()));
        self.change(|line| line.answers.push_back(message));
    }

    fn end(&self, ended: Result<Metadata, Status>) {
        self.change(|line| line.answers.push_back(Answer::End(ended)));
    }

    fn dropped(&self) -> bool {
        lock(&self.line).dropped
    }
}

/// The end of a [`Wire`] that a transport would offer.
struct Stream(Wire);

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.0.line).dropped = true;
    }
}

impl CallingStream for Stream {
    fn runtime(&self) -> &SharedRuntime {
        &self.0.runtime
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let mut line = lock(&self.0.line);
        if line.headers.is_some() {
            return Poll::Ready(Ok(()));
        }
        match line.answers.front() {
            Some(Answer::End(Err(status))) => Poll::Ready(Err(status.clone())),
            Some(_) => Poll::Ready(Ok(())),
            None => {
                line.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn take_headers(&mut self) -> Metadata {
        lock(&self.0.line).headers.take().unwrap_or_default()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut line = lock(&self.0.line);
        if let Some(next) = line.answers.pop_front() {
            return Poll::Ready(next);
        }
        line.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

struct Start(Wire);

impl Begin for Start {
    type Stream = Stream;

    fn runtime(&self) -> &SharedRuntime {
        &self.0.runtime
    }

    fn poll_begin(
        &mut self,
        left: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, Status>> {
        let mut line = lock(&self.0.line);
        if line.holds_back {
            line.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        assert!(line.begun.replace(left).is_none(), "begun twice");
        drop(line);
        Poll::Ready(Ok(Stream(self.0.clone())))
    }
}

fn metadata(name: &'static str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(name, "x").expect("valid");
    metadata
}

fn within(wire: &Wire, timeout: Option<Duration>) -> Deadline {
    let mut head = CallHead::new("/t.T/One");
    head.timeout = timeout;
    Deadline::of(wire.runtime.as_ref(), &head)
}

fn unary(wire: &Wire, timeout: Option<Duration>) -> Unary<Start> {
    Unary::new(Start(wire.clone()), within(wire, timeout))
}

fn poll(call: &mut Unary<Start>) -> Poll<Result<Reply<Bytes>, Status>> {
    pin!(call).poll(&mut Context::from_waker(Waker::noop()))
}

fn code<T: std::fmt::Debug>(polled: Poll<Result<T, Status>>) -> Code {
    match polled {
        Poll::Ready(Err(status)) => status.code(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_unary_call_has_one_response() {
    for count in 0..=2 {
        let wire = Wire::new(&World::new());
        let mut call = unary(&wire, None);
        assert!(lock(&wire.line).begun.is_none(), "not before it is polled");
        assert!(poll(&mut call).is_pending());
        assert_eq!(lock(&wire.line).begun, Some(None));
        wire.change(|line| line.headers = Some(metadata("h")));
        (0..count).for_each(|_| wire.message("x"));
        assert_eq!(
            poll(&mut call).is_pending(),
            count < 2,
            "not before the end"
        );
        if count == 2 {
            continue;
        }
        wire.end(Ok(metadata("t")));
        match (count, poll(&mut call)) {
            (1, Poll::Ready(Ok(reply))) => {
                assert_eq!(reply.message, "x");
                assert_eq!(
                    (reply.headers, reply.trailers),
                    (metadata("h"), metadata("t"))
                );
            }
            (0, polled) => assert_eq!(code(polled), Code::Internal),
            (_, polled) => panic!("{polled:?}"),
        }
        assert!(poll(&mut call).is_pending(), "polled after its end");
    }
    let wire = Wire::new(&World::new());
    wire.message("x");
    wire.message("y");
    let Poll::Ready(Err(status)) = poll(&mut unary(&wire, None)) else {
        panic!("two are one too many");
    };
    let expected = "expected one response message, but a second one followed";
    assert!(status.message().contains(expected), "{status}");
    assert!(wire.dropped(), "cancelled");
}

#[test]
fn time_counts_from_when_a_call_was_made() {
    let world = World::new();
    let wire = Wire::new(&world);
    let mut late = unary(&wire, Some(SECOND));
    world.pass(SECOND);
    assert_eq!(code(poll(&mut late)), Code::DeadlineExceeded);
    assert!(lock(&wire.line).begun.is_none(), "there is no time left");
    let mut call = unary(&wire, Some(SECOND));
    world.pass(SECOND / 4);
    assert!(poll(&mut call).is_pending());
    assert_eq!(lock(&wire.line).begun, Some(Some(SECOND * 3 / 4)));
}

#[test]
fn a_deadline_ends_a_call_wherever_it_is() {
    // It waits for an answer, or before it begins.
    for holds_back in [false, true] {
        let world = World::new();
        let wire = Wire::new(&world);
        wire.change(|line| line.holds_back = holds_back);
        let mut call = unary(&wire, Some(SECOND));
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        assert!(pin!(&mut call).poll(&mut cx).is_pending());
        world.advance(SECOND);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "the timer wakes it");
        assert_eq!(code(pin!(&mut call).poll(&mut cx)), Code::DeadlineExceeded);
        assert_eq!(wire.dropped(), !holds_back, "cancelled on the wire");
    }
    let world = World::new();
    let wire = Wire::new(&world);
    let mut cx = Context::from_waker(Waker::noop());
    let deadline = within(&wire, Some(SECOND));
    let mut call = StreamingCall::new(Stream(wire.clone()), deadline);
    assert!(call.poll_headers(&mut cx).is_pending());
    assert!(call.poll_message(&mut cx).is_pending());
    world.advance(SECOND);
    let headers = call.poll_headers(&mut cx).map_ok(Metadata::clone);
    assert_eq!(code(headers), Code::DeadlineExceeded);
    assert!(wire.dropped());
    let told = call.poll_message(&mut cx).map(Option::unwrap);
    assert_eq!(code(told), Code::DeadlineExceeded);
    assert!(matches!(call.poll_message(&mut cx), Poll::Ready(None)));
}

#[test]
fn an_answer_that_is_there_with_the_deadline_counts() {
    let world = World::new();
    let wire = Wire::new(&world);
    let mut call = unary(&wire, Some(SECOND));
    assert!(poll(&mut call).is_pending());
    world.pass(SECOND);
    wire.message("x");
    wire.end(Ok(Metadata::new()));
    assert!(matches!(poll(&mut call), Poll::Ready(Ok(_))));
}

#[test]
fn a_peer_that_keeps_the_deadline_too_may_cancel_first() {
    for (passes, expected) in [(false, Code::Cancelled), (true, Code::DeadlineExceeded)] {
        let world = World::new();
        let wire = Wire::new(&world);
        let mut call = unary(&wire, Some(SECOND));
        assert!(poll(&mut call).is_pending());
        let deadline = within(&wire, Some(SECOND));
        let mut streaming = StreamingCall::new(Stream(wire.clone()), deadline);
        if passes {
            world.pass(SECOND);
        }
        wire.end(Err(Status::cancelled("reset")));
        assert_eq!(code(poll(&mut call)), expected);
        wire.end(Err(Status::cancelled("reset")));
        let mut cx = Context::from_waker(Waker::noop());
        let told = streaming.poll_message(&mut cx).map(Option::unwrap);
        assert_eq!(code(told), expected);
    }
}

#[test]
fn headers_come_by_themselves_or_with_what_follows() {
    let mut cx = Context::from_waker(Waker::noop());
    let wire = Wire::new(&World::new());
    let mut call = StreamingCall::new(Stream(wire.clone()), Deadline::default());
    assert!(call.poll_headers(&mut cx).is_pending());
    wire.change(|line| line.headers = Some(metadata("h")));
    let is_h = |polled: Poll<Result<&Metadata, Status>>| {
        assert_eq!(
            polled.map_ok(Metadata::clone),
            Poll::Ready(Ok(metadata("h")))
        );
    };
    is_h(call.poll_headers(&mut cx));
    wire.message("x");
    assert_eq!(
        call.poll_message(&mut cx),
        Poll::Ready(Some(Ok(Bytes::from_static(b"x"))))
    );
    assert!(call.trailers().is_none());
    wire.end(Ok(metadata("t")));
    assert_eq!(call.poll_message(&mut cx), Poll::Ready(None));
    assert!(wire.dropped(), "let go as early as possible");
    is_h(call.poll_headers(&mut cx));
    assert_eq!(call.trailers(), Some(&metadata("t")));
    // Asked for only after the end.
    let wire = Wire::new(&World::new());
    let mut call = StreamingCall::new(Stream(wire.clone()), Deadline::default());
    wire.change(|line| line.headers = Some(metadata("h")));
    wire.end(Ok(Metadata::new()));
    assert_eq!(call.poll_message(&mut cx), Poll::Ready(None));
    is_h(call.poll_headers(&mut cx));
}

#[test]
fn an_error_is_told_once_and_to_who_asks_for_headers() {
    let mut cx = Context::from_waker(Waker::noop());
    let wire = Wire::new(&World::new());
    let mut call = StreamingCall::new(Stream(wire.clone()), Deadline::default());
    wire.end(Err(Status::not_found("none")));
    for _ in 0..2 {
        let headers = call.poll_headers(&mut cx).map_ok(Metadata::clone);
        assert_eq!(code(headers), Code::NotFound);
    }
    let told = call.poll_message(&mut cx).map(Option::unwrap);
    assert_eq!(code(told), Code::NotFound);
    assert_eq!(call.poll_message(&mut cx), Poll::Ready(None));
    assert!(call.trailers().is_none());
    let mut failed = StreamingCall::<Stream>::failed(Status::not_found("none"));
    let told = failed.poll_message(&mut cx).map(Option::unwrap);
    assert_eq!(code(told), Code::NotFound);
    assert_eq!(failed.poll_message(&mut cx), Poll::Ready(None));
}

#[test]
fn what_is_dropped_is_cancelled() {
    let wire = Wire::new(&World::new());
    let mut call = unary(&wire, None);
    assert!(poll(&mut call).is_pending());
    drop(call);
    assert!(wire.dropped());
    let wire = Wire::new(&World::new());
    drop(StreamingCall::new(
        Stream(wire.clone()),
        Deadline::default(),
    ));
    assert!(wire.dropped());
}

#[test]
fn a_call_without_a_limit_is_never_too_late() {
    let world = World::new();
    let wire = Wire::new(&world);
    let mut call = unary(&wire, None);
    world.pass(SECOND * 1_000_000);
    assert!(poll(&mut call).is_pending());
    world.pass(SECOND * 1_000_000);
    wire.message("x");
    wire.end(Ok(Metadata::new()));
    assert!(matches!(poll(&mut call), Poll::Ready(Ok(_))));
}
