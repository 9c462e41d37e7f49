//! The connection of a dialled id, which comes back when it is lost.
//!
//! An announced address may be connected to any number of times, for as long as the id is served:
//! grpc-go does so when a server closes a connection that has become too old, and so does this. When
//! to try is decided by [`outboard_core::link::Link`]; the calls are [`Stable`]'s.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::link::{Link, LinkAction, LinkConfig, LinkEvent, LinkInput};
use outboard_core::rpc::{Connection, ConnectionConfig, Status, Transport};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};

use super::{Broker, Inner};
use crate::link::{Stable, Watch};
use crate::time::{self, Alarm};

/// How long connecting to an announced address may take; as in Go's gRPC.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// How a lost connection is tried for. Its server lives in a process that is known to live, so it is
/// there at once or, most likely, no more.
fn limits() -> LinkConfig {
    LinkConfig {
        limit: Duration::from_secs(5),
        ..LinkConfig::default()
    }
}

/// Connects to where an id is served. The errors of the system are told with what they mean there.
pub(crate) async fn connect(
    runtime: SharedRuntime,
    endpoint: Endpoint,
) -> Result<BoxByteStream, Fault> {
    // The system itself gives up an address that does not answer after minutes.
    let limit = time::sleep(&runtime, CONNECT_WITHIN);
    let connected = match select(runtime.connect(&endpoint), limit).await {
        Either::Left((connected, _)) => connected,
        Either::Right(((), _)) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it did not answer within {CONNECT_WITHIN:?}"),
        )),
    };
    connected.map_err(|error| endpoint.connect_fault(error))
}

impl Broker {
    /// The connection over `io` to what the other side serves under `id`. As long as the broker
    /// lives, it is made again when it is lost.
    pub(super) fn keep_dialled(
        &self,
        id: u32,
        endpoint: Endpoint,
        io: BoxByteStream,
    ) -> Arc<dyn Connection> {
        let parts = &self.0.parts;
        let config = ConnectionConfig {
            authority: endpoint.authority(),
            ..parts.config.clone()
        };
        let inside = parts.transport.connect(&parts.runtime, io, config.clone());
        let stable = Stable::new(&parts.runtime, Arc::clone(&inside));
        let (ticket, broker_closed) = self.until_closed();
        let redial = Redial {
            runtime: Arc::clone(&parts.runtime),
            transport: Arc::clone(&parts.transport),
            config,
            id,
            endpoint,
            closed: stable.closed(),
            stable: Arc::downgrade(&stable),
            broker: Arc::downgrade(&self.0),
            broker_closed,
            ticket,
            link: Link::new(limits(), parts.runtime.now()),
            watch: Watch::of(&inside),
            connecting: None,
            proving: None,
            alarm: Alarm::default(),
        };
        parts.runtime.spawn(Box::pin(redial.run()));
        stable
    }

    /// What is dropped when the broker closes, at once if it has.
    fn until_closed(&self) -> (u64, oneshot::Receiver<()>) {
        let (open, closed) = oneshot::channel();
        let mut state = self.lock();
        state.last_ticket += 1;
        let ticket = state.last_ticket;
        if state.machine.closed().is_none() {
            state.dialled.insert(ticket, open);
        }
        (ticket, closed)
    }
}

