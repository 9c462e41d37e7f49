//! The driver without a process: no claimed streams, and a connection that is given to it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::FutureExt as _;
use futures_util::io::Cursor;
use futures_util::task::AtomicWaker;
use outboard_core::admission::Allowed;
use outboard_core::env::PluginEnv;
use outboard_core::handshake::Protocol;
use outboard_core::plugin::{PluginConfig, SocketKind, StopReason};
use outboard_core::rpc::{Connection, ConnectionConfig, Router, ServerConfig, Serving, Transport};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::told::Teller;

use super::driver::{Around, Driver, DriverParts};
use super::events::PluginEvents;
use crate::broker::tests::Still;
use crate::carrier::Security;
use crate::serve::tracked::InFlight;
use crate::services::Asked;
use crate::services::health::HealthService;

const OPEN: usize = 0;
const DRAINED: usize = 1;
const ABORTED: usize = 2;
const CLOSED: usize = 3;

/// A transport with one connection, which is closed when the test says so.
#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Wire>);

#[derive(Debug, Default)]
struct Wire {
    state: AtomicUsize,
    waker: AtomicWaker,
}

impl Scripted {
    fn state(&self) -> usize {
        self.0.state.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.0.state.store(CLOSED, Ordering::Relaxed);
        self.0.waker.wake();
    }
}

impl Transport for Scripted {
    fn protocol(&self) -> Protocol {
        Protocol::Stdio
    }

    fn connect(
        &self,
        _: &SharedRuntime,
        _: BoxByteStream,
        _: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        unreachable!("a plugin is connected to")
    }

    fn serve(
        &self,
        _: &SharedRuntime,
        _: BoxByteStream,
        _: Arc<Router>,
        _: ServerConfig,
    ) -> Arc<dyn Serving> {
        Arc::new(self.clone())
    }
}

impl Serving for Scripted {
    fn drain(&self) {
        self.0.state.fetch_max(DRAINED, Ordering::Relaxed);
    }

    fn abort(&self) {
        self.0.state.fetch_max(ABORTED, Ordering::Relaxed);
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let wire = Arc::clone(&self.0);
        Box::pin(poll_fn(move |cx| {
            wire.waker.register(cx.waker());
            match wire.state.load(Ordering::Relaxed) {
                CLOSED => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }))
    }
}

struct Served {
    driver: Driver,
    wire: Scripted,
    calls: Arc<InFlight>,
    asked: mpsc::UnboundedSender<Asked>,
}

impl Served {
    /// One whose limits never come: only what happens ends it.
    fn new() -> Self {
        let env = PluginEnv::read_without_cookie(|name| {
            (name == "OUTBOARD_TRANSPORTS").then(|| "stdio".into())
        });
        let versions = BTreeMap::from([(1, vec![Protocol::Stdio])]);
        let mut config = PluginConfig::new(env.clone(), versions);
        config.drain_timeout = Duration::MAX;
        config.abort_patience = Duration::MAX;
        let wire = Scripted::default();
        let calls = Arc::new(InFlight::default());
        let (asked, shutdown_calls) = mpsc::unbounded();
        let driver = Driver::new(DriverParts {
            runtime: Arc::new(Still::default()),
            config,
            env,
            around: Around {
                pipes: Some(Box::new(Cursor::new(Vec::new()))),
                ..Around::default()
            },
            dir: None,
            given: None,
            brokered: SocketKind::Unix,
            events: Arc::new(PluginEvents::default()),
            routers: BTreeMap::from([(1, Router::new())]),
            transports: vec![Arc::new(wire.clone())],
            health: HealthService::new(),
            #[cfg(feature = "log")]
            on_log_level: None,
            in_flight: Arc::clone(&calls),
            shutdown: Teller::new(),
            security: Security::default(),
            allowed: Allowed::default(),
            max_message_size: 1024,
            asked: asked.clone(),
            shutdown_calls,
        });
        Self {
            driver,
            wire,
            calls,
            asked,
        }
    }

    /// Whether it has ended, and why.
    fn turn(&mut self) -> Option<StopReason> {
        let ended = (&mut self.driver).now_or_never();
        ended.map(|ended| ended.expect("it had started"))
    }
}

#[test]
fn a_plugin_without_a_process_ends_in_good_order() {
    let mut plugin = Served::new();
    assert_eq!(plugin.turn(), None);
    assert_eq!(plugin.wire.state(), OPEN);
    let call = plugin.calls.enter();
    let (answer, mut answered) = oneshot::channel();
    plugin.asked.unbounded_send(answer).expect("it listens");
    assert_eq!(plugin.turn(), None);
    assert_eq!(plugin.wire.state(), DRAINED);
    assert_eq!(answered.try_recv(), Ok(None), "a call is in flight");
    drop(call);
    assert_eq!(plugin.turn(), None, "the connection is open");
    assert!(answered.try_recv().is_err(), "it is answered by its drop");
    plugin.wire.close();
    assert_eq!(plugin.turn(), Some(StopReason::Shutdown));
}

#[test]
fn what_a_broker_serves_inside_the_connection_is_gone_before_the_plugin_has_ended() {
    let mut plugin = Served::new();
    assert_eq!(plugin.turn(), None);
    // The connection tells only of its own calls; those of other channels in it run on for a moment.
    let call = plugin.calls.enter();
    plugin.wire.close();
    assert_eq!(plugin.turn(), None, "a handler runs");
    drop(call);
    assert_eq!(plugin.turn(), Some(StopReason::HostGone));
}

#[test]
fn a_plugin_that_is_dropped_drops_what_it_serves() {
    let mut plugin = Served::new();
    assert_eq!(plugin.turn(), None);
    let wire = plugin.wire.clone();
    drop(plugin);
    assert_eq!(wire.state(), ABORTED);
    let unseen = Served::new();
    let wire = unseen.wire.clone();
    drop(unseen);
    assert_eq!(wire.state(), OPEN, "nothing was served yet");
}
