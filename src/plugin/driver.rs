//! The future that serves: it carries out what the plugin machine of outboard-core asks for and
//! tells it what happened. It decides nothing itself.

mod around;
mod listening;
mod signals;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::mpsc;
use futures_core::Stream as _;
use outboard_core::admission::Allowed;
use outboard_core::env::PluginEnv;
use outboard_core::fault::Fault;
use outboard_core::plugin::{
    self as machine, PluginAction, PluginConfig, PluginEvent, PluginInput, SocketKind, StopReason,
};
use outboard_core::rpc::{ConnectionConfig, Router, ServerConfig, Serving, Transport};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_core::told::Teller;
use outboard_core::turn::Turn;

pub(super) use self::around::Around;
use self::signals::Signals;
use super::common::Common;
#[cfg(feature = "multiplex")]
use super::common::Connection;
use super::error::ServeError;
use super::events::PluginEvents;
use crate::broker::{Broker, BrokerParts, ListenPolicy};
use crate::carrier::{Acceptor, Carrier, Connections, Security};
use crate::serve::shutdown::Shutdown;
use crate::serve::tracked::InFlight;
use crate::services::health::HealthService;
use crate::services::{self, Asked, Internal};
use crate::sys::files::EmptyDir;
use crate::sys::given::UnfitListener;
use crate::sys::socket::Bound;
use crate::sys::stdio::FLUSH_PATIENCE;
use crate::time::Alarm;

/// What is needed to make a [`Driver`].
pub(super) struct DriverParts {
    pub(super) runtime: SharedRuntime,
    pub(super) config: PluginConfig,
    pub(super) env: PluginEnv,
    pub(super) around: Around,
    pub(super) dir: Option<EmptyDir>,
    /// What it was given to listen on.
    pub(super) given: Option<Result<Bound, UnfitListener>>,
    /// Of which kind the sockets of its brokers are.
    pub(super) brokered: SocketKind,
    pub(super) events: Arc<PluginEvents>,
    pub(super) routers: BTreeMap<i64, Router>,
    pub(super) transports: Vec<Arc<dyn Transport>>,
    pub(super) health: HealthService,
    #[cfg(feature = "log")]
    pub(super) on_log_level: Option<crate::log::level::Hook>,
    pub(super) in_flight: Arc<InFlight>,
    /// Tells handlers and the program that the end has begun.
    pub(super) shutdown: Teller<StopReason>,
    /// How connections are secured, those of brokers among them.
    pub(super) security: Security,
    /// Who may connect to its sockets beside those who may anyway.
    pub(super) allowed: Allowed,
    pub(super) max_message_size: usize,
    pub(super) asked: mpsc::UnboundedSender<Asked>,
    pub(super) shutdown_calls: mpsc::UnboundedReceiver<Asked>,
}

pub(super) struct Driver {
    parts: DriverParts,
    machine: machine::Plugin,
    acceptor: Option<Acceptor>,
    accepting: bool,
    connections: Connections<Served>,
    /// What these are streams of, if the plugin multiplexes.
    common: Common,
    /// What all brokers serve.
    brokered: Arc<InFlight>,
    awaited: Option<Awaited>,
    /// Requests to end that are not answered yet.
    asked: Vec<Asked>,
    signals: Signals,
    alarm: Alarm,
    host_gone: bool,
    outcome: Option<Result<StopReason, ServeError>>,
    /// The directory that the host has made for this plugin. The last to go.
    _dir: Option<EmptyDir>,
}

/// A connection being served.
struct Served {
    serving: Arc<dyn Serving>,
    broker: Broker,
}

/// What the machine has asked to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    CallsIdle,
    Released,
    OutputSent,
    AllClosed,
}

impl DriverParts {
    /// What serves, in these surroundings.
    pub(super) fn within(mut self, around: Around) -> Driver {
        self.around = around;
        Driver::new(self)
    }
}

