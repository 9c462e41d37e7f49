//! Code of the user: never dropped, woken or called under a lock of the transport, and a panic in it
//! ends the call that it belongs to.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_executor::Executor;
use bytes::Bytes;
use futures_util::{AsyncWriteExt as _, stream};
use outboard_core::rpc::{
    Call, CallContext, CallHead, Code, Connection, ConnectionConfig, MessageStream, Metadata,
    MethodDescriptor, MethodKind, OutMessage, Reply, Router, ServerConfig, Service,
    ServiceDescriptor, Status, StreamReply, SubChannels, Transport,
};
use outboard_core::rt::BoxFuture;
use outboard_transport_stdio::Stdio;
use support::reactor::Lane;
use support::service::{next, out, router};
use support::{Pair, TestRuntime, pair, pipe, run};

/// A watchdog for work that may block its thread.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    ended
        .recv_timeout(Duration::from_secs(60))
        .expect("it neither hangs nor panics");
}

static NONE: ServiceDescriptor = ServiceDescriptor {
    name: "test.Owner",
    methods: &[MethodDescriptor {
        name: "Own",
        path: "/test.Owner/Own",
        kind: MethodKind::Unary,
    }],
    file_descriptor_set: &[],
};

/// A service, or what else a user hands over, that uses the connection when it is dropped.
struct Owner(Arc<dyn Connection>);

impl Drop for Owner {
    fn drop(&mut self) {
        use_session(&self.0);
    }
}

/// Takes the session's lock.
fn use_session(connection: &Arc<dyn Connection>) {
    let mut closed = connection.closed();
    let _ = closed
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
}

impl Service for Owner {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &NONE
    }

    fn unary(
        &self,
        _method: usize,
        _context: CallContext,
        _message: Bytes,
    ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>> {
        // What goes with a status is dropped with it, after it was sent.
        let owned = Owned(Self(Arc::clone(&self.0)));
        Box::pin(
            async move { Err(Status::not_found("none").with_details(Bytes::from_owner(owned))) },
        )
    }

    fn streaming(
        &self,
        _method: usize,
        _context: CallContext,
        _call: Box<dyn Call>,
    ) -> BoxFuture<'static, Result<StreamReply, Status>> {
        Box::pin(async { Err(Status::unimplemented("unary")) })
    }
}

/// Bytes with an owner of the user's kind.
struct Owned(#[allow(dead_code, reason = "dropped with it")] Owner);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        b"details"
    }
}

fn owned(connection: &Arc<dyn Connection>) -> Bytes {
    Bytes::from_owner(Owned(Owner(Arc::clone(connection))))
}

fn owner(connection: &Arc<dyn Connection>) -> Arc<Router> {
    let mut router = Router::new();
    let service = Owner(Arc::clone(connection));
    router.add(Arc::new(service)).expect("the only one");
    Arc::new(router)
}

fn channels(pair: &Pair) -> Arc<dyn SubChannels> {
    pair.connection.sub_channels().expect("stdio has some")
}

#[test]
fn a_refused_service_may_own_a_client_of_the_same_session() {
    in_time(|| {
        let pair = pair();
        let channels = channels(&pair);
        let dialled = channels.dial(7, ConnectionConfig::default());
        let _serving = channels.accept(3, owner(&dialled)).expect("free");
        let taken = channels.accept(3, owner(&dialled));
        assert_eq!(taken.expect_err("taken").code(), Code::AlreadyExists);
        pair.connection.abort(Status::connection_lost("over"));
        assert!(channels.accept(4, owner(&dialled)).is_err());
    });
}

#[test]
fn a_hook_that_is_not_needed_may_own_a_client_of_the_same_session() {
    in_time(|| {
        let pair = pair();
        let channels = channels(&pair);
        let dialled = channels.dial(7, ConnectionConfig::default());
        for id in 8..10 {
            let owner = Owner(Arc::clone(&dialled));
            let lost: outboard_core::rpc::LostHook = Arc::new(move |status| {
                let _owner = &owner;
                Box::pin(async move { status })
            });
            let config = ConnectionConfig {
                lost: Some(lost),
                ..ConnectionConfig::default()
            };
            channels.dial(id, config);
        }
    });
}

