//! A driver with parts missing: a plugin without a process of its own.

use std::future::poll_fn;
use std::sync::Arc;

use futures_channel::{mpsc, oneshot};
use futures_util::future::join;
use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::{HostExpectation, Protocol};
use outboard_core::host::{self as machine, ExitReason, HostConfig, WhenDropped};
use outboard_core::reattach::ReattachConfig;
use outboard_core::rpc::{Code, Router, ServerConfig, Status, Transport};
use outboard_core::rt::SharedRuntime;

use super::driver::{Driver, DriverParts};
use super::logs::LogPump;
use super::pipes::Pipes;
use super::process::Running;
use super::shared::{Shared, Verb};
use super::sync::SyncWriters;
use crate::{
    AttachError, ConfigError, H2, Handshake, Host, HostError, RunningPlugin, Secured, Tokio,
};

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
    let record = ReattachConfig::new(Protocol::Grpc, endpoint.clone());
    let parts = DriverParts {
        runtime: Arc::clone(runtime),
        machine: machine::Host::attach(config, now, None, endpoint, Protocol::Grpc),
        process: Running::default(),
        attached: Some((1, record)),
        addresses: None,
        pipes: Pipes::new(None, logs),
        program: None,
        dir: None,
        transports: vec![Arc::new(H2::new())],
        secure: super::security::Secure::default(),
        shared: Arc::clone(&shared),
        lease: None,
    };
    let driver = Driver::new(parts, wanted, ready);
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
    let (io, config) = (accepted.expect("it connects").io, ServerConfig::default());
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

/// What listens in this process, as a plugin without services.
struct Listening {
    dir: tempfile::TempDir,
    runtime: SharedRuntime,
    listener: Box<dyn outboard_core::rt::Listener>,
}

impl Listening {
    fn new() -> Self {
        let runtime: SharedRuntime = Tokio::current().into();
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let socket = std::os::unix::net::UnixListener::bind(&path).expect("it can be bound");
        let listener = runtime.listener(socket.into(), Endpoint::Unix(path));
        Self {
            dir,
            listener: listener.expect("it is registered"),
            runtime,
        }
    }

    fn record(&self) -> ReattachConfig {
        let path = self.dir.path().join("socket");
        ReattachConfig::new(Protocol::Grpc, Endpoint::Unix(path))
    }

    async fn serve(&mut self) -> Arc<dyn outboard_core::rpc::Serving> {
        let io = poll_fn(|cx| self.listener.poll_accept(cx)).await;
        let (io, config) = (io.expect("it connects").io, ServerConfig::default());
        H2::new().serve(&self.runtime, io, Arc::new(Router::new()), config)
    }

    /// What a host gets that attaches by this record.
    async fn attached(&mut self, record: ReattachConfig) -> RunningPlugin {
        let host = Host::new(HANDSHAKE).attach(record);
        let (started, _serving) = join(host.start(Tokio::current()), self.serve()).await;
        started.expect("it attaches")
    }

    async fn refused(&self, record: ReattachConfig) -> HostError {
        let host = Host::new(HANDSHAKE).attach(record);
        host.start(Tokio::current()).await.expect_err("no plugin")
    }
}

const HANDSHAKE: Handshake = Handshake::new(1, "A", "b");

