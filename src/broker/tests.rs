//! The broker's own book-keeping, on a runtime that does nothing by itself.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::task::AtomicWaker;
use outboard_core::broker as machine;
use outboard_core::endpoint::Endpoint;
use outboard_core::rpc::{
    Call, CallContext, CallHead, Connection, MessageStream, OutMessage, Reply, ServerConfig,
    ServiceDescriptor, Serving, Status, Streaming,
};
use outboard_core::rt::{
    BoxByteStream, BoxFuture, BoxReader, BoxWriter, Launch, Listener, OsSocket, Process, Runtime,
    Timer,
};
use outboard_core::wire::plugin::{CONTROLLER, ConnInfo};

use super::*;
use crate::codegen::{StreamAnswer, UnaryAnswer};

/// Keeps its tasks until it is told to poll them.
#[derive(Default)]
pub(crate) struct Still {
    tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
    /// Takes no listeners, and drops every task at once, as a runtime that was shut down.
    gone: AtomicBool,
    /// Connecting takes for ever, and every timer is over at once.
    black_hole: AtomicBool,
    /// What is done while the next listener is being made.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for Still {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Still")
    }
}

impl Still {
    /// Polls every task once and drops those that have ended.
    fn turn(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().expect("no panic"));
        let left = tasks.into_iter().filter_map(|mut task| {
            let ended = task.as_mut().now_or_never().is_some();
            (!ended).then_some(task)
        });
        let left: Vec<_> = left.collect();
        self.tasks.lock().expect("no panic").extend(left);
    }

    fn tasks(&self) -> usize {
        self.tasks.lock().expect("no panic").len()
    }
}

impl Runtime for Still {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, _: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Fixed(self.black_hole.load(Ordering::Relaxed)))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if !self.gone.load(Ordering::Relaxed) {
            self.tasks.lock().expect("no panic").push(task);
        }
    }

    fn connect(&self, _: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        if self.black_hole.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn listener(&self, _: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        let meanwhile = self.meanwhile.lock().expect("no panic").take();
        if let Some(work) = meanwhile {
            work();
        }
        Ok(Box::new(Deaf(local)))
    }

    fn launch(&self, _: Launch) -> io::Result<Process> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn pipe_reader(&self, _: io::PipeReader) -> io::Result<BoxReader> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn pipe_writer(&self, _: io::PipeWriter) -> io::Result<BoxWriter> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn watch(&self, _: std::os::fd::OwnedFd) -> io::Result<BoxFuture<'static, io::Result<()>>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether it is over.
struct Fixed(bool);

impl Timer for Fixed {
    fn reset(self: Pin<&mut Self>, _: Instant) {}

    fn poll_expired(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

struct Deaf(Endpoint);

impl Listener for Deaf {
    fn local(&self) -> &Endpoint {
        &self.0
    }

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<BoxByteStream>> {
        Poll::Pending
    }
}

/// Never used: no connection succeeds and nobody is accepted.
#[derive(Debug)]
struct Unused(Protocol);

impl Transport for Unused {
    fn protocol(&self) -> Protocol {
        self.0
    }

    fn connect(
        &self,
        _: &SharedRuntime,
        _: BoxByteStream,
        _: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        unreachable!("no connection succeeds")
    }

    fn serve(
        &self,
        _: &SharedRuntime,
        _: BoxByteStream,
        _: Arc<Router>,
        _: ServerConfig,
    ) -> Arc<dyn Serving> {
        unreachable!("nobody is accepted")
    }
}

/// A service that owns something.
struct Owner<T>(#[allow(dead_code)] T);

impl<T: Send + Sync + 'static> Service for Owner<T> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &CONTROLLER
    }

    fn unary(&self, _: usize, _: CallContext, _: Bytes) -> UnaryAnswer {
        unreachable!("nobody calls")
    }

    fn streaming(&self, _: usize, _: CallContext, _: Box<dyn Call>) -> StreamAnswer {
        unreachable!("nobody calls")
    }
}

fn broker(dir: &std::path::Path) -> (Broker, Arc<Still>) {
    broker_of(Protocol::Grpc, dir)
}

fn broker_of(protocol: Protocol, dir: &std::path::Path) -> (Broker, Arc<Still>) {
    let runtime = Arc::new(Still::default());
    let broker = Broker::new(BrokerParts {
        runtime: Arc::clone(&runtime) as SharedRuntime,
        transport: Arc::new(Unused(protocol)),
        config: ConnectionConfig::default(),
        listen: ListenPolicy {
            dir: Some(dir.to_owned()),
            ..ListenPolicy::default()
        },
        calls: None,
        servers: Arc::default(),
    });
    (broker, runtime)
}

/// Fails if `work` hangs.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _late = done.send(());
    });
    let limit = Duration::from_secs(20);
    ended
        .recv_timeout(limit)
        .expect("it neither hangs nor panics");
}

