//! The connection to a plugin, and what is set up on it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, FutureExt as _, Shared as SharedFuture, select};
use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::Protocol;
use outboard_core::host::{HostInput, Printed};
use outboard_core::link::LinkInput;
use outboard_core::rpc::{
    Channel, Code, Connection, ConnectionConfig, LostHook, Status, Streaming, Transport,
};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::wire::plugin::{
    BROKER, CONTROLLER, ConnInfo, Empty, STDIO, StdioData, stdio_data,
};

use super::printed::hand_over;
use super::running::{ExitReport, Shared};
use super::standing::{Standing, StandingParts};
use crate::broker::{Broker, BrokerParts, Generation};
use crate::codegen::{call_bidirectional, call_server_streaming};
use crate::link::{self, Stable};
use crate::time::{self, Turns};

/// The way to a plugin. Clones are the same.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: Arc<dyn Connection>,
    pub(super) broker: Broker,
    /// The same connection, if its inside can be replaced.
    stable: Option<Arc<Stable>>,
    standing: Standing,
    transport: Arc<dyn Transport>,
    config: ConnectionConfig,
}

/// What is inside a [`Link`], now or soon.
pub(super) struct Inside {
    pub(super) connection: Arc<dyn Connection>,
    /// Dropped when this is no longer the last word: calls that it has cut off are told why.
    superseded: oneshot::Sender<()>,
}

impl Inside {
    /// What is watched of it.
    pub(super) fn watch(self) -> Watch {
        Watch {
            news: link::Watch::of(&self.connection),
            _superseded: self.superseded,
        }
    }
}

/// News of the present inside of a [`Link`].
pub(super) struct Watch {
    news: link::Watch,
    _superseded: oneshot::Sender<()>,
}

impl Watch {
    /// What has happened to the connection, each once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HostInput<'static>> {
        self.news.poll(cx).map(|news| match news {
            LinkInput::Retiring => HostInput::ConnectionRetiring,
            LinkInput::Lost
            | LinkInput::Connected
            | LinkInput::ConnectFailed(_)
            | LinkInput::Gone(_) => HostInput::ConnectionLost,
        })
    }
}

/// How long a lost connection waits for the exit that explains it. A process that dies closes its
/// sockets just before its parent learns of its end, so this is hardly ever used up.
const EXPLAIN_WITHIN: Duration = Duration::from_millis(500);

/// How long nothing may come of what an ended process printed before that counts as its end. All of it
/// is there already, and then the stream ends, unless a child of the process holds the other end open.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

impl Link {
    /// Makes the connection over `io`, on which the two streams will be opened that go-plugin's host
    /// has. Nothing is waited for: a Go plugin sends response headers only with the first message,
    /// which may never come.
    pub(super) fn establish(
        runtime: &SharedRuntime,
        transport: Arc<dyn Transport>,
        io: BoxByteStream,
        endpoint: Option<Endpoint>,
        shared: &Arc<Shared>,
    ) -> (Self, Inside) {
        let authority = match &endpoint {
            Some(endpoint) => endpoint.authority(),
            None => "localhost".to_owned(),
        };
        let config = ConnectionConfig {
            max_message_size: shared.settings().max_message_size,
            authority,
            secure: false,
            lost: Some(explain(runtime, shared, None)),
        };
        let (superseded, inside_config) = of_inside(runtime, shared, &config);
        let broker = Broker::new(BrokerParts {
            runtime: Arc::clone(runtime),
            transport: Arc::clone(&transport),
            config: config.clone(),
            listen: shared.settings().listen.clone(),
            calls: None,
            servers: Arc::default(),
        });
        let inside = broker.begin(
            io,
            |io| transport.connect(runtime, io, inside_config),
            |connection| connection.sub_channels(),
        );
        // Pipes cannot be made again, so there the inside is all there is.
        let stable = (transport.protocol() == Protocol::Grpc)
            .then(|| Stable::new(runtime, Arc::clone(&inside)));
        let connection = match &stable {
            Some(stable) => Arc::clone(stable) as Arc<dyn Connection>,
            None => Arc::clone(&inside),
        };
        let standing = Standing::new(StandingParts {
            runtime,
            transport: &transport,
            config: &config,
            endpoint,
            connection: &connection,
            stable: stable.as_ref(),
            shared,
        });
        let stdio = sync_stdio(standing.clone(), Arc::clone(shared));
        runtime.spawn(Box::pin(stdio));
        if inside.sub_channels().is_none() {
            let (outgoing, generation) = broker.outgoing();
            let broker = broker.clone();
            let control = keep_control(standing.clone(), broker, generation, outgoing);
            runtime.spawn(Box::pin(control));
        }
        let link = Self {
            connection,
            broker,
            stable,
            standing,
            transport,
            config,
        };
        let inside = Inside {
            connection: inside,
            superseded,
        };
        (link, inside)
    }