impl Driver {
    pub(super) fn new(mut parts: DriverParts) -> Self {
        parts.config.held = parts.around.is_held();
        parts.config.announce &= parts.around.can_announce();
        parts.config.flush_patience = FLUSH_PATIENCE;
        let machine = machine::Plugin::new(parts.config.clone(), parts.runtime.now());
        Self {
            _dir: parts.dir.take(),
            parts,
            machine,
            acceptor: None,
            accepting: false,
            connections: Connections::default(),
            common: Common::default(),
            brokered: Arc::default(),
            awaited: None,
            asked: Vec::new(),
            signals: Signals::default(),
            alarm: Alarm::default(),
            host_gone: false,
            outcome: None,
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
                self.report(&event);
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
            PluginAction::WriteHandshake(line) => self.announce(&line),
            // Stdout was claimed long before, so that no print could precede the line.
            PluginAction::RedirectStdio => {
                if let Some(claim) = &self.parts.around.claim {
                    claim.capture_stderr();
                }
            }
            PluginAction::Serve => {
                self.accepting = true;
                if !self.machine.protocol().has_socket()
                    && let Some(pipes) = self.parts.around.pipes.take()
                {
                    self.serve(pipes);
                }
            }
            PluginAction::StopListening => {
                self.accepting = false;
                self.acceptor = None;
            }
            PluginAction::Drain => {
                self.common.drain();
                for connection in self.connections.iter() {
                    connection.serving.drain();
                }
                self.awaited = Some(Awaited::CallsIdle);
            }
            PluginAction::ReleaseStreams => match &self.parts.around.claim {
                Some(claim) => {
                    claim.release();
                    self.awaited = Some(Awaited::Released);
                }
                None => self.input(PluginInput::Released),
            },
            PluginAction::ForceRelease => {
                if let Some(claim) = &self.parts.around.claim {
                    claim.release_now();
                }
            }
            PluginAction::CloseOutput => {
                self.parts.events.output.close();
                self.awaited = Some(Awaited::OutputSent);
            }
            PluginAction::CloseStanding => {
                for connection in self.connections.iter() {
                    connection.broker.close();
                }
                self.parts.health.reporter().shut_down();
            }
            PluginAction::AnswerShutdown => self.asked.clear(),
            PluginAction::Abort => {
                // Whoever has asked for the end is told that it is granted, where the transport still can.
                self.asked.clear();
                for connection in self.connections.iter() {
                    connection.broker.close();
                    connection.serving.abort();
                }
                self.brokered.abort();
                self.common.close();
                self.awaited = Some(Awaited::AllClosed);
            }
            PluginAction::Finish { reason, .. } => {
                self.outcome = Some(match reason {
                    StopReason::Failed(error) => Err(ServeError::Start(error)),
                    reason => Ok(reason),
                });
            }
        }
    }

