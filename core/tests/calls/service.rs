//! A service whose methods a test writes as closures, and calls of it.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use outboard_core::rpc::serving;
use outboard_core::rpc::{
    Call, CallContext, MethodDescriptor, MethodKind, OutMessage, Reply, Route, Router, Service,
    ServiceDescriptor, Status, StreamReply,
};
use outboard_core::rt::BoxFuture;
use outboard_core::turn::Turn;

use crate::fake::{FakeRequests, FakeStream, InWorld, World};

const fn method(name: &'static str, path: &'static str, kind: MethodKind) -> MethodDescriptor {
    MethodDescriptor::new(name, path, kind)
}

pub(crate) static SERVICE: ServiceDescriptor = ServiceDescriptor::new(
    "t.T",
    &[
        method("One", "/t.T/One", MethodKind::Unary),
        method("Many", "/t.T/Many", MethodKind::ServerStreaming),
        method("Gather", "/t.T/Gather", MethodKind::ClientStreaming),
        method("Both", "/t.T/Both", MethodKind::Bidirectional),
    ],
    &[],
);

pub(crate) const ONE: usize = 0;
pub(crate) const MANY: usize = 1;
pub(crate) const GATHER: usize = 2;
pub(crate) const BOTH: usize = 3;

pub(crate) type UnaryAnswer = BoxFuture<'static, Result<Reply<OutMessage>, Status>>;
pub(crate) type StreamAnswer = BoxFuture<'static, Result<StreamReply, Status>>;
type Streams = Box<dyn Fn(Box<dyn Call>) -> StreamAnswer + Send + Sync>;

/// A service of two closures.
struct Of {
    unary: Box<dyn Fn(Bytes) -> UnaryAnswer + Send + Sync>,
    streaming: Streams,
    begun: Arc<AtomicUsize>,
}

impl Service for Of {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &SERVICE
    }

    fn unary(&self, _: usize, _: CallContext, message: Bytes) -> UnaryAnswer {
        self.begun.fetch_add(1, Ordering::SeqCst);
        (self.unary)(message)
    }

    fn streaming(&self, _: usize, _: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        self.begun.fetch_add(1, Ordering::SeqCst);
        (self.streaming)(call)
    }
}

pub(crate) fn out(text: impl AsRef<[u8]>) -> OutMessage {
    OutMessage::copy_from(text.as_ref())
}

/// Answers with what it was asked.
pub(crate) fn echo(message: Bytes) -> UnaryAnswer {
    Box::pin(ready(Ok(Reply::new(out(message)))))
}

/// Answers with each request.
pub(crate) fn each(call: Box<dyn Call>) -> StreamAnswer {
    Box::pin(ready(Ok(reply_each(call))))
}

pub(crate) fn reply_each(mut call: Box<dyn Call>) -> StreamReply {
    let messages = futures(move |cx| call.poll_message(cx).map_ok_some(out));
    StreamReply::new(messages)
}

trait MapSome<T> {
    fn map_ok_some<U>(self, map: impl FnOnce(T) -> U) -> Poll<Option<Result<U, Status>>>;
}

impl<T> MapSome<T> for Poll<Option<Result<T, Status>>> {
    fn map_ok_some<U>(self, map: impl FnOnce(T) -> U) -> Poll<Option<Result<U, Status>>> {
        self.map(|next| next.map(|next| next.map(map)))
    }
}

struct PollFn<F>(F);

impl<T, F> futures_core::Stream for PollFn<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> Poll<Option<T>> + Unpin,
{
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<T>> {
        (self.0)(cx)
    }
}

pub(crate) fn futures<F>(poll: F) -> outboard_core::rpc::MessageStream
where
    F: FnMut(&mut std::task::Context<'_>) -> Poll<Option<Result<OutMessage, Status>>>
        + Send
        + Unpin
        + 'static,
{
    Box::pin(PollFn(poll))
}

pub(crate) struct Setup {
    pub(crate) world: Arc<World>,
    pub(crate) router: Router,
    pub(crate) begun: Arc<AtomicUsize>,
}

pub(crate) fn serve(
    unary: impl Fn(Bytes) -> UnaryAnswer + Send + Sync + 'static,
    streaming: impl Fn(Box<dyn Call>) -> StreamAnswer + Send + Sync + 'static,
) -> Setup {
    let begun = Arc::new(AtomicUsize::new(0));
    let service = Of {
        unary: Box::new(unary),
        streaming: Box::new(streaming),
        begun: Arc::clone(&begun),
    };
    let mut router = Router::new();
    router.add(Arc::new(service)).expect("the first");
    Setup {
        world: World::new(),
        router,
        begun,
    }
}

impl Setup {
    pub(crate) fn route(&self, method: usize) -> Route {
        let route = self.router.route(SERVICE.methods[method].path);
        route.expect("it is there").clone()
    }

    pub(crate) fn stream(&self) -> FakeStream {
        FakeStream::new(&self.world)
    }

    /// Starts a call, with this timeout.
    pub(crate) fn start_within(
        &self,
        stream: &FakeStream,
        method: usize,
        timeout: Option<Duration>,
    ) {
        let runtime = InWorld(Arc::clone(&self.world));
        let deadline = serving::deadline(&runtime, timeout).expect("some time is left");
        let route = self.route(method);
        let mut context = CallContext::new(route.descriptor.path);
        context.deadline = deadline;
        let requests = FakeRequests(stream.clone());
        let turn = &mut Turn::new();
        serving::start(stream.clone(), requests, route, context, None, turn);
        self.world.run();
    }

    pub(crate) fn start(&self, stream: &FakeStream, method: usize) {
        self.start_within(stream, method, None);
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

/// What was done on the stream, without where the call was polled.
pub(crate) fn done(stream: &FakeStream) -> Vec<String> {
    let mut log = stream.log();
    log.retain(|line| line != "leaves");
    log
}
