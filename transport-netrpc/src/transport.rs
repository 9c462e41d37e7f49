//! net/rpc as one of the transports of hosts and plugins. It carries no messages of protobuf: what a host
//! dispenses over it is an instance, and what a plugin serves is in the [`Provided`] of its router.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use outboard_core::fault::Fault;
use outboard_core::handshake::Protocol;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{
    Call, CallHead, Connection, ConnectionConfig, MessageStream, OutMessage, Reply, Router,
    ServerConfig, Serving, Status, Transport, ended_call,
};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::told::{Teller, Told};
use outboard_gob::Limits;
use outboard_yamux::Opener;

use crate::host::{Begun, HostSession, Printed};
use crate::plugin::{PluginSession, Provided};

/// Go's net/rpc, for hosts and plugins that speak it.
///
/// Where messages are bounded by the host's or plugin's own setting, values of gob are so as well, if that
/// is stricter than these limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetRpc {
    limits: Limits,
}

impl NetRpc {
    /// With the default limits of gob.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With these limits of gob.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn limits_within(&self, max_message_size: usize) -> Limits {
        let mut limits = self.limits;
        limits.message = limits.message.min(max_message_size);
        limits
    }
}

impl Transport for NetRpc {
    fn protocol(&self) -> Protocol {
        Protocol::NetRpc
    }

    fn connect(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        config: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        let limits = self.limits_within(config.max_message_size);
        Arc::new(HostConnection::begin(runtime, io, limits, config))
    }

    fn serve(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        router: Arc<Router>,
        config: ServerConfig,
    ) -> Arc<dyn Serving> {
        let provided = router.extensions().get::<Provided>().cloned();
        let mut provided = provided.unwrap_or_default();
        provided.limits = self.limits_within(config.max_message_size);
        Arc::new(PluginServing::begin(runtime, io, provided))
    }
}

/// A host's connection to a plugin.
pub struct HostConnection {
    /// What began, or why it did not.
    session: Result<HostSession, Fault>,
    opener: Opener,
    printed: Mutex<Option<[Printed; 2]>>,
    ending: Arc<Mutex<Ending>>,
    over: Told<Status>,
}

/// What this side has done about the end.
#[derive(Default)]
struct Ending {
    /// What calls fail with, once this side has ended it.
    aborted: Option<Status>,
    /// Nothing more is dispensed.
    draining: bool,
}

impl HostConnection {
    fn begin(
        runtime: &SharedRuntime,
        io: BoxByteStream,
        limits: Limits,
        config: ConnectionConfig,
    ) -> Self {
        let teller = Teller::new();
        let over = teller.told();
        let Begun {
            opener,
            session,
            printed,
        } = HostSession::begin_explained(runtime, io, limits, over.clone(), config.cut_off);
        let ending = Arc::new(Mutex::new(Rank::Driver, Ending::default()));
        let (closed, of_task, lost) = (opener.closed(), Arc::clone(&ending), config.lost);
        runtime.spawn(Box::pin(async move {
            let error = closed.await;
            let aborted = of_task.lock().aborted.clone();
            let status = match (aborted, lost) {
                (Some(status), _) => status,
                (None, lost) => {
                    let status = Status::connection_lost(error.to_string());
                    match lost {
                        Some(hook) => hook(status).await,
                        None => status,
                    }
                }
            };
            teller.tell(status);
        }));
        Self {
            session,
            opener,
            printed: Mutex::new(Rank::Driver, printed),
            ending,
            over,
        }
    }

    /// The session, to dispense from it.
    ///
    /// # Errors
    /// Why there is none, or that nothing more is dispensed.
    pub fn session(&self) -> Result<&HostSession, Status> {
        if self.ending.lock().draining {
            return Err(Status::unavailable(
                "the plugin is about to end: nothing more is dispensed",
            ));
        }
        self.control()
    }