    fn report(&mut self, event: &PluginEvent) {
        match event {
            PluginEvent::Serving(line) => {
                tracing::debug!(
                    target: "outboard",
                    version = line.app_version(),
                    protocol = %line.protocol(),
                    location = %line.location(),
                    "serving"
                );
                self.tell_serving(line);
            }
            PluginEvent::Interrupted { count } => {
                tracing::trace!(target: "outboard", count, "interrupt ignored");
            }
            PluginEvent::Stopping(reason) => {
                tracing::debug!(target: "outboard", ?reason, "stopping");
                self.parts.shutdown.tell(reason.clone());
            }
            // News that nothing here depends on.
            _ => {}
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
        let carrier = Carrier::new(&self.parts.runtime, None).secured(self.parts.security.clone());
        let carrier = self.common.carry(carrier);
        let broker = Broker::new(BrokerParts {
            runtime: Arc::clone(&self.parts.runtime),
            carrier,
            transport: Arc::clone(transport),
            config: ConnectionConfig::new(self.parts.max_message_size),
            listen: ListenPolicy::of_plugin(
                &self.parts.env,
                self.parts.brokered,
                &self.parts.allowed,
            )
            .leaving_signals(self.parts.around.leaves_signals()),
            calls: Some(Arc::clone(&self.parts.in_flight)),
            ending: Some(Shutdown::new(self.parts.shutdown.told())),
            servers: Arc::clone(&self.brokered),
        });
        let mut router = router.clone();
        let ending = Shutdown::new(self.parts.shutdown.told());
        router.extensions_mut().insert(ending);
        #[cfg(feature = "netrpc")]
        if let Some(instances) = router.extensions().get::<super::netrpc::Instances>() {
            let (runtime, output) = (&self.parts.runtime, &self.parts.events.output);
            let provided = instances.provided(runtime, &self.parts.asked, output);
            router.extensions_mut().insert(provided);
        }
        let internal = Internal {
            asked: self.parts.asked.clone(),
            output: Arc::clone(&self.parts.events.output),
            broker: broker.clone(),
            health: self.parts.health.clone(),
            #[cfg(feature = "log")]
            log_level: self.follower(),
        };
        if let Err(error) = services::add_all(&mut router, internal) {
            // Such names were refused before the listener was made.
            tracing::error!(target: "outboard", %error, "this connection cannot be served");
            return;
        }
        let config = ServerConfig::new(self.parts.max_message_size);
        let router = Arc::new(router);
        let serving = broker.begin(
            io,
            |io| transport.serve(&self.parts.runtime, io, router, config),
            |serving| serving.sub_channels(),
        );
        let closed = serving.closed();
        self.connections.push(Served { serving, broker }, closed);
        if !self.common.is_there() {
            self.input(PluginInput::Accepted);
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(acceptor) = self.acceptor.as_mut().filter(|_| self.accepting) else {
            return false;
        };
        match acceptor.poll(cx) {
            Poll::Pending => false,
            Poll::Ready(io) => {
                self.take(io);
                true
            }
        }
    }

    fn take(&mut self, io: BoxByteStream) {
        #[cfg(feature = "multiplex")]
        if self.machine.multiplexing()
            && let Some(endpoint) = self
                .machine
                .line()
                .and_then(|line| line.location().endpoint())
        {
            let prepare = self.parts.security.of_streams(self.layers());
            let runtime = &self.parts.runtime;
            let connection = Connection::new(runtime, io, endpoint.clone(), prepare);
            self.common.begin(connection);
            return self.input(PluginInput::Accepted);
        }
        self.serve(io);
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Poll::Ready(io) = self.common.poll_stream(cx) {
            self.serve(io);
            progress = true;
        }
        if self.common.poll_ended(cx).is_ready() {
            self.input(PluginInput::ConnectionClosed);
            progress = true;
        }
        progress
    }

    fn poll_connections(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(connection) = self.connections.poll_closed(cx) {
            connection.broker.close();
            if !self.common.is_there() {
                self.input(PluginInput::ConnectionClosed);
            }
            progress = true;
        }
        if self.connections.is_empty() {
            self.common.idle();
        }
        progress
    }

    fn poll_signals(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Poll::Ready(Some(asked)) = Pin::new(&mut self.parts.shutdown_calls).poll_next(cx) {
            self.asked.push(asked);
            self.input(PluginInput::ShutdownCalled);
            progress = true;
        }
        if !self.host_gone && self.parts.events.poll_host_gone(cx).is_ready() {
            self.host_gone = true;
            self.input(PluginInput::HostGone);
            progress = true;
        }
        progress | self.poll_stop(cx) | self.poll_caught(cx)
    }

    fn poll_awaited(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(awaited) = self.awaited else {
            return false;
        };
        let parts = &self.parts;
        let (happened, input) = match awaited {
            Awaited::CallsIdle => (parts.in_flight.poll_idle(cx), PluginInput::CallsIdle),
            Awaited::Released => (parts.events.poll_released(cx), PluginInput::Released),
            Awaited::OutputSent => (parts.events.output.poll_sent(cx), PluginInput::OutputSent),
            Awaited::AllClosed => (self.poll_all_closed(cx), PluginInput::AllClosed),
        };
        if happened.is_pending() {
            return false;
        }
        self.awaited = None;
        self.input(input);
        true
    }

    /// Ready when nothing that was served runs any more. What a broker serves inside the connection
    /// is no connection of its own, but has its calls counted.
    fn poll_all_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let calls = self.parts.in_flight.poll_idle(cx);
        let brokered = self.brokered.poll_idle(cx);
        let closed = self.connections.is_empty() && self.common.is_closed();
        if closed && calls.is_ready() && brokered.is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
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

impl Future for Driver {
    type Output = Result<StopReason, ServeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut turn = Turn::new();
        loop {
            this.drain();
            if let Some(outcome) = this.outcome.take() {
                return Poll::Ready(outcome);
            }
            // Each of these must be polled in each round, so that all have seen the waker.
            let progress = [
                this.poll_signals(cx),
                this.poll_accept(cx),
                this.poll_streams(cx),
                this.poll_connections(cx),
                this.poll_awaited(cx),
                this.poll_timer(cx),
            ];
            if !progress.contains(&true) {
                return Poll::Pending;
            }
            if turn.step(Turn::ROUND, || this.parts.runtime.stopwatch()) {
                return turn.give_way_here(cx);
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let now = self.parts.runtime.now();
        self.machine.kill(now);
        self.drain();
    }
}
