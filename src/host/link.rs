//! The connection to a plugin, and what is set up on it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::Protocol;
use outboard_core::host::HostInput;
use outboard_core::link::LinkInput;
use outboard_core::rpc::{Channel, Connection, ConnectionConfig, Status, Transport};
use outboard_core::rt::{BoxFuture, SharedRuntime};
use outboard_core::told::Teller;

use super::explain::{explain, of_inside};
use super::origin::Origin;
use super::output;
use super::report::{ExitReason, ExitReport};
use super::shared::{AtEnd, Shared};
use super::standing::{Standing, StandingParts};
use crate::broker::{Broker, BrokerParts, Control};
use crate::carrier::{Carried, Carrier};
use crate::figures::StartTimes;
use crate::link::{self, Stable};
use crate::peer::{self, Asked, Peer};

/// The way to a plugin. Clones are the same.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: Arc<dyn Connection>,
    pub(super) broker: Broker,
    /// The same connection, if its inside can be replaced.
    stable: Option<Arc<Stable>>,
    pub(super) peer: &'static dyn Peer,
    standing: Standing,
    transport: Arc<dyn Transport>,
    config: ConnectionConfig,
}

/// What a successful start gives.
pub(super) struct Started {
    /// What host and plugin agreed on.
    pub(super) version: i64,
    pub(super) protocol: Protocol,
    pub(super) origin: Origin,
    pub(super) link: Link,
    pub(super) times: StartTimes,
}

/// What is inside a [`Link`], now or soon.
pub(super) struct Inside {
    pub(super) connection: Arc<dyn Connection>,
    /// Dropped when this is no longer the last word: calls that it has cut off are told why.
    superseded: Teller<()>,
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
    _superseded: Teller<()>,
}

impl Watch {
    /// What has happened to the connection, each once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HostInput<'static>> {
        self.news.poll(cx).map(|news| match news {
            LinkInput::Retiring => HostInput::ConnectionRetiring,
            // There is no other news of a connection.
            _ => HostInput::ConnectionLost,
        })
    }
}

impl Link {
    /// Makes the connection, on which the two streams will be opened that go-plugin's host has.
    /// Nothing is waited for: a Go plugin sends response headers only with the first message, which
    /// may never come.
    ///
    /// `endpoint` is where to connect again.
    pub(super) fn establish(
        carrier: &Carrier,
        transport: Arc<dyn Transport>,
        carried: Carried,
        endpoint: Option<Endpoint>,
        shared: &Arc<Shared>,
    ) -> (Self, Inside) {
        let runtime = carrier.runtime();
        let peer = peer::of(transport.protocol());
        let mut config = ConnectionConfig::new(shared.settings().max_message_size);
        config.lost = Some(explain(runtime, shared, None));
        #[cfg(feature = "netrpc")]
        {
            config.cut_off = Some(super::explain::cut_off(runtime, shared));
        }
        let (superseded, inside_config) = of_inside(runtime, shared, &config);
        let (io, inside_config) = carried.into_parts(inside_config);
        let broker = Broker::new(BrokerParts {
            runtime: Arc::clone(runtime),
            carrier: carrier.clone(),
            transport: Arc::clone(&transport),
            config: config.clone(),
            listen: shared.settings().listen.clone(),
            calls: None,
            ending: None,
            servers: Arc::default(),
        });
        let inside = broker.begin(
            io,
            |io| transport.connect(runtime, io, inside_config),
            |connection| connection.sub_channels(),
        );
        // Where nothing can be made again, the inside is all there is.
        let stable = transport
            .protocol()
            .reconnects()
            .then(|| Stable::new(runtime, Arc::clone(&inside)));
        let connection = match &stable {
            Some(stable) => Arc::clone(stable) as Arc<dyn Connection>,
            None => Arc::clone(&inside),
        };
        let standing = Standing::new(StandingParts {
            carrier,
            transport: &transport,
            config: &config,
            endpoint,
            connection: &connection,
            stable: stable.as_ref(),
            shared,
        });
        let output = output::sync(peer, standing.clone(), Arc::clone(shared));
        runtime.spawn(Box::pin(output));
        if let Some(control) = broker.control() {
            let kept = keep_control(peer, standing.clone(), control);
            runtime.spawn(Box::pin(kept));
        }
        let link = Self {
            connection,
            broker,
            stable,
            peer,
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

    /// Makes another inside of a stream. It is used once it is [put in place](Self::replace).
    pub(super) fn prepare(
        &self,
        runtime: &SharedRuntime,
        carried: Carried,
        shared: &Arc<Shared>,
    ) -> Inside {
        let (superseded, config) = of_inside(runtime, shared, &self.config);
        Inside {
            connection: carried.connect(runtime, &*self.transport, config),
            superseded,
        }
    }

    /// How many calls wait for a connection.
    pub(super) fn waiting(&self) -> usize {
        self.stable.as_ref().map_or(0, |stable| stable.waiting())
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
    pub(super) fn ended(&self, carrier: &Carrier, shared: &Arc<Shared>, report: &ExitReport) {
        let connection = Arc::clone(&self.connection);
        let status = report.status(shared.name());
        if let Some(stable) = &self.stable {
            stable.settle_with(status.clone());
        }
        let ended = AtEnd(Arc::clone(shared), Shared::set_link_ended);
        // The output of a plugin that runs on has no end to wait for, only a moment of silence.
        let waits = report.reason != ExitReason::Released || shared.sync.wanted().contains(&true);
        let carrier = carrier.clone();
        let tasks = Arc::clone(carrier.runtime());
        tasks.spawn(Box::pin(async move {
            if waits {
                output::take_last(carrier.runtime(), &ended.0).await;
            }
            connection.abort(status.clone());
            carrier.close(status.message());
            drop(ended);
        }));
    }

    /// A channel for what must not wait for streams that calls hold: another connection's, where the plugin
    /// limits them and there is one to be had.
    pub(super) async fn beside_calls(&self) -> Channel {
        let spare = self.standing.spare().await;
        spare.unwrap_or_else(|| Channel::new(Arc::clone(&self.connection)))
    }

    /// Asks the plugin to end, which it was whatever comes of it: go-plugin's plugins die before they
    /// answer. Only one without a controller was not. It does not wait for a stream that calls hold.
    pub(super) fn call_shutdown(&self) -> BoxFuture<'static, HostInput<'static>> {
        let channel = Channel::new(Arc::clone(&self.connection));
        let (peer, spare) = (self.peer, self.standing.spare());
        Box::pin(async move {
            let channel = spare.await.unwrap_or(channel);
            match peer.shutdown(&channel).await {
                Asked::Yes => HostInput::ShutdownAnswered,
                Asked::Unsupported => HostInput::ShutdownUnsupported,
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

/// Keeps the broker's control stream open.
async fn keep_control(peer: &'static dyn Peer, mut standing: Standing, control: Arc<dyn Control>) {
    let ended = loop {
        let opened = standing.open(|channel| peer.control(channel, control.outgoing()));
        let (incoming, own) = match opened.await {
            Ok(opened) => opened,
            Err(status) => break Err(status),
        };
        let listening = control.listen_to(incoming);
        match standing.follow(own, listening).await {
            Err(status) if standing.comes_back(&status) => {}
            ended => break ended,
        }
    };
    control.ended(&ended);
}