    /// The session, to ask the plugin to end over it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn control(&self) -> Result<&HostSession, Status> {
        let gone = |fault: &Fault| Status::connection_lost(fault.message.clone());
        self.session.as_ref().map_err(gone)
    }

    /// What the plugin prints on its stdout and its stderr, for the first who asks. Both have to be read.
    #[must_use]
    pub fn take_printed(&self) -> Option<[Printed; 2]> {
        self.printed.lock().take()
    }
}

/// What a call of messages fails with here.
fn no_messages(head: &CallHead) -> Status {
    Status::unimplemented(format!(
        "{} is a call of gRPC, and the plugin speaks Go's net/rpc: dispense a client of net/rpc",
        head.path
    ))
}

impl Connection for HostConnection {
    fn unary(
        &self,
        head: CallHead,
        _message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        Box::pin(std::future::ready(Err(no_messages(&head))))
    }

    fn open(&self, head: CallHead, _messages: MessageStream) -> Box<dyn Call> {
        ended_call(no_messages(&head))
    }

    fn drain(&self) {
        // What the plugin prints while it ends still comes this way.
        self.ending.lock().draining = true;
    }

    fn abort(&self, status: Status) {
        let why = status.message().to_owned();
        self.ending.lock().aborted.get_or_insert(status);
        if let Ok(session) = &self.session {
            session.close(&why);
        }
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        let over = self.over.clone();
        let (ending, closed) = (Arc::clone(&self.ending), self.opener.closed());
        Box::pin(async move {
            match over.await {
                Some(status) => status,
                // The task that explains ends was dropped with its runtime.
                None => {
                    let aborted = ending.lock().aborted.clone();
                    match aborted {
                        Some(status) => status,
                        None => Status::connection_lost(closed.await.to_string()),
                    }
                }
            }
        })
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl fmt::Debug for HostConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostConnection")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// A plugin's connection with a host.
struct PluginServing {
    session: Arc<PluginSession>,
    gone: Told<()>,
}

impl PluginServing {
    fn begin(runtime: &SharedRuntime, io: BoxByteStream, provided: Provided) -> Self {
        let session = Arc::new(PluginSession::begin(runtime, io, provided));
        let gone = session.gone();
        let (of_task, of_timer) = (Arc::clone(&session), Arc::clone(runtime));
        runtime.spawn(Box::pin(async move {
            let mut ended = pin!(of_task.ended());
            let mut too_long = pin!(aborted_for_long(of_task.aborted(), of_timer));
            let ended = poll_fn(|cx| match ended.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => too_long.as_mut().poll(cx).map(|()| None),
            });
            match ended.await {
                Some(Ok(())) => tracing::debug!(target: "outboard", "a host has hung up"),
                Some(Err(fault)) => {
                    tracing::debug!(target: "outboard", %fault, "a host's connection has ended");
                }
                None => {
                    tracing::debug!(target: "outboard", "a host does not take its last answer");
                }
            }
            of_task.close("the plugin has ended the connection");
        }));
        Self { session, gone }
    }
}

/// How long the answer to the request to end may take to be written by a plugin that ends at once. (A
/// choice: less than the plugin's end waits for its connections, and far more than a write takes.)
const LAST_ANSWER_WITHIN: Duration = Duration::from_millis(150);

/// Resolves so long after this was told.
async fn aborted_for_long(aborted: Told<()>, runtime: SharedRuntime) {
    let limit = match aborted.await {
        Some(()) => runtime.now().checked_add(LAST_ANSWER_WITHIN),
        None => None,
    };
    match limit.map(|at| runtime.timer(at)) {
        Some(mut timer) => poll_fn(|cx| timer.as_mut().poll_expired(cx)).await,
        None => std::future::pending().await,
    }
}

impl Serving for PluginServing {
    fn drain(&self) {
        self.session.drain();
    }

    fn abort(&self) {
        self.session.abort();
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let gone = self.gone.clone();
        Box::pin(async move {
            let _told_or_dropped = gone.await;
        })
    }
}

impl fmt::Debug for PluginServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginServing").finish_non_exhaustive()
    }
}
