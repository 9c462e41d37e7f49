//! Ending what was accepted on brokered sockets.

use outboard_core::rt::Accepted;

use super::*;
use crate::carrier::Opened;

/// A connection that only an abort ends.
#[derive(Debug, Default)]
struct Endless {
    drained: AtomicBool,
    aborted: AtomicBool,
    closed: AtomicWaker,
}

impl Serving for Endless {
    fn drain(&self) {
        self.drained.store(true, Ordering::Relaxed);
    }

    fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
        self.closed.wake();
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        unreachable!("the transport makes it")
    }
}

/// Serves endless connections and keeps them.
#[derive(Debug, Default)]
struct EndlessTransport(Mutex<Vec<Arc<Endless>>>);

impl Transport for EndlessTransport {
    fn protocol(&self) -> Protocol {
        Protocol::Grpc
    }

    fn connect(
        &self,
        _: &SharedRuntime,
        _: BoxByteStream,
        _: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        unreachable!("nobody connects")
    }

    fn serve(
        &self,
        _: &SharedRuntime,
        _: BoxByteStream,
        _: Arc<Router>,
        _: ServerConfig,
    ) -> Arc<dyn Serving> {
        let endless = Arc::new(Endless::default());
        self.0.lock().expect("no panic").push(Arc::clone(&endless));
        Arc::new(Closing(endless))
    }
}

#[derive(Debug)]
struct Closing(Arc<Endless>);

impl Serving for Closing {
    fn drain(&self) {
        self.0.drain();
    }

    fn abort(&self) {
        self.0.abort();
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let endless = Arc::clone(&self.0);
        Box::pin(poll_fn(move |cx| {
            endless.closed.register(cx.waker());
            if endless.aborted.load(Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }
}

/// Gives connections as long as there are some.
struct Few(Endpoint, u32);

impl Listener for Few {
    fn local(&self) -> &Endpoint {
        &self.0
    }

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        if self.1 == 0 {
            return Poll::Pending;
        }
        self.1 -= 1;
        let io = futures_util::io::Cursor::new(Vec::new());
        Poll::Ready(Ok(Accepted::new(Box::new(io))))
    }
}

#[test]
fn what_is_called_on_a_brokered_socket_ends_with_what_counts_it() {
    let in_flight = Arc::new(InFlight::default());
    let transport = Arc::new(EndlessTransport::default());
    let runtime: SharedRuntime = Arc::new(Still::default());
    let serve = |connections| {
        let listener = Few(Endpoint::Tcp("127.0.0.1:1".to_owned()), connections);
        Server::new(
            Arc::clone(&runtime),
            Arc::clone(&transport) as Arc<dyn Transport>,
            Opened::private(Box::new(listener)),
            None,
            Arc::new(Router::new()),
            ServerConfig::default(),
            in_flight.enter(),
        )
    };
    let ended = |task: &mut BoxFuture<'static, ()>| task.as_mut().now_or_never().is_some();
    let (server, mut task) = serve(20);
    // More than are taken in one turn.
    assert!(!ended(&mut task) && !ended(&mut task));
    drop(server);
    assert!(!ended(&mut task), "calls are being finished");
    let made = || std::mem::take(&mut *transport.0.lock().expect("no panic"));
    let connections = made();
    assert_eq!(connections.len(), 20);
    let aborted = |c: &Arc<Endless>| c.aborted.load(Ordering::Relaxed);
    assert!(
        connections
            .iter()
            .all(|c| c.drained.load(Ordering::Relaxed))
    );
    assert!(!connections.iter().any(aborted));
    in_flight.abort();
    assert!(connections.iter().all(aborted));
    assert!(ended(&mut task));
    // One that comes late.
    let (server, mut task) = serve(1);
    assert!(!ended(&mut task));
    assert!(made().iter().all(aborted));
    drop(server);
    assert!(ended(&mut task));
    let idle = poll_fn(|cx| in_flight.poll_idle(cx)).now_or_never();
    drop(task);
    assert_eq!(idle, Some(()));
}
