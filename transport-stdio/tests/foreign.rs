//! Code of the user: never dropped, woken or called under a lock of the transport, and a panic in it
//! ends the call that it belongs to.

mod support;

use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{AsyncWriteExt as _, stream};
use outboard_core::rpc::{
    Call, CallContext, CallHead, Code, Connection, ConnectionConfig, MessageStream,
    MethodDescriptor, MethodKind, OutMessage, Reply, Router, ServerConfig, Service,
    ServiceDescriptor, Status, StreamReply, SubChannels, Transport,
};
use outboard_core::rt::BoxFuture;
use outboard_transport_stdio::Stdio;
use support::reactor::{Side, ends, quiet};
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

static NONE: ServiceDescriptor = ServiceDescriptor::new(
    "test.Owner",
    &[MethodDescriptor::new(
        "Own",
        "/test.Owner/Own",
        MethodKind::Unary,
    )],
    &[],
);

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
            let mut config = ConnectionConfig::default();
            config.lost = Some(lost);
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
        let (near, far) = ends();
        let (host, plugin) = (Side::new(&near), Side::new(&far));
        let (_echo, router) = router();
        let serving = Stdio::new().serve(
            &plugin.runtime,
            Box::new(far),
            router,
            ServerConfig::default(),
        );
        let connection =
            Stdio::new().connect(&host.runtime, Box::new(near), ConnectionConfig::default());
        let settle = || quiet([&host, &plugin]);
        settle();
        let wakers = [meddler(&connection), meddler(&connection)];
        let contexts = || wakers.iter().map(Context::from_waker);
        // A lone caller, and its waker replaced by another.
        let mut call = connection.unary(CallHead::new("/test.Echo/Yield"), out("x"));
        for mut cx in contexts() {
            assert!(call.as_mut().poll(&mut cx).is_pending());
        }
        plugin.turn();
        host.watched.look();
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
        let listening = outboard_kit::events::listen(chatty);
        while tasks.try_tick() {}
        drop(listening);
        let status = run(connection.closed());
        assert!(
            status.message().contains("broke the stdio protocol"),
            "{status}"
        );
    });
}
