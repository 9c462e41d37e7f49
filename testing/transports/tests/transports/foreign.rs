//! Code of the user: never called or dropped under a lock of the transport, and a panic in it
//! ends the call that it belongs to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::stream;
use outboard_core::rpc::{
    Call, CallContext, CallHead, Connection, Metadata, MethodDescriptor, MethodKind, OutMessage,
    Reply, Router, Service, ServiceDescriptor, Serving, Status, StreamReply,
};
use outboard_core::rt::BoxFuture;
use outboard_kit::echo::{failure, next, out, poll_once};
use outboard_transports::Bench;

use crate::support::{Bomb, head, messages, works, yield_now};

/// What a user hands over, and uses the connection when it is dropped.
struct Owner(Arc<dyn Connection>);

impl Drop for Owner {
    fn drop(&mut self) {
        let mut closed = self.0.closed();
        let mut cx = Context::from_waker(Waker::noop());
        let _ended_or_not = closed.as_mut().poll(&mut cx);
    }
}

/// Bytes with an owner of that kind.
struct Owned(#[allow(dead_code, reason = "dropped with it")] Owner);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        b"details"
    }
}

pub async fn a_status_may_own_a_client_of_its_connection(bench: Bench) {
    let pair = bench.pair();
    let status = || {
        let owned = Owned(Owner(Arc::clone(&pair.connection)));
        Status::aborted("given up").with_details(Bytes::from_owner(owned))
    };
    // Of a handler.
    pair.echo.fail_with(status());
    let reply = pair.connection.unary(head("Answer"), out("x")).await;
    assert_eq!(reply.expect_err("always").details(), b"details");
    pair.echo.fail_with(failure());
    // Of a stream of requests, before and after the call has a result.
    for method in ["Collect", "First"] {
        let mut polls = 0;
        let status = status();
        let requests = stream::poll_fn(move |cx| {
            polls += 1;
            match polls {
                1 => Poll::Ready(Some(Ok(out("first")))),
                2 => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                _ => Poll::Ready(Some(Err(status.clone()))),
            }
        });
        let mut call = pair.connection.open(head(method), Box::pin(requests));
        while next(&mut call).await.is_some_and(|item| item.is_ok()) {}
    }
    // Of who ends the connection, the first time and the second.
    pair.connection.abort(status());
    pair.connection.abort(status());
    assert_eq!(pair.connection.closed().await.details(), b"details");
    pair.serving.closed().await;
}

/// Wakes as an executor does that runs the task at once, or drops it with its waker: what that task
/// waits for, it then asks for.
struct Asks {
    connection: Arc<dyn Connection>,
    serving: Arc<dyn Serving>,
    woken: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Asks {
    /// What is told of the ends of both sides.
    fn events(&self) -> [BoxFuture<'static, ()>; 3] {
        let closed = self.connection.closed();
        [
            Box::pin(async { drop(closed.await) }),
            self.connection.retiring(),
            self.serving.closed(),
        ]
    }

    fn ask(&self) {
        for mut event in self.events() {
            let mut cx = Context::from_waker(Waker::noop());
            let _ended_or_not = event.as_mut().poll(&mut cx);
        }
    }
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        self.ask();
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.ask();
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub async fn who_is_told_of_the_end_may_ask_for_it_while_it_is_woken(bench: Bench) {
    let pair = bench.pair();
    works(&*pair.connection).await;
    let (woken, dropped) = (Arc::default(), Arc::default());
    let asks = || {
        Arc::new(Asks {
            connection: Arc::clone(&pair.connection),
            serving: Arc::clone(&pair.serving),
            woken: Arc::clone(&woken),
            dropped: Arc::clone(&dropped),
        })
    };
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    let mut events = asks().events();
    let known = count(&dropped);
    // The waker that is there is dropped where another comes, and where nobody waits any more.
    for _ in 0..2 {
        for event in &mut events {
            let waker = Waker::from(asks());
            let mut cx = Context::from_waker(&waker);
            assert!(event.as_mut().poll(&mut cx).is_pending());
        }
    }
    let mut given_up = pair.serving.closed();
    let waker = Waker::from(asks());
    assert!(
        given_up
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop((waker, given_up));
    pair.connection.abort(Status::aborted("enough"));
    assert_eq!(pair.connection.closed().await, Status::aborted("enough"));
    pair.serving.closed().await;
    for event in events {
        event.await;
    }
    // Others may be woken after this one.
    while count(&woken) < 3 || count(&dropped) - known < 7 {
        yield_now().await;
    }
}

/// Its handlers panic when they are dropped.
struct Bombs;

static BOMBS: ServiceDescriptor = ServiceDescriptor::new(
    "test.Bombs",
    &[
        MethodDescriptor::new("Unary", "/test.Bombs/Unary", MethodKind::Unary),
        MethodDescriptor::new("Stream", "/test.Bombs/Stream", MethodKind::Bidirectional),
    ],
    &[],
);

impl Service for Bombs {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &BOMBS
    }

    /// Waits for ever if there is metadata.
    fn unary(
        &self,
        _method: usize,
        context: CallContext,
        _message: Bytes,
    ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>> {
        let bomb = Bomb;
        Box::pin(std::future::poll_fn(move |_| {
            let _bomb = &bomb;
            if context.metadata.is_empty() {
                Poll::Ready(Ok(Reply::new(out("done"))))
            } else {
                Poll::Pending
            }
        }))
    }

    fn streaming(
        &self,
        _method: usize,
        _context: CallContext,
        mut call: Box<dyn Call>,
    ) -> BoxFuture<'static, Result<StreamReply, Status>> {
        let bomb = Bomb;
        Box::pin(async move {
            let messages = stream::poll_fn(move |cx| {
                let _bomb = &bomb;
                let message = call.poll_message(cx);
                message.map(|message| message.map(|message| message.map(out)))
            });
            Ok(StreamReply::new(Box::pin(messages)))
        })
    }
}

pub async fn a_handler_that_panics_when_it_is_dropped_takes_nothing_along(bench: Bench) {
    let [near, far] = bench.streams();
    let transport = bench.transport(None);
    let mut router = Router::new();
    router.add(Arc::new(Bombs)).expect("the only one");
    let router = Arc::new(router);
    let serving = transport.serve(&bench.runtime, far, router, Default::default());
    let connection = transport.connect(&bench.runtime, near, Default::default());
    let call = |head| connection.unary(head, out("x"));
    let done = || CallHead::new("/test.Bombs/Unary");
    let mut metadata = Metadata::new();
    metadata.insert("wait", "yes").expect("valid");
    for _ in 0..2 {
        // One that is given up while it waits, one that is done at once, and a stream.
        let mut waits = done();
        waits.metadata = metadata.clone();
        let mut waits = call(waits);
        assert!(poll_once(&mut waits).await.is_none());
        assert_eq!(call(done()).await.expect("well").message, "done");
        drop(waits);
        let head = CallHead::new("/test.Bombs/Stream");
        let mut stream = connection.open(head, messages(["1"]));
        assert_eq!(next(&mut stream).await, Some(Ok(Bytes::from("1"))));
        assert_eq!(next(&mut stream).await, None);
    }
    // And one that the end of the connection finds.
    let mut waits = done();
    waits.metadata = metadata;
    let mut waits = call(waits);
    assert!(poll_once(&mut waits).await.is_none());
    assert_eq!(call(done()).await.expect("well").message, "done");
    serving.abort();
    serving.closed().await;
    assert!(waits.await.expect_err("cut off").is_connection_lost());
}
