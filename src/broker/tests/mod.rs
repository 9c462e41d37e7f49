//! The broker's own book-keeping, on a runtime that does nothing by itself.

mod aborting;
mod inside;
mod redial;
mod still;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use futures_util::task::AtomicWaker;
use outboard_core::broker as machine;
use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::Protocol;
use outboard_core::rpc::{
    Call, CallContext, CallHead, Code, Connection, ConnectionConfig, MessageStream, OutMessage,
    Reply, ServerConfig, ServiceDescriptor, Serving, Status, Streaming, Transport,
};
use outboard_core::rt::{BoxFuture, Listener, OsSocket, Runtime, SharedRuntime, Timer};
use outboard_core::wire::plugin::{CONTROLLER, ConnInfo};

use super::ways::server::Server;
use super::ways::sockets::{MAX_PEER_FILES, Sockets};
use super::*;
use crate::carrier::Carrier;
use crate::codegen::{StreamAnswer, UnaryAnswer};
use crate::serve::tracked::InFlight;

pub(crate) use self::still::Still;

/// Its connections can be lost, and nothing else: nobody is accepted.
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
        Arc::new(Dialled::default())
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
        carrier: Carrier::new(&(Arc::clone(&runtime) as SharedRuntime), None),
        transport: Arc::new(Unused(protocol)),
        config: ConnectionConfig::default(),
        listen: ListenPolicy {
            dir: Some(dir.to_owned()),
            ..ListenPolicy::default()
        },
        calls: None,
        ending: None,
        servers: Arc::default(),
    });
    (broker, runtime)
}

fn control(broker: &Broker) -> Arc<dyn Control> {
    broker.control().expect("it announces what it serves")
}

fn sockets_of(broker: &Broker) -> Sockets {
    let AnyWay::Sockets(sockets) = broker.way() else {
        panic!("it has no sockets");
    };
    sockets
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
        assert!(matches!(refused, BrokerError::Listen { .. }), "{refused}");
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
    let _outgoing = control(&broker).outgoing();
    control(&broker).received(announcement(&dir, 7));
    let error = second
        .now_or_never()
        .expect("answered")
        .expect_err("nobody");
    assert!(
        matches!(error, BrokerError::Connect { id: 7, .. }),
        "{error}"
    );
}

#[test]
fn whoever_waits_for_a_dial_may_use_the_broker_when_woken() {
    /// As an executor might that drops a task whose future owns something served.
    struct Uses(Broker, AtomicUsize);
    impl std::task::Wake for Uses {
        fn wake(self: Arc<Self>) {
            drop(self.0.serve(Owner(())));
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        let _outgoing = control(&broker).outgoing();
        let uses = Arc::new(Uses(broker.clone(), AtomicUsize::new(0)));
        let waker = std::task::Waker::from(Arc::clone(&uses));
        let mut cx = Context::from_waker(&waker);
        let mut dials: Vec<_> = [7, 8]
            .map(|id| Box::pin(broker.dial_channel(id)))
            .into_iter()
            .collect();
        for dial in &mut dials {
            assert!(dial.as_mut().poll(&mut cx).is_pending());
        }
        // One is answered, one ends with the broker.
        control(&broker).received(announcement(&dir, 7));
        assert_eq!(uses.1.load(Ordering::Relaxed), 1);
        broker.close();
        assert_eq!(uses.1.load(Ordering::Relaxed), 2);
        drop(dials);
        runtime.turn();
        runtime.turn();
    });
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
    let _outgoing = control(&broker).outgoing();
    let mut first = Box::pin(broker.dial_channel(7));
    assert!(first.as_mut().now_or_never().is_none());
    control(&broker).received(announcement(&dir, 7));
    // Answered, and nobody has looked at the answer.
    let mut second = Box::pin(broker.dial_channel(7));
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    control(&broker).received(announcement(&dir, 7));
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
fn a_second_control_stream_on_a_connection_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, runtime) = broker(dir.path());
    // What is served before there is a control stream is announced on it.
    let early = broker.serve(Owner(())).expect("serves");
    let mut outgoing = control(&broker).outgoing_once().expect("the first");
    let (peer, incoming) = Streaming::channel(1);
    control(&broker).attach(incoming);
    assert_eq!(announced(&mut outgoing), Ok(vec![early.id()]));
    let mut dial = Box::pin(broker.dial_channel(9));
    assert!(dial.as_mut().now_or_never().is_none());

    let refused = |broker: &Broker| {
        let status = control(broker).outgoing_once().expect_err("there is one");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    };
    refused(&broker);
    // The one that is there goes on.
    assert!(dial.as_mut().now_or_never().is_none());
    let late = broker.serve(Owner(())).expect("serves");
    assert_eq!(announced(&mut outgoing), Ok(vec![late.id()]));
    assert_eq!(sockets(&dir), 2);
    // It ends its broker, for which no other stream comes.
    drop(peer);
    runtime.turn();
    let error = dial.now_or_never().expect("at once").expect_err("closed");
    assert!(
        matches!(
            error,
            BrokerError::Broker(machine::BrokerError::Closed { .. })
        ),
        "{error}"
    );
    refused(&broker);
    runtime.turn();
    assert_eq!(sockets(&dir), 0);
}

