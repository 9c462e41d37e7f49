//! What the cases share.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{Call, CallHead, Connection, MessageStream, Metadata, Reply, Status};
use outboard_core::rt::BoxFuture;
use outboard_kit::Event;
use outboard_kit::echo::{never, next, out, poll_once};

/// A call of this method of the echo service.
pub fn head(method: &str) -> CallHead {
    CallHead::new(format!("/test.Echo/{method}"))
}

/// These messages, at once.
pub fn messages<const N: usize>(items: [&str; N]) -> MessageStream {
    Box::pin(stream::iter(items.map(|item| Ok(out(item)))))
}

/// Everything that comes.
pub async fn collect(call: &mut Box<dyn Call>) -> Result<Vec<Bytes>, Status> {
    let mut all = Vec::new();
    while let Some(message) = next(call).await {
        all.push(message?);
    }
    Ok(all)
}

/// What the next message is instead of one.
pub async fn failure_of(call: &mut Box<dyn Call>) -> Status {
    let next = next(call).await.expect("not over");
    next.expect_err("a failure")
}

/// The headers of the answer.
pub async fn headers(call: &mut Box<dyn Call>) -> Result<Metadata, Status> {
    poll_fn(|cx| call.poll_headers(cx).map(|headers| headers.cloned())).await
}

/// Proves that the connection still works.
pub async fn works(connection: &dyn Connection) {
    let call = connection.unary(head("Echo"), out("works"));
    assert_eq!(call.await.expect("the connection lives").message, "works");
}

/// Waits for this event.
pub async fn until(events: &mut UnboundedReceiver<Event>, wanted: &Event) {
    while events.next().await.expect("handlers report") != *wanted {}
}

/// Waits until a handler of this method was called.
pub async fn started(events: &mut UnboundedReceiver<Event>, method: &'static str) {
    until(events, &Event::Started(method)).await;
}

/// Waits until a handler of this method is gone.
pub async fn dropped(events: &mut UnboundedReceiver<Event>, method: &'static str) {
    until(events, &Event::Dropped(method)).await;
}

/// Calls of each kind of streams, none of which ends by itself: the first has one answer.
pub async fn of_all_kinds(
    connection: &dyn Connection,
    events: &mut UnboundedReceiver<Event>,
) -> Vec<Box<dyn Call>> {
    let mut calls = Vec::new();
    for (method, requests) in [
        ("HangStream", messages(["x"])),
        ("Each", never()),
        ("Ignore", never()),
    ] {
        calls.push(connection.open(head(method), requests));
        started(events, method).await;
    }
    calls
}

/// These handlers are all gone, each once, and so is everything else that reports.
pub async fn all_dropped(mut events: UnboundedReceiver<Event>, handlers: &[&str]) {
    let mut gone = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::Dropped(name) = event {
            gone.push(name);
        }
    }
    gone.sort_unstable();
    assert_eq!(gone, handlers);
}

/// Gives all other tasks a turn.
pub async fn yield_now() {
    let mut polled = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A unary call of a method that does not answer, polled once.
pub async fn hanging(
    connection: &dyn Connection,
) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
    let mut call = connection.unary(head("Hang"), out("x"));
    assert!(poll_once(&mut call).await.is_none());
    call
}

/// Panics when it is dropped.
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose, in a drop");
        }
    }
}
