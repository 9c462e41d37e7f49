//! The connection of a driver: being made, there, and made again.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::Protocol;
use outboard_core::host::HostInput;
use outboard_core::rpc::{Status, Transport};
use outboard_core::rt::{AddressTranslator, BoxFuture, SharedRuntime};

use super::link::{Inside, Link, Watch};
use super::report::ExitReport;
use super::shared::Shared;
use crate::carrier::{Attempt, Carried, Carrier, Outcome, Raw, Security, Unreached};

/// What a driver has of the connection to its plugin.
pub(super) struct Uplink {
    carrier: Carrier,
    shared: Arc<Shared>,
    first: Option<First>,
    again: Attempt<Inside>,
    link: Option<Link>,
    watch: Option<Watch>,
    shutdown_call: Option<BoxFuture<'static, HostInput<'static>>>,
}

/// The first connection, which counts as soon as it is there.
struct First {
    stage: Stage,
    transport: Arc<dyn Transport>,
    endpoint: Endpoint,
}

enum Stage {
    Reaching(BoxFuture<'static, Result<Raw, Unreached>>),
    Securing(BoxFuture<'static, Result<Carried, Unreached>>),
}

impl Uplink {
    pub(super) fn new(runtime: &SharedRuntime, shared: Arc<Shared>) -> Self {
        Self {
            carrier: Carrier::new(runtime, None),
            shared,
            first: None,
            again: Attempt::default(),
            link: None,
            watch: None,
            shutdown_call: None,
        }
    }

    /// The other side knows its addresses by other names.
    pub(super) fn translate(&mut self, addresses: Arc<dyn AddressTranslator>) {
        self.carrier = self.carrier.clone().translating(addresses);
    }

    /// What is spoken over streams to it.
    pub(super) fn speak(&mut self, protocol: Protocol) {
        self.carrier = self.carrier.clone().of_protocol(protocol);
    }

    /// Streams to it are secured so, from the next on.
    pub(super) fn secure(&mut self, security: Security) {
        self.carrier = self.carrier.clone().secured(security);
    }

    /// Streams to it share one connection.
    #[cfg(feature = "multiplex")]
    pub(super) fn multiplex(&mut self) {
        self.carrier = self.carrier.clone().multiplexed();
    }

    /// Nothing more is carried.
    pub(super) fn close(&self, why: &str) {
        self.carrier.close(why);
    }

    /// What this side calls an address of the plugin.
    pub(super) fn here(&self, endpoint: &Endpoint) -> Option<Endpoint> {
        self.carrier.here(endpoint)
    }

    /// The file of a socket that the plugin has made, where this side sees it.
    pub(super) fn socket_file(&self, endpoint: &Endpoint) -> Option<PathBuf> {
        self.carrier.socket_file(endpoint)
    }

    pub(super) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Connects to where the plugin says it listens, for the first time or again.
    pub(super) fn connect(&mut self, endpoint: Endpoint, transport: Arc<dyn Transport>) {
        match &self.link {
            Some(_) => self.again.begin(self.carrier.dial(&endpoint)),
            None => {
                self.first = Some(First {
                    stage: Stage::Reaching(self.carrier.reach(&endpoint)),
                    transport,
                    endpoint,
                });
            }
        }
    }

    /// Has this stream for the connection.
    pub(super) fn establish(
        &mut self,
        transport: Arc<dyn Transport>,
        carried: Carried,
        endpoint: Option<Endpoint>,
    ) -> HostInput<'static> {
        let (link, inside) =
            Link::establish(&self.carrier, transport, carried, endpoint, &self.shared);
        self.watch = Some(inside.watch());
        self.link = Some(link);
        HostInput::Connected
    }

    /// Gives up the attempt to connect.
    pub(super) fn abandon(&mut self) {
        self.first = None;
        self.again.give_up();
    }

    /// Asks the plugin to end.
    pub(super) fn call_shutdown(&mut self) {
        if let Some(link) = &self.link {
            link.settle();
            self.shutdown_call = Some(link.call_shutdown());
        }
    }

    pub(super) fn close_broker(&self) {
        if let Some(link) = &self.link {
            link.broker.close();
        }
    }

    /// The plugin lives and cannot be reached: calls fail with this.
    pub(super) fn give_up(&mut self, status: Status) {
        self.watch = None;
        if let Some(link) = &self.link {
            link.give_up(status);
        }
    }

    /// The process has ended, which calls are told.
    pub(super) fn ended(&self, report: &ExitReport) {
        if let Some(link) = &self.link {
            link.ended(&self.carrier, &self.shared, report);
            link.broker
                .over(report.status(self.shared.name()).message());
        }
    }

    /// What has happened.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HostInput<'static>> {
        if let Some(First { stage, .. }) = &mut self.first
            && let Stage::Reaching(reaching) = stage
            && let Poll::Ready(reached) = reaching.as_mut().poll(cx)
        {
            let carrier = self.carrier.clone();
            let secured = carrier.security().is_secure() && reached.is_ok();
            let securing = async move { carrier.secure(reached?).await };
            *stage = Stage::Securing(Box::pin(securing));
            if secured {
                return Poll::Ready(HostInput::Reached);
            }
        }
        if let Some(First { stage, .. }) = &mut self.first
            && let Stage::Securing(securing) = stage
            && let Poll::Ready(dialled) = securing.as_mut().poll(cx)
            && let Some(first) = self.first.take()
        {
            return Poll::Ready(match dialled {
                Ok(carried) => self.establish(first.transport, carried, Some(first.endpoint)),
                Err(Unreached::Connect(fault) | Unreached::Gone(fault)) => {
                    HostInput::ConnectFailed(fault)
                }
                Err(Unreached::Tls(fault)) => HostInput::SecureFailed(fault),
            });
        }
        if let Some(link) = &self.link {
            let (runtime, shared) = (self.carrier.runtime(), &self.shared);
            let outcome = self.again.poll(cx, |carried| {
                let inside = link.prepare(runtime, carried, shared);
                let connection = Arc::clone(&inside.connection);
                (inside, connection)
            });
            match outcome {
                Poll::Ready(Outcome::Failed(Unreached::Gone(fault))) => {
                    return Poll::Ready(HostInput::ConnectionGone(fault));
                }
                Poll::Ready(Outcome::Failed(unreached)) => {
                    return Poll::Ready(HostInput::ConnectFailed(unreached.into()));
                }
                Poll::Ready(Outcome::Connected(inside)) => {
                    link.replace(&inside);
                    self.watch = Some(inside.watch());
                    return Poll::Ready(HostInput::Connected);
                }
                Poll::Pending => {}
            }
        }
        if let Some(watch) = &mut self.watch
            && let Poll::Ready(news) = watch.poll(cx)
        {
            return Poll::Ready(news);
        }
        if let Some(call) = &mut self.shutdown_call
            && let Poll::Ready(answer) = call.as_mut().poll(cx)
        {
            self.shutdown_call = None;
            return Poll::Ready(answer);
        }
        Poll::Pending
    }
}