    /// Makes another inside over `io`. It is used once it is [put in place](Self::replace).
    pub(super) fn prepare(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        shared: &Arc<Shared>,
    ) -> Inside {
        let (superseded, config) = of_inside(runtime, shared, &self.config);
        Inside {
            connection: self.transport.connect(runtime, io, config),
            superseded,
        }
    }

    /// Calls wait from now on until another inside is there.
    pub(super) fn interrupt(&self) {
        if let Some(stable) = &self.stable {
            stable.interrupt();
        }
    }

    /// Calls go to this inside from now on.
    pub(super) fn replace(&self, inside: &Inside) {
        if let Some(stable) = &self.stable {
            stable.replace(Arc::clone(&inside.connection));
        }
    }

    /// The plugin is about to end: calls that the present inside does not take fail.
    pub(super) fn settle(&self) {
        if let Some(stable) = &self.stable {
            stable.settle();
        }
    }

    /// Calls fail with this from now on.
    pub(super) fn give_up(&self, status: Status) {
        match &self.stable {
            Some(stable) => stable.fail(status),
            None => self.connection.abort(status),
        }
    }

    /// The process has ended: what it printed last is still read, then calls fail with a status
    /// that says how it ended.
    pub(super) fn ended(&self, runtime: &SharedRuntime, shared: &Arc<Shared>, report: &ExitReport) {
        let connection = Arc::clone(&self.connection);
        let status = report.status(shared.name());
        if let Some(stable) = &self.stable {
            stable.settle_with(status.clone());
        }
        let ended = AtEnd(Arc::clone(shared), Shared::set_link_ended);
        let runtime = Arc::clone(runtime);
        let tasks = Arc::clone(&runtime);
        tasks.spawn(Box::pin(async move {
            take_last_output(&runtime, &ended.0).await;
            connection.abort(status);
            drop(ended);
        }));
    }