/// Does for one dialled id what its link asks for.
struct Redial {
    runtime: SharedRuntime,
    transport: Arc<dyn Transport>,
    config: ConnectionConfig,
    id: u32,
    endpoint: Endpoint,
    /// The users' handles alone keep it.
    stable: Weak<Stable>,
    closed: BoxFuture<'static, Status>,
    broker: Weak<Inner>,
    broker_closed: oneshot::Receiver<()>,
    ticket: u64,
    link: Link,
    watch: Watch,
    connecting: Option<BoxFuture<'static, Result<BoxByteStream, Fault>>>,
    /// Another connection, until something has come over it: a process that is about to end takes
    /// connections to the last.
    proving: Option<(Arc<dyn Connection>, BoxFuture<'static, ()>)>,
    alarm: Alarm,
}

impl Redial {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.drain();
            if self.closed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // The other end is only ever dropped.
            if Pin::new(&mut self.broker_closed).poll(cx).is_ready() {
                self.settle();
                return Poll::Ready(());
            }
            let progress = [
                self.poll_watch(cx),
                self.poll_connection(cx),
                self.poll_timer(cx),
            ];
            if !progress.contains(&true) {
                return Poll::Pending;
            }
        }
    }

    fn input(&mut self, input: LinkInput) {
        let now = self.runtime.now();
        self.link.handle(now, input);
    }

    fn drain(&mut self) {
        loop {
            if let Some(event) = self.link.poll_event() {
                self.report(event);
            } else if let Some(action) = self.link.poll_action() {
                self.proving = None;
                self.connecting = match action {
                    LinkAction::Connect => Some(Box::pin(connect(
                        Arc::clone(&self.runtime),
                        self.endpoint.clone(),
                    ))),
                    LinkAction::Abandon => None,
                };
            } else {
                return;
            }
        }
    }

    fn report(&self, event: LinkEvent) {
        let id = self.id;
        let stable = self.stable.upgrade();
        match event {
            LinkEvent::Interrupted => {
                tracing::debug!(target: "outboard", id, "a brokered connection is made again");
                if let Some(stable) = stable {
                    stable.interrupt();
                }
            }
            LinkEvent::Restored => {
                tracing::debug!(target: "outboard", id, "a brokered connection is there again");
            }
            LinkEvent::GaveUp { fault } => {
                let status = self.unreachable(fault.as_ref());
                tracing::debug!(target: "outboard", id, %status);
                if let Some(stable) = stable {
                    stable.fail(status);
                }
            }
        }
    }

    fn unreachable(&self, fault: Option<&Fault>) -> Status {
        let Self { id, endpoint, .. } = self;
        let why = fault.map_or_else(String::new, |fault| format!(": {fault}"));
        Status::connection_lost(format!(
            "the connection to broker id {id} was lost and could not be made again at {endpoint}{why}"
        ))
    }

    /// The broker is closed: the present connection goes on with what it has, and there will be no
    /// other.
    fn settle(&self) {
        let Some(stable) = self.stable.upgrade() else {
            return;
        };
        if self.link.is_up() {
            stable.settle();
        } else {
            let id = self.id;
            stable.fail(Status::connection_lost(format!(
                "the connection to broker id {id} was lost, and the broker is closed"
            )));
        }
    }

    fn poll_watch(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(news) = self.watch.poll(cx) else {
            return false;
        };
        self.input(news);
        true
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(connecting) = &mut self.connecting
            && let Poll::Ready(connected) = connecting.as_mut().poll(cx)
        {
            self.connecting = None;
            match connected {
                Ok(io) => {
                    let config = self.config.clone();
                    let inside = self.transport.connect(&self.runtime, io, config);
                    let heard = inside.heard();
                    self.proving = Some((inside, heard));
                }
                // Its file goes when an id is no longer served, and no other one will have its name.
                Err(fault) if is_gone(&self.endpoint, &fault) => self.input(LinkInput::Gone(fault)),
                Err(fault) => self.input(LinkInput::ConnectFailed(fault)),
            }
            return true;
        }
        if let Some((_, heard)) = &mut self.proving
            && heard.as_mut().poll(cx).is_ready()
            && let Some((inside, _)) = self.proving.take()
        {
            if inside.is_retiring() {
                let fault = Fault::other("the connection ended before anything came over it");
                self.input(LinkInput::ConnectFailed(fault));
            } else {
                self.watch = Watch::of(&inside);
                if let Some(stable) = self.stable.upgrade() {
                    stable.replace(inside);
                }
                self.input(LinkInput::Connected);
            }
            return true;
        }
        false
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let wanted = self.link.poll_timeout().map(|(at, _)| at);
        let Poll::Ready(now) = self.alarm.poll(&self.runtime, wanted, cx) else {
            return false;
        };
        self.link.handle_timeout(now);
        true
    }
}

fn is_gone(endpoint: &Endpoint, fault: &Fault) -> bool {
    endpoint.socket_file().is_some() && fault.kind == io::ErrorKind::NotFound
}

impl Drop for Redial {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.upgrade().map(Broker) {
            let open = broker.lock().dialled.remove(&self.ticket);
            drop(open);
        }
    }
}
