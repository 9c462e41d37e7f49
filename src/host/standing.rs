//! Where the streams are opened that stand for as long as a plugin runs: its output, and the broker's
//! control stream.
//!
//! As go-plugin's host does, this one opens them on the connection that carries the calls. A plugin
//! that allows fewer than three streams on a connection would have none left for calls then, or one
//! too few, and the calls would wait for streams that never end. So there each of the two has a
//! connection of its own, of which such a plugin takes as many as come: its limit counts for each.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, FutureExt as _, select};
use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::link::{Link, LinkAction, LinkConfig, LinkEvent, LinkInput};
use outboard_core::rpc::{Channel, Connection, ConnectionConfig, Status, Transport};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use super::shared::Shared;
use crate::carrier::Carrier;
use crate::link::Stable;
use crate::time;

/// The two standing streams and one for calls.
const ENOUGH: u32 = 3;

/// How a connection of its own is tried for, far shorter than a broker's dial waits (five seconds),
/// which is to be told why nothing comes; and how often in a row one may end at once. (A choice.)
fn limits() -> LinkConfig {
    let mut limits = LinkConfig::default();
    limits.within = Duration::from_secs(3);
    limits.brief = 10;
    limits
}

/// What standing streams are opened on, as often as needed. It does not keep the plugin's connection
/// from being closed.
#[derive(Clone)]
pub(super) struct Standing {
    carrier: Carrier,
    transport: Arc<dyn Transport>,
    config: ConnectionConfig,
    /// `None`: the plugin's pipes, of which there are no others.
    endpoint: Option<Endpoint>,
    connection: Weak<dyn Connection>,
    stable: Option<Weak<Stable>>,
    shared: Arc<Shared>,
    told: Arc<AtomicBool>,
    /// Of its own connection.
    link: Link,
}

/// What a [`Standing`] is made of.
pub(super) struct StandingParts<'a> {
    pub(super) carrier: &'a Carrier,
    pub(super) transport: &'a Arc<dyn Transport>,
    pub(super) config: &'a ConnectionConfig,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) connection: &'a Arc<dyn Connection>,
    pub(super) stable: Option<&'a Arc<Stable>>,
    pub(super) shared: &'a Arc<Shared>,
}

/// The connection that a stream has for itself, if it has. Dropping it closes that.
pub(super) struct Own(Option<Channel>);

impl Standing {
    pub(super) fn new(parts: StandingParts<'_>) -> Self {
        let mut config = parts.config.clone();
        // What ends with it is opened again, or ends with the plugin's connection.
        config.lost = None;
        Self {
            carrier: parts.carrier.clone(),
            transport: Arc::clone(parts.transport),
            config,
            endpoint: parts.endpoint,
            connection: Arc::downgrade(parts.connection),
            stable: parts.stable.map(Arc::downgrade),
            shared: Arc::clone(parts.shared),
            told: Arc::default(),
            link: Link::new(limits(), parts.carrier.runtime().now()),
        }
    }

    /// What it runs on.
    pub(super) fn runtime(&self) -> &SharedRuntime {
        self.carrier.runtime()
    }

    /// Opens a stream where it takes none from the calls. Waits until it is known where that is.
    ///
    /// # Errors
    /// The status of the plugin's connection if that has ended; and if there is no room for the
    /// stream and no other connection is to be had, a status that says so.
    pub(super) async fn open<S>(
        &mut self,
        open: impl FnOnce(&Channel) -> S,
    ) -> Result<(S, Own), Status> {
        let (limit, closed) = {
            let connection = self.connection.upgrade().ok_or_else(gone)?;
            (connection.max_calls(), connection.closed())
        };
        let scarce = limit.await.filter(|limit| *limit < ENOUGH);
        let (Some(limit), Some(endpoint)) = (scarce, self.endpoint.clone()) else {
            let connection = self.connection.upgrade().ok_or_else(gone)?;
            return Ok((open(&Channel::new(connection)), Own(None)));
        };
        self.tell(limit);
        let own = match select(pin!(self.own(&endpoint)), closed).await {
            Either::Left((own, _)) => own,
            Either::Right((status, _)) => return Err(status),
        };
        let channel = own.map_err(|fault| {
            Status::resource_exhausted(format!(
                "{}, which leaves no room for it beside the calls, and no other connection is to be \
                 had: {fault}",
                allows(limit)
            ))
        })?;
        let stream = open(&channel);
        Ok((stream, Own(Some(channel))))
    }

