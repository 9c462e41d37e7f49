//! The future that serves: it carries out what the plugin machine of outboard-core asks for and
//! tells it what happened. It decides nothing itself, but for the order of the last things (see
//! [`Ending`]).

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::mpsc;
use futures_core::Stream as _;
use futures_io::AsyncRead as _;
use outboard_core::env::PluginEnv;
use outboard_core::fault::Fault;
use outboard_core::handshake::Location;
use outboard_core::plugin::{
    self as machine, ListenSpec, PluginAction, PluginConfig, PluginEvent, PluginInput, StopReason,
};
use outboard_core::rpc::{ConnectionConfig, Router, ServerConfig, Serving, Transport};
use outboard_core::rt::{BoxByteStream, BoxReader, SharedRuntime, Timer};

use super::error::ServeError;
use super::events::PluginEvents;
use super::tracked::InFlight;
use crate::accept::{Acceptor, Connections};
use crate::broker::{Broker, BrokerParts, ListenPolicy};
use crate::services::health::Health;
use crate::services::{self, Asked, Internal};
use crate::sys::files::EmptyDir;
use crate::sys::interrupt::Interrupts;
use crate::sys::socket::{self, Bound, ListenError};
use crate::sys::stdio::{self, Claim, FLUSH_PATIENCE};
use crate::time::Alarm;

/// What is needed to make a [`Driver`].
pub(super) struct DriverParts {
    pub(super) runtime: SharedRuntime,
    pub(super) config: PluginConfig,
    pub(super) env: PluginEnv,
    pub(super) claim: Claim,
    pub(super) dir: Option<EmptyDir>,
    pub(super) events: Arc<PluginEvents>,
    pub(super) routers: BTreeMap<i64, Router>,
    pub(super) transports: Vec<Arc<dyn Transport>>,
    pub(super) health: Health,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) max_message_size: usize,
    pub(super) asked: mpsc::UnboundedSender<Asked>,
    pub(super) shutdown_calls: mpsc::UnboundedReceiver<Asked>,
}

/// How often in one poll everything is looked at again before other tasks get their turn.
const ROUNDS_PER_POLL: usize = 16;

/// How long calls that were aborted may take to be gone: a handler that computes cannot be dropped
/// until it comes to an end or an await. A guess, short beside the grace that hosts give.
const ABORT_PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Driver {
    parts: DriverParts,
    machine: machine::Plugin,
    acceptor: Option<Acceptor>,
    /// Stdin and stdout, where they are the connection, until they are served.
    pipes: Option<BoxByteStream>,
    accepting: bool,
    connections: Connections<Served>,
    /// What all brokers serve.
    brokered: Arc<InFlight>,
    ending: Option<Ending>,
    /// Requests to end that are not answered yet.
    asked: Vec<Asked>,
    interrupts: Option<Interrupts>,
    /// Gets a byte for each interrupt.
    interrupted: Option<BoxReader>,
    /// By when the standard library's buffer must have been written.
    flush_limit: Option<Pin<Box<dyn Timer>>>,
    alarm: Alarm,
    host_gone: bool,
    outcome: Option<Result<StopReason, ServeError>>,
    /// Everything was aborted, and may take until then to be gone.
    abort_limit: Option<Pin<Box<dyn Timer>>>,
    /// The directory that the host has made for this plugin. The last to go.
    _dir: Option<EmptyDir>,
}

/// A connection being served.
struct Served {
    serving: Arc<dyn Serving>,
    broker: Broker,
}

/// The last things, in this order, so that nothing is cut off that is on its way: the calls in
/// flight may still print, and what they print must still be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The user's calls are being finished.
    Calls,
    /// The captured streams are being given back and read to their end.
    Release,
    /// What they printed is being sent.
    Output,
    /// The streams of outboard itself have ended; the connections are being closed.
    Connections,
}

impl Driver {
    pub(super) fn new(mut parts: DriverParts) -> Self {
        let machine = machine::Plugin::new(parts.config.clone(), parts.runtime.now());
        Self {
            _dir: parts.dir.take(),
            parts,
            machine,
            acceptor: None,
            pipes: None,
            accepting: false,
            connections: Connections::default(),
            brokered: Arc::default(),
            ending: None,
            asked: Vec::new(),
            interrupts: None,
            interrupted: None,
            flush_limit: None,
            alarm: Alarm::default(),
            host_gone: false,
            outcome: None,
            abort_limit: None,
        }
    }

    fn input(&mut self, input: PluginInput) {
        let now = self.parts.runtime.now();
        self.machine.handle(now, input);
    }

    fn drain(&mut self) {
        loop {
            if let Some(action) = self.machine.poll_action() {
                self.act(action);
            } else if let Some(event) = self.machine.poll_event() {
                Self::report(&event);
            } else {
                return;
            }
        }
    }