fn sockets(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path()).expect("readable").count()
}

#[test]
fn a_service_may_own_what_the_same_broker_serves() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        let inner = broker.serve(Owner(())).expect("serves");
        let outer = broker.serve(Owner(inner)).expect("serves");
        assert_eq!(sockets(&dir), 2);
        drop(outer);
        // The outer one ends in the first turn, which lets go of the inner one.
        runtime.turn();
        runtime.turn();
        assert_eq!((sockets(&dir), runtime.tasks()), (0, 0));
    });
}

#[test]
fn a_service_that_is_refused_may_own_one_too() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        let inner = broker.serve(Owner(())).expect("serves");
        runtime.gone.store(true, Ordering::Relaxed);
        let refused = broker.serve(Owner(inner)).expect_err("there is no runtime");
        assert!(matches!(refused, BrokerError::Broker(_)), "{refused}");
        runtime.turn();
        assert_eq!((sockets(&dir), runtime.tasks()), (0, 0));
    });
}

#[test]
fn a_closed_broker_frees_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, runtime) = broker(dir.path());
    let served = broker.serve(Owner(broker.clone())).expect("serves");
    let mut dial = Box::pin(broker.dial_channel(7));
    assert!(dial.as_mut().now_or_never().is_none());
    broker.close();
    let error = dial.now_or_never().expect("answered").expect_err("closed");
    assert!(matches!(
        error,
        BrokerError::Broker(machine::BrokerError::Closed { .. })
    ));
    runtime.turn();
    assert_eq!((sockets(&dir), runtime.tasks()), (0, 0));
    let weak = Arc::downgrade(&broker.0);
    drop(broker);
    drop(served);
    assert!(weak.upgrade().is_none(), "something holds it");
}

#[test]
fn a_dial_that_is_dropped_can_be_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, _runtime) = broker(dir.path());
    let mut first = Box::pin(broker.dial_channel(7));
    assert!(first.as_mut().now_or_never().is_none());
    let twice = broker.dial_channel(7).now_or_never().expect("at once");
    assert!(twice.is_err(), "one dial at a time");
    drop(first);
    let mut second = Box::pin(broker.dial_channel(7));
    assert!(second.as_mut().now_or_never().is_none());
    let (_outgoing, control) = broker.outgoing();
    broker.received(control, announcement(&dir, 7));
    let error = second
        .now_or_never()
        .expect("answered")
        .expect_err("nobody");
    assert!(
        matches!(error, BrokerError::Connect { id: 7, .. }),
        "{error}"
    );
}

/// That `id` is served at a place where nobody listens.
fn announcement(dir: &tempfile::TempDir, id: u32) -> ConnInfo {
    ConnInfo {
        service_id: id,
        network: "unix".to_owned(),
        address: dir.path().join("x").to_string_lossy().into_owned(),
        knock: None,
    }
}

#[test]
fn giving_up_an_answered_dial_leaves_the_next_one_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, _runtime) = broker(dir.path());
    let (_outgoing, control) = broker.outgoing();
    let mut first = Box::pin(broker.dial_channel(7));
    assert!(first.as_mut().now_or_never().is_none());
    broker.received(control, announcement(&dir, 7));
    // Answered, and nobody has looked at the answer.
    let mut second = Box::pin(broker.dial_channel(7));
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    broker.received(control, announcement(&dir, 7));
    let error = second.now_or_never().expect("answered");
    let error = error.expect_err("nobody listens");
    assert!(
        matches!(error, BrokerError::Connect { id: 7, .. }),
        "{error}"
    );
}

/// The ids announced on a control stream; `Err` once it has ended.
fn announced(outgoing: &mut Streaming<ConnInfo>) -> Result<Vec<u32>, Vec<u32>> {
    let mut ids = Vec::new();
    loop {
        match outgoing.message().now_or_never() {
            Some(message) => match message.expect("no error") {
                Some(message) => ids.push(message.service_id),
                None => return Err(ids),
            },
            None => return Ok(ids),
        }
    }
}

#[test]
fn the_next_control_stream_ends_what_belongs_to_the_one_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, runtime) = broker(dir.path());
    // What is served before there is a control stream belongs to the first.
    let early = broker.serve(Owner(())).expect("serves");
    let (mut first, _) = broker.outgoing();
    assert_eq!(announced(&mut first), Ok(vec![early.id()]));
    let mut dial = Box::pin(broker.dial_channel(9));
    assert!(dial.as_mut().now_or_never().is_none());

    let (mut second, _) = broker.outgoing();
    assert_eq!(announced(&mut first), Err(vec![]));
    let error = dial.now_or_never().expect("at once").expect_err("closed");
    assert!(
        matches!(
            error,
            BrokerError::Broker(machine::BrokerError::Closed { .. })
        ),
        "{error}"
    );
    runtime.turn();
    assert_eq!(sockets(&dir), 0);
    let late = broker.serve(Owner(())).expect("serves");
    assert_eq!(late.id(), early.id(), "ids begin anew");
    drop(early);
    runtime.turn();
    assert_eq!(sockets(&dir), 1);
    assert_eq!(announced(&mut second), Ok(vec![late.id()]));
}