#[test]
fn a_status_may_own_a_client_of_the_same_session() {
    in_time(|| {
        let pair = pair();
        let channels = channels(&pair);
        let dialled = channels.dial(7, ConnectionConfig::default());
        let status = || Status::aborted("given up").with_details(owned(&dialled));
        // Of a handler.
        let _serving = channels.accept(3, owner(&dialled)).expect("free");
        let back = pair
            .serving
            .sub_channels()
            .expect("stdio has some")
            .dial(3, ConnectionConfig::default());
        run(async {
            let reply = back.unary(CallHead::new("/test.Owner/Own"), out("")).await;
            assert_eq!(reply.expect_err("always").details(), b"details");
            // Of a stream of requests, before and after the call has a result.
            for method in ["/test.Echo/Collect", "/test.Echo/First"] {
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
                let mut call = pair
                    .connection
                    .open(CallHead::new(method), Box::pin(requests));
                while next(&mut call).await.is_some_and(|item| item.is_ok()) {}
            }
        });
        // Of who ends a connection, the first time and the second.
        dialled.abort(status());
        dialled.abort(status());
        pair.connection.abort(status());
        pair.connection.abort(status());
    });
}

/// A waker that uses the connection when it is woken and when it is dropped.
fn meddler(connection: &Arc<dyn Connection>) -> Waker {
    Waker::from(Arc::new(Owner(Arc::clone(connection))))
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {
        use_session(&self.0);
    }
}

#[test]
fn a_waker_may_use_the_session() {
    in_time(|| {
        let (to_a, to_b) = (Lane::default(), Lane::default());
        let (near, far) = Lane::joined(&to_a, &to_b);
        let (b_rt, b) = TestRuntime::on_this_thread();
        let (a_rt, a) = TestRuntime::on_this_thread();
        let (_echo, router) = router();
        let serving = Stdio::new().serve(&b_rt, Box::new(far), router, ServerConfig::default());
        let connection = Stdio::new().connect(&a_rt, Box::new(near), ConnectionConfig::default());
        let settle = || {
            for _ in 0..5 {
                to_a.reactor_turn();
                while a.try_tick() {}
                to_b.reactor_turn();
                while b.try_tick() {}
            }
        };
        settle();
        let wakers = [meddler(&connection), meddler(&connection)];
        let contexts = || wakers.iter().map(Context::from_waker);
        // A lone caller, and its waker replaced by another.
        let mut call = connection.unary(CallHead::new("/test.Echo/Yield"), out("x"));
        for mut cx in contexts() {
            assert!(call.as_mut().poll(&mut cx).is_pending());
        }
        to_b.reactor_turn();
        while b.try_tick() {}
        to_a.reactor_turn();
        for mut cx in contexts() {
            if call.as_mut().poll(&mut cx).is_ready() {
                break;
            }
        }
        settle();
        // A stream, the connection's end and the server's.
        let messages: MessageStream = Box::pin(stream::pending());
        let mut stream = connection.open(CallHead::new("/test.Echo/Each"), messages);
        let (mut closed, mut over) = (connection.closed(), serving.closed());
        for mut cx in contexts() {
            assert!(stream.poll_message(&mut cx).is_pending());
            assert!(stream.poll_headers(&mut cx).is_pending());
            assert!(closed.as_mut().poll(&mut cx).is_pending());
            assert!(over.as_mut().poll(&mut cx).is_pending());
        }
        settle();
        drop(stream);
        settle();
        connection.abort(Status::connection_lost("over"));
        settle();
        for mut cx in contexts() {
            let _ = over.as_mut().poll(&mut cx);
        }
    });
}

/// A subscriber that uses the connection for every record, as one does that sends its records to
/// a service of the plugin.
struct Chatty(Arc<dyn Connection>);

impl tracing::Subscriber for Chatty {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}
    fn event(&self, _event: &tracing::Event<'_>) {
        use_session(&self.0);
    }
    fn enter(&self, _span: &tracing::span::Id) {}
    fn exit(&self, _span: &tracing::span::Id) {}
}

#[test]
fn a_subscriber_of_logs_may_use_the_session() {
    use outboard_transport_stdio::wire::Settings;
    use outboard_transport_stdio::wire::frame::Frame;
    in_time(|| {
        let (near, mut far) = pipe(10_000);
        let (runtime, tasks) = TestRuntime::on_this_thread();
        let connection =
            Stdio::new().connect(&runtime, Box::new(near), ConnectionConfig::default());
        let mut bytes = Vec::new();
        Settings::LEAST.encode(&mut bytes);
        Frame::GoAway { text: "bye" }.encode(&mut bytes);
        // And a frame that may not come.
        bytes.extend_from_slice(&[0, 0, 0, 0x7f, 0, 0, 0, 0]);
        run(async {
            far.write_all(&bytes).await.expect("there is room");
            far.flush().await.expect("there is room");
        });
        let chatty = Chatty(Arc::clone(&connection));
        tracing::subscriber::with_default(chatty, || while tasks.try_tick() {});
        let status = run(connection.closed());
        assert!(
            status.message().contains("broke the stdio protocol"),
            "{status}"
        );
    });
}

/// Runs tasks as a runtime does that catches their panics.
fn settle(tasks: &'static Executor<'static>) {
    while catch_unwind(AssertUnwindSafe(|| tasks.try_tick())).unwrap_or(true) {}
}