    /// Asks the plugin to end, which it was whatever comes of it: go-plugin's plugins die before they
    /// answer. Only one without a controller was not. It does not wait for a stream that calls hold.
    pub(super) fn call_shutdown(&self) -> BoxFuture<'static, HostInput<'static>> {
        let channel = Channel::new(Arc::clone(&self.connection));
        let spare = self.standing.spare();
        Box::pin(async move {
            let channel = spare.await.unwrap_or(channel);
            let mut head = channel.head(CONTROLLER.methods[0].path);
            head.urgent = true;
            match channel.unary::<_, Empty>(head, &Empty {}).await {
                Err(status) if status.code() == Code::Unimplemented => {
                    HostInput::ShutdownUnsupported
                }
                Ok(_) | Err(_) => HostInput::ShutdownAnswered,
            }
        })
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("connection", &self.connection)
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

/// The configuration of one inside. What is given with it is dropped when that is superseded.
fn of_inside(
    runtime: &SharedRuntime,
    shared: &Arc<Shared>,
    config: &ConnectionConfig,
) -> (oneshot::Sender<()>, ConnectionConfig) {
    let (sender, superseded) = oneshot::channel();
    let lost = Some(explain(runtime, shared, Some(superseded.shared())));
    let config = ConnectionConfig {
        lost,
        ..config.clone()
    };
    (sender, config)
}

/// Turns "the connection was closed" into how the process ended, if it did. There is no need to wait
/// for that once the plugin has been reached again, or given up.
fn explain(
    runtime: &SharedRuntime,
    shared: &Arc<Shared>,
    superseded: Option<SharedFuture<oneshot::Receiver<()>>>,
) -> LostHook {
    let runtime = Arc::clone(runtime);
    let shared = Arc::clone(shared);
    Arc::new(move |status: Status| {
        let exited = shared.exited();
        let limit = time::sleep(&runtime, EXPLAIN_WITHIN);
        let name = shared.name().to_owned();
        let superseded = superseded.clone();
        let ended = Arc::clone(&shared);
        Box::pin(async move {
            let lives = async move {
                match superseded {
                    Some(superseded) => {
                        select(superseded, limit).await;
                    }
                    None => limit.await,
                }
            };
            match select(exited, pin!(lives)).await {
                Either::Left((report, _)) => report.status(&name),
                // The exit may have come since it was looked for: it is told before all else is let
                // go of.
                Either::Right(((), _)) => match ended.report() {
                    Some(report) => report.status(&name),
                    None => status,
                },
            }
        })
    })
}

fn open_control(channel: &Channel, outgoing: Streaming<ConnInfo>) -> Streaming<ConnInfo> {
    call_bidirectional(channel, BROKER.methods[0].path, outgoing)
}

/// Keeps the broker's control stream open.
async fn keep_control(
    mut standing: Standing,
    broker: Broker,
    mut generation: Generation,
    mut outgoing: Streaming<ConnInfo>,
) {
    let ended = loop {
        let opened = standing.open(|channel| open_control(channel, outgoing));
        let (incoming, own) = match opened.await {
            Ok(opened) => opened,
            Err(status) => break Err(status),
        };
        let listening = broker.listen_to(incoming, generation);
        match standing.follow(own, listening).await {
            Err(status) if standing.comes_back(&status) => {
                (outgoing, generation) = broker.outgoing_again(generation);
            }
            ended => break ended,
        }
    };
    broker.control_ended(generation, &ended);
}

fn open_stdio(channel: &Channel) -> Streaming<StdioData> {
    call_server_streaming(channel, STDIO.methods[0].path, Empty {})
}

/// Hands what the plugin prints to the user's writers until the plugin has no more.
async fn sync_stdio(mut standing: Standing, shared: Arc<Shared>) {
    let ended = AtEnd(shared, Shared::set_stdio_ended);
    let shared = &ended.0;
    loop {
        let status = match standing.open(open_stdio).await {
            Ok((stream, own)) => match standing.follow(own, copy_stdio(stream, shared)).await {
                Ok(()) => return,
                Err(status) if standing.comes_back(&status) => continue,
                Err(status) => status,
            },
            Err(status) => status,
        };
        let wanted = shared.settings().sync.wanted().contains(&true);
        return note_end(shared.name(), &status, wanted);
    }
}

/// Hands on what comes on one stream, to its end.
async fn copy_stdio(mut stream: Streaming<StdioData>, shared: &Shared) -> Result<(), Status> {
    // The stream is read to its end also without writers: a Go plugin that nobody reads blocks in
    // its prints.
    let mut turns = Turns::default();
    while let Some(data) = stream.message().await? {
        turns.step().await;
        match data.channel() {
            stdio_data::Channel::Stdout => hand_over(shared, Printed::Stdout, &data.data).await,
            stdio_data::Channel::Stderr => {
                shared.said.push(&data.data);
                hand_over(shared, Printed::Stderr, &data.data).await;
            }
            stdio_data::Channel::Invalid => {
                tracing::warn!(
                    target: "outboard",
                    plugin = shared.name(),
                    channel = data.channel,
                    "the plugin sent output of an unknown channel; it is dropped"
                );
            }
        }
    }
    Ok(())
}

/// Waits until the user's writers have got what an ended plugin printed, or have had their time.
async fn take_last_output(runtime: &SharedRuntime, shared: &Shared) {
    let limit = shared.settings().last_output_within;
    let mut over = time::sleep(runtime, limit);
    let mut before = shared.printed.progress();
    loop {
        let quiet = time::sleep(runtime, LAST_OUTPUT);
        match select(shared.output_ended(), select(quiet, &mut over)).await {
            Either::Left(_) => return,
            Either::Right((Either::Left(_), _)) => {
                let (done, writes) = shared.printed.progress();
                if !writes && (done, writes) == before {
                    return;
                }
                before = (done, writes);
            }
            Either::Right((Either::Right(_), _)) => break,
        }
    }
    // What is left is counted at the speed of reading.
    shared.printed.end();
    let quiet = time::sleep(runtime, LAST_OUTPUT);
    select(shared.output_ended(), quiet).await;
    tracing::warn!(
        target: "outboard",
        plugin = shared.name(),
        lost = shared.printed.lost(),
        "the writers of what the plugin printed took longer than {limit:?} for the last of it: the \
         rest is dropped (Host::last_output_within)"
    );
}

/// Says why what the plugin prints does not come, or no longer, unless that goes without saying.
fn note_end(plugin: &str, status: &Status, wanted: bool) {
    match status.code() {
        // The connection has ended, which is told elsewhere.
        Code::Unavailable | Code::Cancelled => {}
        // A normal thing: plugins in other languages often have none.
        Code::Unimplemented if wanted => {
            tracing::warn!(
                target: "outboard",
                plugin,
                "the plugin has no stdio service: what it prints does not get here"
            );
        }
        Code::Unimplemented => {
            tracing::debug!(target: "outboard", plugin, "the plugin has no stdio service");
        }
        _ => {
            tracing::error!(
                target: "outboard",
                plugin,
                %status,
                "what the plugin prints does not get here any more"
            );
        }
    }
}

/// Tells that a task has ended, also if it is dropped with its runtime: then nobody may wait for it,
/// and least of all with a timer, which a runtime that is gone does not have.
pub(super) struct AtEnd(pub(super) Arc<Shared>, pub(super) fn(&Shared));

impl Drop for AtEnd {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}

#[cfg(all(test, feature = "log"))]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;
    use crate::{Handshake, Host};

    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut levels = self.0.lock().expect("no panic");
            levels.push(*event.metadata().level());
        }
    }

    #[test]
    fn a_plugin_that_prints_without_end_lets_others_have_their_turn() {
        #[derive(Clone, Default)]
        struct Count(Arc<AtomicUsize>);
        impl std::io::Write for Count {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let pieces = self.0.fetch_add(1, Ordering::Relaxed);
                assert!(pieces < 1_000, "it holds the thread");
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let count = Count::default();
        let host = Host::new(Handshake::new(1, "A", "b")).sync_stdout(count.clone());
        let shared = Shared::new("it".to_owned(), host.settings);
        let piece = || StdioData {
            channel: stdio_data::Channel::Stdout.into(),
            data: b"x".as_slice().into(),
        };
        let flood = Streaming::iter(std::iter::repeat_with(piece).take(1_500));
        let mut copying = pin!(copy_stdio(flood, &shared));
        for turn in 1..=3 {
            assert!(copying.as_mut().now_or_never().is_none());
            assert_eq!(count.0.load(Ordering::Relaxed), turn * time::IN_A_ROW);
        }
    }

    #[test]
    fn only_an_unexpected_end_of_stdio_is_an_error() {
        let told = |status: Status, wanted| {
            let levels = Levels::default();
            let subscriber = tracing_subscriber::registry().with(levels.clone());
            tracing::subscriber::with_default(subscriber, || note_end("it", &status, wanted));
            std::mem::take(&mut *levels.0.lock().expect("no panic"))
        };
        for wanted in [false, true] {
            let nothing: [Level; 0] = [];
            assert_eq!(told(Status::connection_lost("gone"), wanted), nothing);
            assert_eq!(told(Status::cancelled("dropped"), wanted), nothing);
            let absent = if wanted { Level::WARN } else { Level::DEBUG };
            assert_eq!(told(Status::unimplemented("absent"), wanted), [absent]);
            assert_eq!(told(Status::internal("broken"), wanted), [Level::ERROR]);
        }
    }
}