/// A process that ends when its stdin does.
#[cfg(target_os = "linux")]
fn process() -> std::process::Child {
    std::process::Command::new("/bin/sh")
        .args(["-c", "read line"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("there is a shell")
}

#[tokio::test]
async fn a_host_attaches_by_a_record_and_gives_the_same_again() {
    let mut listening = Listening::new();
    let mut record = listening.record();
    record.version = Some(1);
    for _ in 0..3 {
        let plugin = listening.attached(record.clone()).await;
        assert_eq!(plugin.reattach_config(), Ok(record.clone()));
        assert_eq!((plugin.negotiated_version(), plugin.pid()), (1, None));
        assert_eq!(plugin.detach().await.reason, ExitReason::Released);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_end_of_a_plugin_that_was_attached_to_is_noticed() {
    let mut listening = Listening::new();
    let mut process = process();
    let mut record = listening.record();
    record.pid = Some(process.id());
    record.started = outboard_unix::started(process.id());
    assert!(record.started.is_some());
    let plugin = listening.attached(record.clone()).await;
    assert_eq!(plugin.pid(), Some(process.id()));
    drop(process.stdin.take());
    assert_eq!(plugin.exited().await.reason, ExitReason::Crashed);
    process.wait().expect("it has ended");
    let error = listening.refused(record).await;
    assert!(
        matches!(&error, HostError::Attach { error, .. } if matches!(**error, AttachError::NoProcess { .. })),
        "{error}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_kill_is_for_the_process_of_the_record_and_for_none_in_a_test() {
    let mut listening = Listening::new();
    let mut process = process();
    let mut record = listening.record();
    record.pid = Some(process.id());
    record.started = outboard_unix::started(process.id());
    record.test = true;
    let plugin = listening.attached(record.clone()).await;
    assert_eq!(plugin.kill().await.reason, ExitReason::Released);
    assert_eq!(process.try_wait().expect("it is ours"), None);
    record.test = false;
    let mut other = record.clone();
    other.started = Some("another boot:7".to_owned());
    let error = listening.refused(other).await;
    assert!(
        matches!(&error, HostError::Attach { error, .. } if matches!(**error, AttachError::AnotherProcess { .. })),
        "{error}"
    );
    let plugin = listening.attached(record).await;
    assert_eq!(plugin.kill().await.reason, ExitReason::Killed);
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(process.wait().expect("it is ours").signal(), Some(9));
}

/// Nothing says that the process is the plugin: it is asked, which this one does not understand, and let go of.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_not_known_to_be_the_plugin_is_never_killed() {
    let mut listening = Listening::new();
    let mut process = process();
    let mut record = listening.record();
    for pid in [Some(process.id()), None] {
        record.pid = pid;
        let plugin = listening.attached(record.clone()).await;
        assert_eq!(plugin.kill().await.reason, ExitReason::Released);
        let (started, serving) = {
            let host = Host::new(HANDSHAKE)
                .attach(record.clone())
                .shutdown_grace(std::time::Duration::ZERO);
            join(host.start(Tokio::current()), listening.serve()).await
        };
        let report = started.expect("it attaches").shutdown().await;
        let report = report.expect("it is let go of");
        assert_eq!(report.reason, ExitReason::Released);
        drop(serving);
    }
    assert_eq!(process.try_wait().expect("it is ours"), None);
    drop(process.stdin.take());
    process.wait().expect("it has ended");
}

#[tokio::test]
async fn records_that_do_not_fit_are_refused() {
    let listening = Listening::new();
    let refused = async |change: fn(&mut ReattachConfig)| {
        let mut record = listening.record();
        change(&mut record);
        match listening.refused(record).await {
            HostError::Attach { error, .. } => *error,
            other => panic!("unexpected: {other}"),
        }
    };
    use AttachError as E;
    assert!(matches!(
        refused(|r| r.version = Some(7)).await,
        E::Version(_)
    ));
    assert!(matches!(
        refused(|r| r.protocol = Protocol::NetRpc).await,
        E::OtherProtocol { .. }
    ));
    assert!(matches!(
        refused(|r| r.owner = Some(4_000_000)).await,
        E::OtherOwner { .. }
    ));
    assert!(matches!(
        refused(|r| r.secured = Some(Secured::AutoMtls)).await,
        E::NoIdentity
    ));
    assert!(matches!(
        refused(|r| r.pid = Some(u32::MAX)).await,
        E::NoProcess { .. }
    ));
    let gone = Endpoint::Unix("/nowhere/at/all".into());
    let error = {
        let record = ReattachConfig::new(Protocol::Grpc, gone);
        listening.refused(record).await
    };
    assert!(
        matches!(&error, HostError::Attach { error, .. } if matches!(**error, E::NobodyListens(_))),
        "{error}"
    );
    let host = Host::new(HANDSHAKE).attach(listening.record());
    let both = host
        .clone()
        .command(crate::Command::new("x"))
        .start(Tokio::current())
        .await;
    assert!(matches!(
        both,
        Err(HostError::Config(ConfigError::TwoWaysToStart))
    ));
    #[cfg(feature = "checksum")]
    {
        let checksum = crate::Checksum::sha256([0; 32]);
        let both = host
            .clone()
            .checksum(checksum)
            .start(Tokio::current())
            .await;
        let expected = ConfigError::ChecksumAndAttach;
        assert!(matches!(both, Err(HostError::Config(error)) if error == expected));
    }
    #[cfg(feature = "multiplex")]
    {
        let both = host.multiplex(true).start(Tokio::current()).await;
        let expected = ConfigError::MultiplexAndAttach;
        assert!(matches!(both, Err(HostError::Config(error)) if error == expected));
    }
}
