//! A driver with parts missing: a plugin without a process of its own.

use std::future::poll_fn;
use std::sync::Arc;

use futures_channel::{mpsc, oneshot};
use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::{HostExpectation, Protocol};
use outboard_core::host::{self as machine, ExitReason, HostConfig, WhenDropped};
use outboard_core::rpc::{Code, Router, ServerConfig, Status, Transport};
use outboard_core::rt::SharedRuntime;

use super::driver::{Driver, DriverParts};
use super::logs::LogPump;
use super::pipes::Pipes;
use super::process::Running;
use super::shared::{Shared, Verb};
use super::sync::SyncWriters;
use crate::{H2, Handshake, Host, Tokio};

/// One that is attached to what listens at `endpoint`, and its other end.
fn attach(
    runtime: &SharedRuntime,
    endpoint: Endpoint,
    when_dropped: WhenDropped,
) -> (
    Arc<Shared>,
    mpsc::UnboundedSender<Verb>,
    oneshot::Receiver<Result<super::link::Started, machine::StartError>>,
) {
    let settings = Host::new(Handshake::new(1, "A", "b")).settings;
    let shared = Arc::new(Shared::new(
        "it".to_owned(),
        settings,
        SyncWriters::new(None, None),
    ));
    shared.set_printed_ended();
    let mut config = HostConfig::new(HostExpectation::new([1]).allowing([Protocol::Grpc]));
    config.when_dropped = when_dropped;
    let (verbs, wanted) = mpsc::unbounded();
    let (ready, started) = oneshot::channel();
    let logs = LogPump::new("it".to_owned(), true, None, None, 1);
    let now = runtime.now();
    let driver = Driver::new(DriverParts {
        runtime: Arc::clone(runtime),
        machine: machine::Host::attach(config, now, None, endpoint, Protocol::Grpc),
        process: Running::default(),
        attached: Some((1, Protocol::Grpc)),
        pipes: Pipes::new(None, logs),
        program: None,
        dir: None,
        transports: vec![Arc::new(H2::new())],
        secure: super::security::Secure::default(),
        shared: Arc::clone(&shared),
        verbs: wanted,
        ready,
    });
    runtime.spawn(Box::pin(driver));
    (shared, verbs, started)
}

#[tokio::test]
async fn a_plugin_without_a_process_is_used_and_left_running() {
    let runtime: SharedRuntime = Tokio::current().into();
    let dir = tempfile::tempdir().expect("a directory");
    let endpoint = Endpoint::Unix(dir.path().join("socket"));
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket"));
    let socket = socket.expect("it can be bound").into();
    let listener = runtime.listener(socket, endpoint.clone());
    let mut listener = listener.expect("it is registered");

    let (shared, verbs, started) = attach(&runtime, endpoint, WhenDropped::Release);
    let accepted = poll_fn(|cx| listener.poll_accept(cx)).await;
    let (io, config) = (accepted.expect("it connects"), ServerConfig::default());
    let serving = H2::new().serve(&runtime, io, Arc::new(Router::new()), config);
    let started = started.await.expect("it is up").map_err(|e| e.to_string());
    let started = started.expect("it is up");

    let channel = outboard_core::rpc::Channel::new(Arc::clone(&started.link.connection));
    let health = started.link.peer.health(&channel).await;
    assert_eq!(health.map_err(|s| s.code()), Err(Code::Unimplemented));
    assert!(shared.process().is_none());

    drop(verbs);
    let report = shared.settled().await;
    assert_eq!(report.reason, ExitReason::Released);
    let status: Status = report.status("it");
    assert!(status.message().contains("left running"), "{status}");
    serving.closed().await;
    assert!(dir.path().join("socket").exists(), "it is not this side's");
}
