//! A connection that hands calls straight to a router, and what it takes to run it without a
//! runtime.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use bytes::Bytes;
use outboard_core::rpc::{
    Call, CallContext, CallHead, Channel, Connection, MessageStream, Metadata, OutMessage, Reply,
    Router, Service, Status, StreamReply,
};
use outboard_core::rt::BoxFuture;

/// A channel to a server of these services in the same process.
pub(crate) fn channel_to<const N: usize>(services: [Arc<dyn Service>; N]) -> Channel {
    let mut router = Router::new();
    for service in services {
        router.add(service).expect("services of different names");
    }
    channel_over(router)
}

/// A channel to this server in the same process.
pub(crate) fn channel_over(router: Router) -> Channel {
    Channel::new(Arc::new(Memory { router }))
}

/// The requests of a call, as a server gets them.
pub(crate) fn requests(messages: MessageStream) -> Box<dyn Call> {
    Box::new(Requests(messages))
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[derive(Debug)]
struct Memory {
    router: Router,
}

impl Memory {
    fn context(&self, path: &'static str, head: CallHead) -> CallContext {
        let mut context = CallContext::new(path);
        context.deadline = head.deadline_from(Instant::now());
        context.metadata = head.metadata;
        context.extensions = self.router.extensions().clone();
        context
    }
}

impl Connection for Memory {
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        let route = match self.router.route(&head.path) {
            Ok(route) => route.clone(),
            Err(status) => return Box::pin(async { Err(status) }),
        };
        let context = self.context(route.descriptor.path, head);
        let answer = route
            .service
            .unary(route.method, context, message.into_bytes());
        Box::pin(async { Ok(answer.await?.map(OutMessage::into_bytes)) })
    }

    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
        let state = match self.router.route(&head.path) {
            Ok(route) => {
                let context = self.context(route.descriptor.path, head);
                let requests = requests(messages);
                State::Waiting(route.service.streaming(route.method, context, requests))
            }
            Err(status) => State::Waiting(Box::pin(async { Err(status) })),
        };
        Box::new(Answers {
            state,
            trailers: None,
        })
    }

    fn drain(&self) {}

    fn abort(&self, _status: Status) {}

    fn closed(&self) -> BoxFuture<'static, Status> {
        Box::pin(std::future::pending())
    }
}

/// The requests of a call, as the server sees them.
struct Requests(MessageStream);

impl Call for Requests {
    fn poll_headers(&mut self, _cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        const NONE: &Metadata = &Metadata::new();
        Poll::Ready(Ok(NONE))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let item = self.0.as_mut().poll_next(cx);
        item.map(|item| item.map(|message| message.map(OutMessage::into_bytes)))
    }

    fn trailers(&self) -> Option<&Metadata> {
        None
    }
}

/// The answers of a call, as the client sees them.
struct Answers {
    state: State,
    trailers: Option<Metadata>,
}

enum State {
    Waiting(BoxFuture<'static, Result<StreamReply, Status>>),
    Answering(StreamReply),
    Failed(Option<Status>),
}

impl Answers {
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Waiting(reply) = &mut self.state {
            self.state = match reply.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(reply)) => State::Answering(reply),
                Poll::Ready(Err(status)) => State::Failed(Some(status)),
            };
        }
        Poll::Ready(())
    }
}

impl Call for Answers {
    fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        if self.poll_reply(cx).is_pending() {
            return Poll::Pending;
        }
        match &mut self.state {
            State::Answering(reply) => Poll::Ready(Ok(&reply.headers)),
            State::Failed(Some(status)) => Poll::Ready(Err(status.clone())),
            State::Waiting(_) | State::Failed(None) => {
                Poll::Ready(Err(Status::cancelled("asked again after the end")))
            }
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.poll_reply(cx).is_pending() {
            return Poll::Pending;
        }
        match &mut self.state {
            State::Answering(reply) => {
                let item = reply.messages.as_mut().poll_next(cx);
                if let Poll::Ready(None) = item {
                    let trailers = reply.trailers.take();
                    self.trailers = trailers.map(|trailers| trailers());
                }
                item.map(|item| item.map(|message| message.map(OutMessage::into_bytes)))
            }
            State::Failed(status) => Poll::Ready(status.take().map(Err)),
            State::Waiting(_) => Poll::Pending,
        }
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.trailers.as_ref()
    }
}
