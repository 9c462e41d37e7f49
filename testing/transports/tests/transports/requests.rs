//! What callers send: streams of requests that fail, panic, or are not wanted any more.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{Call, Code, MessageStream, OutMessage, Status};
use outboard_kit::echo::{next, out};
use outboard_transports::{Bench, Config};

use crate::support::{Bomb, failure_of, head, works};

/// A stream that is not ready at once, then does this.
fn later(
    mut then: impl FnMut() -> Option<Result<OutMessage, Status>> + Send + 'static,
) -> MessageStream {
    let mut polled = false;
    Box::pin(stream::poll_fn(move |cx| {
        if !std::mem::replace(&mut polled, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(then())
    }))
}

pub async fn a_failure_ends_the_call_with_it(bench: Bench) {
    let pair = bench.pair();
    let torn = || Status::data_loss("no more");
    let mut first = Some(out("a"));
    let requests: [MessageStream; 4] = [
        Box::pin(stream::iter([Err(torn())])),
        Box::pin(stream::iter([Ok(out("a")), Err(torn())])),
        later(move || Some(Err(torn()))),
        later(move || Some(first.take().ok_or_else(torn))),
    ];
    for requests in requests {
        let mut call = pair.connection.open(head("Collect"), requests);
        assert_eq!(next(&mut call).await, Some(Err(torn())));
        assert_eq!(next(&mut call).await, None, "told once");
    }
    works(&*pair.connection).await;
}

pub async fn a_panic_fails_the_call_and_is_named(bench: Bench) {
    let pair = bench.pair();
    let mut first = Some(out("a"));
    let requests: [MessageStream; 4] = [
        Box::pin(stream::poll_fn(|_| panic!("in the caller"))),
        Box::pin(stream::iter(0..2).map(|n| {
            assert!(n == 0, "in the caller");
            Ok(out("a"))
        })),
        later(|| panic!("in the caller")),
        later(move || Some(Ok(first.take().expect("in the caller")))),
    ];
    for requests in requests {
        let mut call = pair.connection.open(head("Collect"), requests);
        let error = failure_of(&mut call).await;
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(
            error.message(),
            "the caller's stream of requests to /test.Echo/Collect panicked: in the caller"
        );
    }
    works(&*pair.connection).await;
}

pub async fn a_panic_when_they_are_dropped_takes_nothing_along(bench: Bench) {
    let pair = bench.pair();
    // Ended by itself, by a failure, at once and later.
    for fails in [false, true] {
        for late in [false, true] {
            let end = move || fails.then(|| Err(Status::data_loss("no more")));
            let requests: MessageStream = if late {
                later(end)
            } else {
                Box::pin(stream::iter(end()))
            };
            let bomb = Bomb;
            let requests = requests.map(move |message| {
                let _kept = &bomb;
                message
            });
            let mut call = pair.connection.open(head("Collect"), Box::pin(requests));
            let expected = if fails {
                Err(Status::data_loss("no more"))
            } else {
                Ok(Bytes::new())
            };
            assert_eq!(next(&mut call).await, Some(expected), "{late}");
        }
    }
    works(&*pair.connection).await;
}

/// Requests that go on for ever after `first`, and what resolves when they are dropped.
fn watched(first: &'static [&'static str]) -> (MessageStream, oneshot::Receiver<()>) {
    let (dropped, gone) = oneshot::channel::<()>();
    let first = stream::iter(first.iter().map(|text| Ok(out(text))));
    let rest = stream::once(async move {
        let _dropped = dropped;
        std::future::pending().await
    });
    (Box::pin(first.chain(rest)), gone)
}

pub async fn dropping_a_call_drops_them(bench: Bench) {
    let pair = bench.pair();
    let (requests, gone) = watched(&[]);
    drop(pair.connection.open(head("Each"), requests));
    gone.await.expect_err("dropped, never sent");
}

pub async fn an_early_answer_stops_them_without_an_error(bench: Bench) {
    let pair = bench.pair();
    let (requests, gone) = watched(&["first"]);
    let mut call = pair.connection.open(head("First"), requests);
    assert_eq!(next(&mut call).await, Some(Ok(Bytes::from("first"))));
    assert_eq!(next(&mut call).await, None);
    gone.await.expect_err("dropped, never sent");
}

/// Messages of which none ever comes. Asking for the first ends the call they belong to.
struct Ending {
    call: Arc<Mutex<Option<Box<dyn Call>>>>,
    told: Option<oneshot::Sender<()>>,
}

impl futures_util::Stream for Ending {
    type Item = Result<OutMessage, Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let call = self.call.lock().expect("no panic").take();
        if call.is_none() && self.told.is_some() {
            // Not yet: this is the poll that opens the call.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        drop(call);
        let told = self.told.take();
        if let Some(told) = told {
            // The test may have ended.
            let _over = told.send(());
        }
        Poll::Pending
    }
}

/// The call is dropped in the middle of a poll of its requests.
pub async fn a_call_that_ends_while_they_are_asked_for_lets_go_of_them(bench: Bench) {
    let (connection, _far) = bench.client(Config::default());
    let call = Arc::new(Mutex::new(None));
    let alive = Arc::new(());
    let (told, asked) = oneshot::channel();
    let (dropped, gone) = oneshot::channel::<()>();
    let mut ending = Ending {
        call: Arc::clone(&call),
        told: Some(told),
    };
    let kept = (Arc::clone(&alive), dropped);
    let messages = stream::poll_fn(move |cx| {
        let _kept = &kept;
        ending.poll_next_unpin(cx)
    });
    let opened = connection.open(head("Each"), Box::pin(messages));
    *call.lock().expect("no panic") = Some(opened);
    asked.await.expect("it was asked");
    gone.await.expect_err("the messages were dropped");
    assert_eq!(Arc::strong_count(&alive), 1);
}
