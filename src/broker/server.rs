//! The listener of one served id.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use outboard_core::rpc::{Router, ServerConfig, Serving, Transport};
use outboard_core::rt::{BoxByteStream, BoxFuture, Listener, SharedRuntime};

use crate::plugin::tracked::Guard;
use crate::sys::files::SocketFile;
use crate::time;

/// A listener at work. Dropping this ends it: calls in flight are finished, no new ones are taken.
pub(super) struct Server {
    _stop: oneshot::Sender<()>,
}

/// How long accepting pauses after it failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// The handle, and the task that does the work.
    pub(super) fn new(
        runtime: SharedRuntime,
        transport: Arc<dyn Transport>,
        (listener, file): (Box<dyn Listener>, Option<SocketFile>),
        router: Arc<Router>,
        config: ServerConfig,
        counted: Guard,
    ) -> (Self, BoxFuture<'static, ()>) {
        let (stop, stopped) = oneshot::channel();
        let task = Accepting {
            listener,
            _file: file,
            stopped,
            connections: Vec::new(),
            _counted: counted,
        };
        let work = async move { task.run(&runtime, &*transport, &router, config).await };
        (Self { _stop: stop }, Box::pin(work))
    }
}

struct Accepting {
    listener: Box<dyn Listener>,
    _file: Option<SocketFile>,
    stopped: oneshot::Receiver<()>,
    connections: Vec<Connection>,
    _counted: Guard,
}

type Connection = (Arc<dyn Serving>, BoxFuture<'static, ()>);

/// Forgets those that have ended.
fn poll_connections(connections: &mut Vec<Connection>, cx: &mut Context<'_>) {
    connections.retain_mut(|(_, closed)| closed.as_mut().poll(cx).is_pending());
}

enum Next {
    Connection(BoxByteStream),
    Failed,
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
        loop {
            match poll_fn(|cx| self.poll(cx)).await {
                Next::Connection(io) => {
                    let router = Arc::clone(router);
                    let serving = transport.serve(runtime, io, router, config.clone());
                    let closed = serving.closed();
                    self.connections.push((serving, closed));
                }
                Next::Failed => time::sleep(runtime, ACCEPT_PAUSE).await,
                Next::Stopped => break,
            }
        }
        for (serving, _) in &self.connections {
            serving.drain();
        }
        let Self {
            listener,
            mut connections,
            _file: file,
            _counted,
            ..
        } = self;
        // Nobody is to find it any more while the last calls are being finished.
        drop((listener, file));
        poll_fn(|cx| {
            poll_connections(&mut connections, cx);
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
        poll_connections(&mut self.connections, cx);
        match self.listener.poll_accept(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(io)) => Poll::Ready(Next::Connection(io)),
            Poll::Ready(Err(error)) => {
                tracing::warn!(
                    target: "outboard", %error,
                    "a brokered connection could not be accepted"
                );
                Poll::Ready(Next::Failed)
            }
        }
    }
}