#[test]
fn the_late_end_of_a_control_stream_leaves_the_next_one_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, runtime) = broker(dir.path());
    let (peer, incoming) = Streaming::channel(1);
    let (_outgoing, first) = broker.outgoing();
    broker.attach(incoming, first);
    runtime.turn();

    let (_next_peer, incoming) = Streaming::channel(1);
    let (mut outgoing, second) = broker.outgoing();
    broker.attach(incoming, second);
    // Only now does the first one's task see its end, and an announcement before it.
    broker.received(first, announcement(&dir, 7));
    drop(peer);
    runtime.turn();
    let served = broker.serve(Owner(())).expect("the broker lives");
    assert_eq!(announced(&mut outgoing), Ok(vec![served.id()]));
    let mut dial = Box::pin(broker.dial_channel(7));
    assert!(dial.as_mut().now_or_never().is_none(), "not announced here");
}

#[test]
fn announcements_without_end_let_others_have_their_turn() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        let (_outgoing, control) = broker.outgoing();
        let mut next = 0;
        let flood = Streaming::iter(std::iter::repeat_with(move || {
            next += 1;
            let address = format!("/{next}");
            ConnInfo {
                service_id: next,
                network: "unix".to_owned(),
                address,
                knock: None,
            }
        }));
        broker.attach(flood, control);
        for turn in 1..=3 {
            runtime.turn();
            let taken = broker.lock().peer_files.len();
            assert_eq!(taken, turn * control::MESSAGES_IN_A_ROW);
        }
    });
}

#[test]
fn a_dial_does_not_wait_for_ever_for_an_address_that_is_silent() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, runtime) = broker(dir.path());
    let (_outgoing, control) = broker.outgoing();
    broker.received(control, announcement(&dir, 7));
    runtime.black_hole.store(true, Ordering::Relaxed);
    let error = broker.dial_channel(7).now_or_never();
    let error = error.expect("limited").expect_err("nobody answers");
    let text = crate::text::chain(&error);
    assert!(
        text.contains("broker id 7") && text.contains("20s"),
        "{text}"
    );
}

#[test]
fn the_latest_socket_files_of_a_peer_are_remembered() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, _runtime) = broker(dir.path());
    let (_outgoing, control) = broker.outgoing();
    let file = |n: usize| dir.path().join(n.to_string());
    for n in (0..=MAX_PEER_FILES).chain([1]) {
        let address = file(n).to_string_lossy().into_owned();
        let mut message = announcement(&dir, 7);
        message.address = address;
        broker.received(control, message);
    }
    let state = broker.lock();
    let mut files = state.peer_files.keys();
    assert_eq!(
        (files.next(), files.next_back()),
        (Some(&file(2)), Some(&file(1)))
    );
    assert_eq!(state.peer_files.len(), MAX_PEER_FILES);
}

/// Channels inside a connection that is gone, or takes everything.
#[derive(Debug, Default)]
struct Inner {
    gone: bool,
    accepted: Mutex<Vec<u32>>,
    drained: Arc<Mutex<Vec<u32>>>,
}

impl SubChannels for Inner {
    fn accept(&self, id: u32, _: Arc<Router>) -> Result<Arc<dyn Serving>, Status> {
        if self.gone {
            return Err(Status::connection_lost("gone"));
        }
        self.accepted.lock().expect("no panic").push(id);
        Ok(Arc::new(Accepted(id, Arc::clone(&self.drained))))
    }

    fn dial(&self, _: u32, _: ConnectionConfig) -> Arc<dyn Connection> {
        Arc::new(Dialled)
    }
}

#[derive(Debug)]
struct Accepted(u32, Arc<Mutex<Vec<u32>>>);

impl Serving for Accepted {
    fn drain(&self) {
        self.1.lock().expect("no panic").push(self.0);
    }

    fn abort(&self) {}

