//! What a session may be made to keep by a peer that is not trusted, and how long by one that says nothing.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_core::told::Teller;
use outboard_gob::{Limits, Value};
use outboard_kit::runtime::{Clock, Tasks};
use outboard_kit::{TestRuntime, run_with, settle};
use outboard_transport_netrpc::wire::Nothing;
use outboard_transport_netrpc::{
    CallError, HostSession, Make, Methods, PluginSession, Provided, RpcClient, Service,
};
use outboard_yamux::{Incoming, Opener};

use self::support::{accept, raw_host, raw_plugin};

const SECOND: Duration = Duration::from_secs(1);

/// A plugin, and a host of it that is made by hand.
struct Rig {
    runtime: SharedRuntime,
    tasks: Tasks,
    clock: Clock,
    plugin: PluginSession,
    opener: Opener,
    _incoming: Incoming,
    /// How many calls run.
    running: Arc<AtomicUsize>,
    /// Ends all that wait.
    go: Teller<()>,
}

fn rig() -> Rig {
    let (runtime, tasks, clock) = TestRuntime::with_clock();
    let (far, (opener, incoming)) = raw_host(&runtime);
    let (running, go) = (Arc::new(AtomicUsize::new(0)), Teller::new());
    let (counted, told) = (Arc::clone(&running), go.told());
    let make: Make = Arc::new(move |_| {
        let (counted, told) = (Arc::clone(&counted), told.clone());
        let wait = move |_: Value| {
            let (counted, told) = (Arc::clone(&counted), told.clone());
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                told.await;
                counted.fetch_sub(1, Ordering::Relaxed);
                Ok::<_, String>(true)
            }
        };
        Ok(Arc::new(Methods::new().with("Wait", wait)) as Arc<dyn Service>)
    });
    let provided = Provided {
        plugins: [("waiter".to_owned(), make)].into(),
        ..Provided::default()
    };
    let plugin = PluginSession::begin(&runtime, far, provided);
    Rig {
        runtime,
        tasks,
        clock,
        plugin,
        opener,
        _incoming: incoming,
        running,
        go,
    }
}

impl Rig {
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        run_with(self.tasks, work)
    }

    fn open(&self) -> BoxByteStream {
        Box::new(self.run(self.opener.open()).expect("opens"))
    }

    /// The control stream, and the two that go with it.
    fn control(&self) -> (RpcClient, [BoxByteStream; 2]) {
        let control = RpcClient::new(&self.runtime, self.open(), Limits::default());
        (control, [self.open(), self.open()])
    }

    fn dispense(&self, control: &RpcClient) -> Result<u32, CallError> {
        self.run(control.call("Dispenser.Dispense", "waiter"))
    }

    fn ping(&self, control: &RpcClient) {
        let Nothing {} = self
            .run(control.call("Control.Ping", &true))
            .expect("an answer");
    }

    /// A stream to an id; whether it was accepted.
    fn dial(&self, id: u32) -> Option<BoxByteStream> {
        let mut io = self.open();
        self.run(dial(&mut io, id)).then_some(io)
    }
}

async fn dial(io: &mut BoxByteStream, id: u32) -> bool {
    io.write_all(&id.to_le_bytes()).await.expect("writes");
    let mut found = [0; 4];
    let answered = io.read_exact(&mut found).await.is_ok();
    assert!(!answered || found == id.to_le_bytes());
    answered
}

#[test]
fn a_host_that_does_not_open_its_three_streams_is_given_up() {
    for count in 0..3 {
        let rig = rig();
        let _streams: Vec<_> = (0..count).map(|_| rig.open()).collect();
        let mut ended = Box::pin(rig.plugin.ended());
        for _ in 0..29 {
            settle(rig.tasks);
            rig.clock.advance(SECOND);
        }
        settle(rig.tasks);
        assert!((&mut ended).now_or_never().is_none());
        rig.clock.advance(SECOND);
        let fault = rig.run(ended).expect_err("a host says more").to_string();
        assert!(
            fault.contains(&format!("got {count} within 30s")),
            "{fault}"
        );
        // The connection is closed, whoever holds the session.
        rig.run(rig.opener.closed());
    }
}

#[test]
fn a_plugin_that_ends_does_not_wait_for_streams_that_have_not_come() {
    let rig = rig();
    let _one = rig.open();
    rig.plugin.drain();
    rig.run(rig.plugin.ended()).expect("an end in order");
}