    fn act(&mut self, action: PluginAction) {
        match action {
            PluginAction::Listen(spec) => match self.listen(spec) {
                Ok(location) => self.input(PluginInput::Listening(location)),
                Err(error) => {
                    let fault = Fault::other(crate::text::chain(&error));
                    self.input(PluginInput::ListenFailed(fault));
                }
            },
            PluginAction::WriteHandshake(line) => {
                // Before the line, which tells the host that all is set up.
                if let Some((caught, told)) = Interrupts::catch(self.parts.config.held) {
                    self.interrupts = Some(caught);
                    // Without it nobody is told, and they have their effect all the same.
                    self.interrupted = self.parts.runtime.pipe_reader(told).ok();
                }
                match self.parts.claim.announce(&line) {
                    Ok(()) => self.input(PluginInput::HandshakeWritten),
                    Err(error) => self.input(PluginInput::HandshakeWriteFailed(error.into())),
                }
            }
            // Stdout was claimed long before, so that no print could precede the line.
            PluginAction::RedirectStdio => self.parts.claim.capture_stderr(),
            PluginAction::Serve => {
                self.accepting = true;
                if let Some(pipes) = self.pipes.take() {
                    self.serve(pipes);
                }
            }
            PluginAction::StopListening => {
                self.accepting = false;
                self.acceptor = None;
            }
            PluginAction::Drain => {
                for connection in self.connections.iter() {
                    connection.serving.drain();
                }
                self.ending = Some(Ending::Calls);
            }
            PluginAction::Abort => self.abort(),
            PluginAction::Finish { reason, .. } => {
                self.outcome = Some(match reason {
                    StopReason::Failed(error) => Err(ServeError::Start(error)),
                    reason => Ok(reason),
                });
            }
        }
    }

    fn listen(&mut self, spec: ListenSpec) -> Result<Location, ListenError> {
        let bound = match spec {
            ListenSpec::Unix { dir, group } => {
                let dir = dir.unwrap_or_else(std::env::temp_dir);
                let group = group.map(|group| group.to_string());
                socket::listen_unix(&dir, group.as_deref())?
            }
            ListenSpec::Tcp { ports } => socket::listen_tcp(ports)?,
            ListenSpec::Stdio => {
                let pipes = stdio::take_pipes(&self.parts.claim, &self.parts.runtime);
                self.pipes = Some(pipes.map_err(ListenError::Register)?);
                return Ok(Location::Stdio);
            }
        };
        let Bound {
            socket,
            endpoint,
            file,
        } = bound;
        let listener = self.parts.runtime.listener(socket, endpoint.clone());
        let listener = listener.map_err(ListenError::Register)?;
        self.acceptor = Some(Acceptor::new(listener, file));
        Ok(Location::Endpoint(endpoint))
    }

    fn report(event: &PluginEvent) {
        match event {
            PluginEvent::Serving(line) => {
                tracing::debug!(
                    target: "outboard",
                    version = line.app_version(),
                    protocol = %line.protocol(),
                    location = %line.location(),
                    "serving"
                );
            }
            PluginEvent::Interrupted { count } => {
                tracing::trace!(target: "outboard", count, "interrupt ignored");
            }
            PluginEvent::Stopping(reason) => {
                tracing::debug!(target: "outboard", ?reason, "stopping");
            }
        }
    }

    fn serve(&mut self, io: BoxByteStream) {
        let protocol = self.machine.protocol();
        let version = self.machine.choice().version;
        let transport = self
            .parts
            .transports
            .iter()
            .find(|t| t.protocol() == protocol);
        // Both were offered to the machine, which only chooses from what it was offered.
        let (Some(transport), Some(router)) = (transport, self.parts.routers.get(&version)) else {
            return;
        };
        let broker = Broker::new(BrokerParts {
            runtime: Arc::clone(&self.parts.runtime),
            transport: Arc::clone(transport),
            config: ConnectionConfig {
                max_message_size: self.parts.max_message_size,
                ..ConnectionConfig::default()
            },
            listen: ListenPolicy::of_plugin(&self.parts.env, self.parts.config.socket),
            calls: Some(Arc::clone(&self.parts.in_flight)),
            servers: Arc::clone(&self.brokered),
        });
        let mut router = router.clone();
        let internal = Internal {
            asked: self.parts.asked.clone(),
            output: Arc::clone(&self.parts.events.output),
            broker: broker.clone(),
            health: self.parts.health.clone(),
        };
        if let Err(error) = services::add_all(&mut router, internal) {
            // Such names were refused before the listener was made.
            tracing::error!(target: "outboard", %error, "this connection cannot be served");
            return;
        }
        let config = ServerConfig {
            max_message_size: self.parts.max_message_size,
        };
        let router = Arc::new(router);
        let serving = broker.begin(
            io,
            |io| transport.serve(&self.parts.runtime, io, router, config),
            |serving| serving.sub_channels(),
        );
        let closed = serving.closed();
        self.connections.push(Served { serving, broker }, closed);
        self.input(PluginInput::Accepted);
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(acceptor) = self.acceptor.as_mut().filter(|_| self.accepting) else {
            return false;
        };
        match acceptor.poll(&self.parts.runtime, "this plugin", cx) {
            Poll::Pending => false,
            Poll::Ready(io) => {
                self.serve(io);
                true
            }
        }
    }