#[test]
fn a_request_stream_that_panics_fails_its_call_and_is_named() {
    let (near, far) = pipe(10_000);
    let (b_rt, b) = TestRuntime::on_this_thread();
    let (a_rt, a) = TestRuntime::on_this_thread();
    let (_echo, router) = router();
    let _serving = Stdio::new().serve(&b_rt, Box::new(far), router, ServerConfig::default());
    let connection = Stdio::new().connect(&a_rt, Box::new(near), ConnectionConfig::default());
    let turn = || {
        for _ in 0..10 {
            settle(a);
            settle(b);
        }
    };
    turn();
    // In its first poll, which `open` makes, and in a later one, which a task of the transport makes.
    for late in [false, true] {
        let mut polls = 0;
        let requests = stream::poll_fn(move |cx| {
            polls += 1;
            if late && polls == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            panic!("on purpose")
        });
        let mut call = connection.open(CallHead::new("/test.Echo/Collect"), Box::pin(requests));
        turn();
        let answer = call.poll_message(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(Err(status))) = answer else {
            panic!("late: {late}: the call hangs: {answer:?}");
        };
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(
            status.message(),
            "the caller's stream of requests to /test.Echo/Collect panicked: on purpose"
        );
    }
    // The connection lives on.
    let mut echo = connection.unary(CallHead::new("/test.Echo/Echo"), out("x"));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(echo.as_mut().poll(&mut cx).is_pending());
    turn();
    assert!(matches!(echo.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose, in a drop");
        }
    }
}

#[test]
fn a_request_stream_that_panics_when_it_is_dropped_takes_nothing_along() {
    run(async {
        let pair = pair();
        let bomb = Bomb;
        let mut polls = 0;
        let requests = stream::poll_fn(move |cx| {
            let _bomb = &bomb;
            polls += 1;
            if polls == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(None)
        });
        let head = CallHead::new("/test.Echo/Collect");
        let mut call = pair.connection.open(head, Box::pin(requests));
        let answer = next(&mut call).await.expect("one answer");
        assert_eq!(answer.expect("well"), "");
        let echo = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("x"));
        assert_eq!(echo.await.expect("well").message, "x");
    });
}

struct Bombs;

static BOMBS: ServiceDescriptor = ServiceDescriptor {
    name: "test.Bombs",
    methods: &[
        MethodDescriptor {
            name: "Unary",
            path: "/test.Bombs/Unary",
            kind: MethodKind::Unary,
        },
        MethodDescriptor {
            name: "Stream",
            path: "/test.Bombs/Stream",
            kind: MethodKind::Bidirectional,
        },
    ],
    file_descriptor_set: &[],
};

impl Service for Bombs {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &BOMBS
    }

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

#[test]
fn a_handler_that_panics_when_it_is_dropped_takes_nothing_along() {
    let (near, far) = pipe(10_000);
    let (b_rt, b) = TestRuntime::on_this_thread();
    let (a_rt, a) = TestRuntime::on_this_thread();
    let mut router = Router::new();
    router.add(Arc::new(Bombs)).expect("the only one");
    let router = Arc::new(router);
    let _serving = Stdio::new().serve(&b_rt, Box::new(far), router, ServerConfig::default());
    let connection = Stdio::new().connect(&a_rt, Box::new(near), ConnectionConfig::default());
    let turn = || {
        for _ in 0..10 {
            settle(a);
            settle(b);
        }
    };
    turn();
    let mut cx = Context::from_waker(Waker::noop());
    let mut metadata = Metadata::new();
    metadata.insert("wait", "yes").expect("valid");
    for _ in 0..2 {
        // One that is done at once, one that is given up while it waits, and a stream.
        let mut done = connection.unary(CallHead::new("/test.Bombs/Unary"), out(""));
        let mut head = CallHead::new("/test.Bombs/Unary");
        head.metadata = metadata.clone();
        let mut waits = connection.unary(head, out(""));
        let messages = stream::iter([Ok(out("1"))]);
        let mut stream = connection.open(CallHead::new("/test.Bombs/Stream"), Box::pin(messages));
        assert!(done.as_mut().poll(&mut cx).is_pending());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        turn();
        let Poll::Ready(reply) = done.as_mut().poll(&mut cx) else {
            panic!("it was answered before it was dropped");
        };
        assert_eq!(reply.expect("well").message, "done");
        let first = stream.poll_message(&mut cx);
        assert!(matches!(first, Poll::Ready(Some(Ok(_)))), "{first:?}");
        assert!(matches!(stream.poll_message(&mut cx), Poll::Ready(None)));
        drop(waits);
        turn();
    }
}