    /// What comes of a stream that was opened so. It ends with the plugin's connection at the latest.
    pub(super) async fn follow<T>(
        &self,
        own: Own,
        stream: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let Own(Some(_channel)) = own else {
            return stream.await;
        };
        let Some(closed) = self.connection.upgrade().map(|main| main.closed()) else {
            return Err(gone());
        };
        match select(pin!(stream), closed).await {
            Either::Left((ended, _)) => ended,
            Either::Right((status, _)) => Err(status),
        }
    }

    /// Whether a stream that ended with this is to be opened again: its connection was lost, and
    /// there will be another.
    pub(super) fn comes_back(&self, status: &Status) -> bool {
        let stable = self.stable.as_ref().and_then(Weak::upgrade);
        status.is_connection_lost() && stable.is_some_and(|stable| stable.comes_back())
    }

    /// A channel for the call that ends the plugin, where others may hold all streams that the plugin
    /// allows. `None` if there is no limit, or no other connection to be had.
    pub(super) fn spare(&self) -> BoxFuture<'static, Option<Channel>> {
        let limit = self.connection.upgrade().map(|main| main.max_calls());
        // What is not known by now has kept nobody waiting.
        let limit = limit.and_then(|limit| limit.now_or_never().flatten());
        let (Some(_), Some(endpoint)) = (limit, self.endpoint.clone()) else {
            return Box::pin(std::future::ready(None));
        };
        let standing = self.clone();
        Box::pin(async move { standing.connect(&endpoint).await.ok() })
    }

    /// Connects, as often and with such pauses as the link wants.
    async fn own(&mut self, endpoint: &Endpoint) -> Result<Channel, Fault> {
        let runtime = Arc::clone(self.carrier.runtime());
        // The last one has ended, or all tries came to nothing, which is long ago.
        self.link.handle(runtime.now(), LinkInput::Lost);
        self.link.revive(runtime.now());
        let mut connecting = None;
        loop {
            while let Some(action) = self.link.poll_action() {
                connecting = match action {
                    LinkAction::Connect => {
                        let (standing, endpoint) = (self.clone(), endpoint.clone());
                        Some(Box::pin(async move { standing.connect(&endpoint).await }))
                    }
                    LinkAction::Abandon => None,
                };
            }
            while let Some(event) = self.link.poll_event() {
                if let LinkEvent::GaveUp { fault } = event {
                    return Err(fault.unwrap_or_else(|| Fault::other("it does not answer")));
                }
            }
            let due = self.link.poll_timeout().map(|(at, _)| at);
            let due = due.map(|at| at.saturating_duration_since(runtime.now()));
            let due = time::sleep(&runtime, due.unwrap_or(Duration::MAX));
            let connected = async {
                match &mut connecting {
                    Some(connecting) => connecting.await,
                    None => std::future::pending().await,
                }
            };
            match select(pin!(connected), due).await {
                Either::Left((Ok(channel), _)) => {
                    self.link.handle(runtime.now(), LinkInput::Connected);
                    return Ok(channel);
                }
                Either::Left((Err(fault), _)) => {
                    connecting = None;
                    let failed = LinkInput::ConnectFailed(fault);
                    self.link.handle(runtime.now(), failed);
                }
                Either::Right(((), _)) => self.link.handle_timeout(runtime.now()),
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Channel, Fault> {
        let carried = self.carrier.dial_live(endpoint).await?;
        let config = self.config.clone();
        let connection = carried.connect(self.carrier.runtime(), &*self.transport, config);
        Ok(Channel::new(connection))
    }

    /// Says once how few calls the plugin takes.
    fn tell(&self, limit: u32) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            target: "outboard",
            plugin = self.shared.name(),
            limit,
            "{}: further calls wait for one to end, each as long as its own limit allows. What the \
             plugin prints and the broker have connections of their own. Its author can allow more \
             (in Go, by a higher grpc.MaxConcurrentStreams, or none)",
            allows(limit)
        );
    }
}

fn allows(limit: u32) -> String {
    let calls = if limit == 1 { "call" } else { "calls" };
    format!(
        "the plugin allows {limit} {calls} at a time on a connection (HTTP/2's \
         SETTINGS_MAX_CONCURRENT_STREAMS)"
    )
}

fn gone() -> Status {
    Status::connection_lost("the connection to the plugin is closed")
}
