//! The connection of a dialled id, which comes back when it is lost.
//!
//! What is served may be connected to any number of times, for as long as it is: grpc-go does so when a
//! server closes a connection that has become too old, and so does this. When to try is decided by
//! [`outboard_core::link::Link`]; the calls are [`Stable`]'s.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use outboard_core::fault::Fault;
use outboard_core::link::{Link, LinkAction, LinkConfig, LinkEvent, LinkInput};
use outboard_core::rpc::{Connection, ConnectionConfig, Status, Transport};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use super::{Controlled, Inner, Kind};
use crate::carrier::{Attempt, Carried, Outcome, Unreached};
use crate::link::{Stable, Watch};
use crate::time::Alarm;

/// How a lost connection is tried for. Its server lives in a process that is known to live, so it is
/// there at once or, most likely, no more.
fn limits(on_demand: bool) -> LinkConfig {
    let mut limits = LinkConfig::default();
    limits.within = Duration::from_secs(5);
    limits.on_demand = on_demand;
    limits
}

/// How an id is dialled again.
pub(in crate::broker::ways) struct Again {
    pub(in crate::broker::ways) dial: Box<dyn Fn() -> Dialling + Send>,
    /// What it was to be reached by, for whoever is told that it is not.
    pub(in crate::broker::ways) by: String,
    /// Whether it is dialled only once a call waits for it.
    pub(in crate::broker::ways) on_demand: bool,
}

pub(in crate::broker::ways) type Dialling = BoxFuture<'static, Result<Carried, Unreached>>;

impl<K: Kind> Controlled<K> {
    /// The connection over a stream to what the other side serves under `id`. As long as the broker
    /// lives, it is made again when it is lost.
    pub(in crate::broker::ways) fn keep_dialled(
        &self,
        id: u32,
        carried: Carried,
        again: Again,
    ) -> Arc<dyn Connection> {
        let parts = &self.0.parts;
        let config = parts.config.clone();
        let inside = carried.connect(&parts.runtime, &*parts.transport, config.clone());
        let stable = Stable::new(&parts.runtime, Arc::clone(&inside));
        let (ticket, broker_closed) = self.until_closed();
        let redial = Redial {
            runtime: Arc::clone(&parts.runtime),
            transport: Arc::clone(&parts.transport),
            config,
            id,
            closed: stable.closed(),
            stable: Arc::downgrade(&stable),
            way: Arc::downgrade(&self.0),
            broker_closed,
            ticket,
            link: Link::new(limits(again.on_demand), parts.runtime.now()),
            watch: Watch::of(&inside),
            again,
            attempt: Attempt::default(),
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
struct Redial<K: Kind> {
    runtime: SharedRuntime,
    transport: Arc<dyn Transport>,
    config: ConnectionConfig,
    id: u32,
    /// The users' handles alone keep it.
    stable: Weak<Stable>,
    closed: BoxFuture<'static, Status>,
    way: Weak<Inner<K>>,
    broker_closed: oneshot::Receiver<()>,
    ticket: u64,
    link: Link,
    watch: Watch,
    again: Again,
    attempt: Attempt<Arc<dyn Connection>>,
    alarm: Alarm,
}

impl<K: Kind> Redial<K> {
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
                self.poll_wanted(cx),
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
                match action {
                    LinkAction::Connect => self.attempt.begin((self.again.dial)()),
                    LinkAction::Abandon => self.attempt.give_up(),
                }
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
            // News that nothing here depends on.
            _ => {}
        }
    }

    fn unreachable(&self, fault: Option<&Fault>) -> Status {
        let (id, by) = (self.id, &self.again.by);
        let why = fault.map_or_else(String::new, |fault| format!(": {fault}"));
        Status::connection_lost(format!(
            "the connection to broker id {id} was lost and could not be made again {by}{why}"
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
        let (runtime, transport) = (&self.runtime, &*self.transport);
        let outcome = self.attempt.poll(cx, |carried| {
            let inside = carried.connect(runtime, transport, self.config.clone());
            (Arc::clone(&inside), inside)
        });
        match outcome {
            Poll::Pending => return false,
            Poll::Ready(Outcome::Connected(inside)) => {
                self.watch = Watch::of(&inside);
                if let Some(stable) = self.stable.upgrade() {
                    stable.replace(inside);
                }
                self.input(LinkInput::Connected);
            }
            Poll::Ready(Outcome::Failed(Unreached::Gone(fault))) => {
                self.input(LinkInput::Gone(fault));
            }
            Poll::Ready(Outcome::Failed(unreached)) => {
                self.input(LinkInput::ConnectFailed(unreached.into()));
            }
        }
        true
    }

    fn poll_wanted(&mut self, cx: &Context<'_>) -> bool {
        if !self.link.is_resting() {
            return false;
        }
        let stable = self.stable.upgrade();
        let wanted = stable.is_some_and(|stable| stable.poll_wanted(cx).is_ready());
        if wanted {
            self.input(LinkInput::Wanted);
        }
        wanted
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

impl<K: Kind> Drop for Redial<K> {
    fn drop(&mut self) {
        if let Some(way) = self.way.upgrade().map(Controlled) {
            let open = way.lock().dialled.remove(&self.ticket);
            drop(open);
        }
    }
}