#[test]
fn instances_that_nobody_dials_are_bounded() {
    let rig = rig();
    let (control, _output) = rig.control();
    let ids: Vec<_> = (0..256)
        .map(|_| rig.dispense(&control).expect("an id"))
        .collect();
    let error = rig.dispense(&control).expect_err("one too many");
    assert!(matches!(error, CallError::Answered { .. }), "{error}");
    assert!(error.to_string().contains("256 instances wait"), "{error}");
    // Each one that is dialled makes room for one, and so do those that nobody dials in time.
    let _first = rig.dial(ids[0]).expect("it is accepted");
    rig.dispense(&control).expect("an id");
    rig.dispense(&control).expect_err("one too many");
    rig.clock.advance(5 * SECOND);
    settle(rig.tasks);
    for _ in 0..256 {
        rig.dispense(&control).expect("an id");
    }
    rig.dispense(&control).expect_err("one too many");
}

#[test]
fn instances_at_once_are_bounded() {
    let rig = rig();
    let (control, _output) = rig.control();
    let dispense = || rig.dispense(&control);
    let mut instances: Vec<_> = (0..1024)
        .map(|_| {
            rig.dial(dispense().expect("an id"))
                .expect("it is accepted")
        })
        .collect();
    let error = dispense().expect_err("one too many").to_string();
    assert!(error.contains("1024 instances and services"), "{error}");
    // One that is let go of makes room.
    let mut io = instances.pop().expect("one of them");
    let ending = async {
        io.close().await.expect("closes");
        io.read(&mut [0]).await.expect("an end")
    };
    assert_eq!(rig.run(ending), 0);
    settle(rig.tasks);
    let id = dispense().expect("an id");
    rig.dial(id).expect("it is accepted");
}

#[test]
fn calls_are_bounded_over_all_streams_of_a_session() {
    let rig = rig();
    let (control, _output) = rig.control();
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let id = rig.dispense(&control).expect("an id");
            let io = rig.dial(id).expect("it is accepted");
            RpcClient::new(&rig.runtime, io, Limits::default())
        })
        .collect();
    let call = |client: &RpcClient| {
        let mut call = Box::pin(client.clone().call::<_, bool>("Plugin.Wait", &Value::Nil));
        assert!((&mut call).now_or_never().is_none());
        call
    };
    let mut calls = Vec::new();
    for client in &clients {
        for _ in 0..1100 {
            calls.push(call(client));
        }
        settle(rig.tasks);
    }
    // 1,024 of each of the first four.
    assert_eq!(rig.running.load(Ordering::Relaxed), 4096);
    // The control stream is for itself.
    rig.ping(&control);
    rig.go.tell(());
    for call in calls {
        assert!(rig.run(call).expect("an answer"));
    }
    assert_eq!(rig.running.load(Ordering::Relaxed), 0);
}

#[test]
fn streams_that_are_served_under_one_id_are_bounded() {
    let (runtime, tasks, _clock) = TestRuntime::with_clock();
    let (near, (opener, mut incoming)) = raw_plugin(&runtime);
    let begun = HostSession::begin(&runtime, near, Limits::default());
    let (host, _printed) = begun.expect("a session");
    run_with(tasks, async {
        let mut standing = Vec::new();
        for _ in 0..3 {
            standing.push(accept(&mut incoming).await);
        }
        let service: Arc<dyn Service> = Arc::new(Methods::new());
        let offered = host.broker().offer(service).expect("it can be");
        let mut streams = Vec::new();
        for _ in 0..256 {
            let mut io: BoxByteStream = Box::new(opener.open().await.expect("opens"));
            assert!(dial(&mut io, offered.id()).await);
            streams.push(io);
        }
        let mut one_too_many: BoxByteStream = Box::new(opener.open().await.expect("opens"));
        assert!(!dial(&mut one_too_many, offered.id()).await);
        // Other ids are served on.
        let service: Arc<dyn Service> = Arc::new(Methods::new());
        let other = host.broker().offer(service).expect("it can be");
        let mut of_other: BoxByteStream = Box::new(opener.open().await.expect("opens"));
        assert!(dial(&mut of_other, other.id()).await);
        let mut one = streams.pop().expect("one of them");
        one.close().await.expect("closes");
        assert_eq!(one.read(&mut [0]).await.expect("an end"), 0);
        let mut next: BoxByteStream = Box::new(opener.open().await.expect("opens"));
        assert!(dial(&mut next, offered.id()).await);
    });
}