    fn closed(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[derive(Debug)]
struct Dialled;

impl Connection for Dialled {
    fn unary(
        &self,
        _: CallHead,
        _: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        unreachable!("nobody calls")
    }

    fn open(&self, _: CallHead, _: MessageStream) -> Box<dyn Call> {
        unreachable!("nobody calls")
    }

    fn drain(&self) {}

    fn abort(&self, _: Status) {}

    fn closed(&self) -> BoxFuture<'static, Status> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_service_refused_by_the_connection_may_own_what_the_broker_serves() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker(dir.path());
        let inner = broker.serve(Owner(())).expect("serves");
        let gone = Inner {
            gone: true,
            ..Inner::default()
        };
        broker.begin(|| (), |()| Some(Arc::new(gone) as Arc<dyn SubChannels>));
        let refused = broker.serve(Owner(inner)).expect_err("gone");
        assert!(matches!(refused, BrokerError::Channel(_)), "{refused}");
    });
}

#[test]
fn making_a_listener_holds_nobody_up() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        let (_outgoing, control) = broker.outgoing();
        let (other, message) = (broker.clone(), announcement(&dir, 7));
        *runtime.meanwhile.lock().expect("no panic") = Some(Box::new(move || {
            // What the connection's task does with a message, and another handler of the user's.
            other.received(control, message);
            drop(other.serve(Owner(())).expect("serves"));
            assert!(format!("{other:?}").contains("Broker"));
        }));
        let served = broker.serve(Owner(())).expect("serves");
        runtime.turn();
        assert_eq!((served.id(), sockets(&dir)), (1, 1));
    });
}

#[test]
fn what_is_closed_while_its_listener_is_made_is_not_served() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        for again in [false, true] {
            let other = broker.clone();
            let (_first, _) = broker.outgoing();
            *runtime.meanwhile.lock().expect("no panic") = Some(Box::new(move || {
                if again {
                    other.close();
                } else {
                    drop(other.outgoing());
                }
            }));
            let error = broker.serve(Owner(())).expect_err("it has ended");
            assert!(
                matches!(
                    error,
                    BrokerError::Broker(machine::BrokerError::Closed { .. })
                ),
                "{error}"
            );
            runtime.turn();
            assert_eq!((sockets(&dir), runtime.tasks()), (0, 0));
        }
    });
}

#[test]
fn what_comes_before_the_connection_has_begun_is_served_and_dialled_inside_it() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker_of(Protocol::Stdio, dir.path());
        let inner = Arc::new(Inner::default());
        let mut dial = Box::pin(broker.dial_channel(7));
        let served = broker.begin(
            || {
                // As a handler on another thread would.
                assert!(dial.as_mut().now_or_never().is_none(), "it waits");
                drop(broker.serve(Owner(())).expect("serves"));
                broker.serve(Owner(())).expect("serves")
            },
            |_| Some(Arc::clone(&inner) as Arc<dyn SubChannels>),
        );
        assert!(dial.now_or_never().expect("known").is_ok());
        let late = broker.serve(Owner(())).expect("serves");
        assert_eq!(*inner.accepted.lock().expect("no panic"), [2, 3]);
        assert_eq!((served.id(), late.id(), sockets(&dir)), (2, 3, 0));
        drop(served);
        assert_eq!(*inner.drained.lock().expect("no panic"), [2]);
        broker.close();
        assert_eq!(*inner.drained.lock().expect("no panic"), [2, 3]);
        assert!(broker.serve(Owner(())).is_err());
        drop(late);
    });
}

#[test]
fn a_broker_closed_while_its_connection_begins_keeps_nothing() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker_of(Protocol::Stdio, dir.path());
        let inner = Arc::new(Inner::default());
        let mut dial = Box::pin(broker.dial_channel(7));
        let served = broker.begin(
            || {
                assert!(dial.as_mut().now_or_never().is_none(), "it waits");
                let served = broker.serve(Owner(broker.clone())).expect("serves");
                broker.close();
                served
            },
            |_| Some(Arc::clone(&inner) as Arc<dyn SubChannels>),
        );
        assert!(dial.now_or_never().expect("known").is_err());
        assert_eq!(Arc::strong_count(&inner), 1, "the broker holds it");
        let weak = Arc::downgrade(&broker.0);
        drop((broker, served));
        assert!(weak.upgrade().is_none(), "something holds it");
    });
}

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

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<BoxByteStream>> {
        if self.1 == 0 {
            return Poll::Pending;
        }
        self.1 -= 1;
        Poll::Ready(Ok(Box::new(futures_util::io::Cursor::new(Vec::new()))))
    }
}

#[test]
fn what_is_called_on_a_brokered_socket_ends_with_what_counts_it() {
    let in_flight = Arc::new(InFlight::default());
    let transport = Arc::new(EndlessTransport::default());
    let runtime: SharedRuntime = Arc::new(Still::default());
    let serve = |connections| {
        let listener = Few(Endpoint::Tcp("127.0.0.1:1".to_owned()), connections);
        server::Server::new(
            Arc::clone(&runtime),
            Arc::clone(&transport) as Arc<dyn Transport>,
            (Box::new(listener), None),
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