    fn poll_connections(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(connection) = self.connections.poll_closed(cx) {
            connection.broker.close();
            self.input(PluginInput::ConnectionClosed);
            progress = true;
        }
        progress
    }

    fn poll_signals(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Poll::Ready(Some(asked)) = Pin::new(&mut self.parts.shutdown_calls).poll_next(cx) {
            if self.ending != Some(Ending::Connections) {
                self.asked.push(asked);
            }
            self.input(PluginInput::ShutdownCalled);
            progress = true;
        }
        if !self.host_gone && self.parts.events.poll_host_gone(cx).is_ready() {
            self.host_gone = true;
            self.input(PluginInput::HostGone);
            progress = true;
        }
        progress | self.poll_interrupted(cx)
    }

    fn poll_interrupted(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(told) = &mut self.interrupted else {
            return false;
        };
        let mut bytes = [0; 16];
        match Pin::new(told).poll_read(cx, &mut bytes) {
            Poll::Pending => false,
            Poll::Ready(Ok(count)) if count > 0 => {
                for _ in 0..count {
                    self.input(PluginInput::Interrupted);
                }
                true
            }
            Poll::Ready(_) => {
                self.interrupted = None;
                false
            }
        }
    }

    fn poll_ending(&mut self, cx: &mut Context<'_>) -> bool {
        match self.ending {
            None => false,
            Some(Ending::Calls) => {
                if self.parts.in_flight.poll_idle(cx).is_pending() {
                    return false;
                }
                self.parts.claim.release();
                let runtime = &self.parts.runtime;
                self.flush_limit = Some(runtime.timer(runtime.now() + FLUSH_PATIENCE));
                self.ending = Some(Ending::Release);
                true
            }
            Some(Ending::Release) => {
                if self.parts.events.poll_released(cx).is_pending() {
                    let limit = self.flush_limit.as_mut();
                    if limit.is_some_and(|limit| limit.as_mut().poll_expired(cx).is_ready()) {
                        self.flush_limit = None;
                        self.parts.claim.release_now();
                    }
                    return false;
                }
                self.flush_limit = None;
                // All that was printed is queued now, and nothing follows.
                self.parts.events.output.close();
                self.ending = Some(Ending::Output);
                true
            }
            Some(Ending::Output) => {
                if self.parts.events.output.poll_sent(cx).is_pending() {
                    return false;
                }
                for connection in self.connections.iter() {
                    connection.broker.close();
                }
                self.parts.health.reporter().shut_down();
                self.asked.clear();
                self.ending = Some(Ending::Connections);
                true
            }
            Some(Ending::Connections) => {
                if !self.connections.is_empty() || self.brokered.poll_idle(cx).is_pending() {
                    return false;
                }
                self.ending = None;
                self.input(PluginInput::Drained);
                true
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let wanted = self.machine.poll_timeout().map(|(at, _)| at);
        let Poll::Ready(now) = self.alarm.poll(&self.parts.runtime, wanted, cx) else {
            return false;
        };
        self.machine.handle_timeout(now);
        true
    }
}

/// The end at once.
impl Driver {
    /// Drops what is still called, on all connections and those that brokers have accepted.
    fn abort(&self) {
        for connection in self.connections.iter() {
            connection.broker.close();
            connection.serving.abort();
        }
        self.brokered.abort();
    }

    /// Aborts what is left and gives the outcome once it is gone.
    fn poll_aborted(&mut self, cx: &mut Context<'_>) -> Poll<Result<StopReason, ServeError>> {
        if self.abort_limit.is_none() {
            self.abort();
            let runtime = &self.parts.runtime;
            self.abort_limit = Some(runtime.timer(runtime.now() + ABORT_PATIENCE));
        }
        while self.connections.poll_closed(cx).is_ready() {}
        let brokered = self.brokered.poll_idle(cx);
        let limit = self.abort_limit.as_mut();
        let over = limit.is_none_or(|limit| limit.as_mut().poll_expired(cx).is_ready());
        if !over && (!self.connections.is_empty() || brokered.is_pending()) {
            return Poll::Pending;
        }
        match self.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            // It was given already.
            None => Poll::Pending,
        }
    }
}

impl Future for Driver {
    type Output = Result<StopReason, ServeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        for _ in 0..ROUNDS_PER_POLL {
            this.drain();
            if this.outcome.is_some() {
                return this.poll_aborted(cx);
            }
            // Each of these must be polled in each round, so that all have seen the waker.
            let progress = [
                this.poll_signals(cx),
                this.poll_accept(cx),
                this.poll_connections(cx),
                this.poll_ending(cx),
                this.poll_timer(cx),
            ];
            if !progress.contains(&true) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.abort();
    }
}
