//! The listener of one served id.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use outboard_core::rpc::{Router, ServerConfig, Serving, Transport};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};

use crate::carrier::{Acceptor, Connections, Opened, Prepare};
use crate::serve::tracked::Guard;

/// A listener at work. Dropping this ends it: calls in flight are finished, no new ones are taken.
pub(in crate::broker) struct Server {
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// The handle, and the task that does the work.
    pub(in crate::broker) fn new(
        runtime: SharedRuntime,
        transport: Arc<dyn Transport>,
        opened: Opened,
        prepare: Option<Arc<dyn Prepare>>,
        router: Arc<Router>,
        config: ServerConfig,
        counted: Guard,
    ) -> (Self, BoxFuture<'static, ()>) {
        let (stop, stopped) = oneshot::channel();
        let task = Accepting {
            acceptor: Acceptor::new(&runtime, "a brokered service", opened, prepare),
            stopped,
            connections: Connections::default(),
            counted,
        };
        let work = async move { task.run(&runtime, &*transport, &router, config).await };
        (Self { _stop: stop }, Box::pin(work))
    }
}

struct Accepting {
    acceptor: Acceptor,
    stopped: oneshot::Receiver<()>,
    connections: Connections<Arc<dyn Serving>>,
    counted: Guard,
}

enum Next {
    Connection(BoxByteStream),
    Stopped,
}

impl Accepting {
    async fn run(
        mut self,
        runtime: &SharedRuntime,
        transport: &dyn Transport,
        router: &Arc<Router>,
        config: ServerConfig,
    ) {
        while let Next::Connection(io) = poll_fn(|cx| self.poll(cx)).await {
            let router = Arc::clone(router);
            let serving = transport.serve(runtime, io, router, config.clone());
            let closed = serving.closed();
            self.counted.connection(&serving);
            self.connections.push(serving, closed);
        }
        for serving in self.connections.iter() {
            serving.drain();
        }
        let Self {
            acceptor,
            mut connections,
            counted: _counted,
            ..
        } = self;
        // Nobody is to find it any more while the last calls are being finished.
        drop(acceptor);
        poll_fn(|cx| {
            while connections.poll_closed(cx).is_ready() {}
            if connections.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        // The sender is never used, only dropped.
        if Pin::new(&mut self.stopped).poll(cx).is_ready() {
            return Poll::Ready(Next::Stopped);
        }
        while self.connections.poll_closed(cx).is_ready() {}
        let accepted = self.acceptor.poll(cx);
        accepted.map(Next::Connection)
    }
}