#[test]
fn a_lost_control_stream_takes_nothing_from_the_one_that_came_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, _runtime) = broker(dir.path());
    let early = broker.serve(Owner(())).expect("serves");
    let mut first = control(&broker).outgoing();
    assert_eq!(announced(&mut first), Ok(vec![early.id()]));
    let mut dial = Box::pin(broker.dial_channel(7));
    assert!(dial.as_mut().now_or_never().is_none());

    let mut second = control(&broker).outgoing();
    let late = broker.serve(Owner(())).expect("serves");
    // A transport may ask for more before it learns that the connection is lost.
    assert_eq!(announced(&mut first), Err(vec![]));
    assert_eq!(announced(&mut second), Ok(vec![early.id(), late.id()]));
    assert!(dial.as_mut().now_or_never().is_none(), "it waits on");
    control(&broker).received(announcement(&dir, 7));
    let error = dial.now_or_never().expect("answered");
    assert!(error.is_err(), "nobody listens there");
}

#[test]
fn announcements_without_end_let_others_have_their_turn() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        let _outgoing = control(&broker).outgoing();
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
        control(&broker).attach(flood);
        for turn in 1..=3 {
            runtime.turn();
            let taken = sockets_of(&broker).peer_files().len();
            assert_eq!(taken, turn * crate::time::IN_A_ROW);
        }
    });
}

#[test]
fn a_dial_does_not_wait_for_ever_for_an_address_that_is_silent() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, runtime) = broker(dir.path());
    let _outgoing = control(&broker).outgoing();
    control(&broker).received(announcement(&dir, 7));
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
    let _outgoing = control(&broker).outgoing();
    let file = |n: usize| dir.path().join(n.to_string());
    for n in (0..=MAX_PEER_FILES).chain([1]) {
        let address = file(n).to_string_lossy().into_owned();
        let mut message = announcement(&dir, 7);
        message.address = address;
        control(&broker).received(message);
    }
    let files = sockets_of(&broker).peer_files();
    assert_eq!(
        (files.first(), files.last()),
        (Some(&file(2)), Some(&file(1)))
    );
    assert_eq!(files.len(), MAX_PEER_FILES);
}

/// A connection that ends when it is aborted or the test says so.
#[derive(Debug)]
struct Dialled {
    closing: Shared<oneshot::Receiver<Status>>,
}

thread_local! {
    /// The ends of this thread's connections, in the order in which they were made.
    static ENDS: RefCell<Vec<oneshot::Sender<Status>>> = const { RefCell::new(Vec::new()) };
}

impl Default for Dialled {
    fn default() -> Self {
        let (end, closing) = oneshot::channel();
        ENDS.with_borrow_mut(|ends| ends.push(end));
        let closing = closing.shared();
        Self { closing }
    }
}

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
        let closing = self.closing.clone();
        Box::pin(async move { closing.await.unwrap_or_else(|_| Status::cancelled("over")) })
    }

    fn is_retiring(&self) -> bool {
        self.closing.peek().is_some()
    }
}

#[test]
fn making_a_listener_holds_nobody_up() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker(dir.path());
        let _outgoing = control(&broker).outgoing();
        let (other, message) = (broker.clone(), announcement(&dir, 7));
        *runtime.meanwhile.lock().expect("no panic") = Some(Box::new(move || {
            // What the connection's task does with a message, and another handler of the user's.
            control(&other).received(message);
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
        let other = broker.clone();
        let _outgoing = control(&broker).outgoing();
        *runtime.meanwhile.lock().expect("no panic") = Some(Box::new(move || other.close()));
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
    });
}
