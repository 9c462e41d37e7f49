//! Streams of messages on their way to a transport.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use outboard_core::rpc::{OutMessage, Prost, Pump, Pumped, Status, Streaming};
use outboard_core::turn::Turn;

use crate::fake::{FakeStream, World};

fn out(text: &str) -> OutMessage {
    OutMessage::copy_from(text.as_bytes())
}

/// Messages of a function; `None` from it is the end.
struct Made<F>(F);

impl<F: FnMut() -> Option<Result<OutMessage, Status>> + Unpin> Stream for Made<F> {
    type Item = Result<OutMessage, Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Poll::Ready((self.0)())
    }
}

fn pump(messages: impl Stream<Item = Result<OutMessage, Status>> + Send + 'static) -> Pump {
    Pump::requests("/a.B/C".into(), Box::pin(messages))
}

/// Pumps in a task, and notes how that ended.
fn spawn(stream: &FakeStream, mut pump: Pump) {
    let mut outlet = stream.clone();
    let stream = stream.clone();
    let runtime = std::sync::Arc::clone(&stream.runtime);
    runtime.spawn(Box::pin(poll_fn(move |cx| {
        pump.poll(&mut outlet, &mut Turn::new(), cx).map(|ended| {
            stream.change(|line| line.log.push(format!("{ended:?}")));
        })
    })));
}

#[test]
fn messages_wait_for_room() {
    let world = World::new();
    let stream = FakeStream::new(&world);
    stream.change(|line| line.room = 1);
    let mut left = ["three", "two", "one"].to_vec();
    spawn(
        &stream,
        pump(Made(move || left.pop().map(|text| Ok(out(text))))),
    );
    world.run();
    assert_eq!(stream.log(), ["message one"]);
    let before = world.polls.load(Ordering::SeqCst);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.polls.load(Ordering::SeqCst), before, "it waits");
    stream.change(|line| line.room = 1);
    world.run();
    assert_eq!(stream.log(), ["message one", "message two"]);
    stream.change(|line| line.room = 9);
    world.run();
    let all = ["message one", "message two", "message three", "All"];
    assert_eq!(stream.log(), all);
}

#[test]
fn messages_without_end_let_others_have_their_turn() {
    let world = World::new();
    let stream = FakeStream::new(&world);
    spawn(&stream, pump(Made(|| Some(Ok(out("x"))))));
    for turn in 1..=3 {
        world.run_at_most(1);
        // Each costs its message and its byte.
        assert_eq!(stream.log().len(), turn * 205);
    }
    let large = FakeStream::new(&world);
    let kilobytes = "x".repeat(64 * 1024);
    spawn(&large, pump(Made(move || Some(Ok(out(&kilobytes))))));
    world.run_at_most(1);
    assert_eq!(large.log().len(), 8, "half a mebibyte");
}

#[test]
fn it_ends_when_the_call_does() {
    let world = World::new();
    let stream = FakeStream::new(&world);
    // Waiting for messages, and waiting for room.
    let (sender, messages) = Streaming::<()>::channel(1);
    spawn(&stream, pump(messages.into_messages(Prost)));
    let full = FakeStream::new(&world);
    full.change(|line| line.room = 0);
    spawn(&full, pump(Made(|| Some(Ok(out("x"))))));
    world.run();
    assert_eq!(world.tasks(), 2);
    stream.change(|line| line.gone = true);
    full.change(|line| line.gone = true);
    world.run();
    assert_eq!(
        (stream.log(), full.log()),
        (vec!["Gone".to_owned()], vec!["Gone".to_owned()])
    );
    assert_eq!(world.tasks(), 0);
    drop(sender);
}

#[test]
fn failures_come_after_what_was_sent() {
    let world = World::new();
    let stream = FakeStream::new(&world);
    let mut left = vec![Err(Status::aborted("enough")), Ok(out("one"))];
    spawn(&stream, pump(Made(move || left.pop())));
    world.run();
    let failed = Pumped::Failed(Status::aborted("enough"));
    assert_eq!(
        stream.log(),
        ["message one".to_owned(), format!("{failed:?}")]
    );

    let stream = FakeStream::new(&world);
    stream.change(|line| line.limit = Some(3));
    let mut left = ["never", "long", "one"].to_vec();
    spawn(
        &stream,
        pump(Made(move || left.pop().map(|text| Ok(out(text))))),
    );
    world.run();
    let failed = Pumped::Failed(Status::resource_exhausted("too large"));
    assert_eq!(
        stream.log(),
        ["message one".to_owned(), format!("{failed:?}")]
    );
}

#[test]
fn a_panic_is_a_failure_that_says_whose() {
    let world = World::new();
    let stream = FakeStream::new(&world);
    spawn(&stream, pump(Made(|| panic!("over the edge"))));
    world.run();
    let log = stream.log().concat();
    let expected = "the caller's stream of requests to /a.B/C panicked: over the edge";
    assert!(log.contains(expected), "{log}");
}

#[test]
fn exactly_one_is_not_none_and_not_two() {
    for (count, expected) in [
        (0, "without any"),
        (1, "All"),
        (2, "a second one followed"),
        (3, "a second one followed"),
    ] {
        let world = World::new();
        let stream = FakeStream::new(&world);
        let mut left = count;
        let messages = Made(move || {
            left = i32::checked_sub(left, 1).filter(|left| *left >= 0)?;
            Some(Ok(out("x")))
        });
        let pump = Pump::responses("/a.B/C".into(), Box::pin(messages)).exactly_one(true);
        spawn(&stream, pump);
        world.run();
        let last = stream.log().pop().unwrap_or_default();
        assert!(last.contains(expected), "{count}: {last}");
    }
}
