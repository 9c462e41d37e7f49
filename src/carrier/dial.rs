//! Connecting to where the other side listens.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(feature = "multiplex")]
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::{Either, select};
use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::handshake::Protocol;
use outboard_core::rt::{AddressTranslator, BoxByteStream, BoxFuture, SharedRuntime};

use super::layers::{Layer, Layers};
#[cfg(feature = "multiplex")]
use super::session::{Role, Session};
use super::stream::{Carried, Raw, Unreached};
use super::{Prepare, Security};
use crate::sys::access;
use crate::time;

/// How long connecting to an address may take that was announced by a side that is up; as in Go's gRPC.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// The way to the sockets of one other side. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    runtime: SharedRuntime,
    /// Present where the other side knows its addresses by other names.
    addresses: Option<Arc<dyn AddressTranslator>>,
    layers: Layers,
    security: Security,
    /// Present where all streams share one connection.
    #[cfg(feature = "multiplex")]
    streams: Option<Arc<OnceLock<Session>>>,
}

impl Carrier {
    pub(crate) fn new(
        runtime: &SharedRuntime,
        addresses: Option<Arc<dyn AddressTranslator>>,
    ) -> Self {
        Self {
            runtime: Arc::clone(runtime),
            addresses,
            layers: Layers::GRPC,
            security: Security::default(),
            #[cfg(feature = "multiplex")]
            streams: None,
        }
    }

    /// The same, for this protocol.
    #[must_use]
    pub(crate) fn of_protocol(mut self, protocol: Protocol) -> Self {
        self.layers = Layers::of(protocol);
        self
    }

    /// The same, all of whose streams share the first connection that is made.
    #[cfg(feature = "multiplex")]
    #[must_use]
    pub(crate) fn multiplexed(mut self) -> Self {
        self.layers = Layers::GRPC_MULTIPLEXED;
        self.streams = Some(Arc::default());
        self
    }

    /// The same, all of whose streams share this connection.
    #[cfg(feature = "multiplex")]
    #[must_use]
    pub(crate) fn within(mut self, session: &Session) -> Self {
        self.layers = Layers::GRPC_MULTIPLEXED;
        self.streams = Some(Arc::new(OnceLock::from(session.clone())));
        self
    }

    /// The one connection that all streams share, if they do.
    #[cfg(feature = "multiplex")]
    pub(crate) fn session(&self) -> Option<&Session> {
        self.streams.as_ref()?.get()
    }

    /// There is nothing more to be carried: what still waits fails with this.
    pub(crate) fn close(&self, why: &str) {
        #[cfg(feature = "multiplex")]
        if let Some(session) = self.session() {
            session.close(why);
        }
        #[cfg(not(feature = "multiplex"))]
        let _sockets_close_by_themselves = why;
    }

    /// The same, whose streams are secured so.
    #[must_use]
    pub(crate) fn secured(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// How its streams are secured.
    pub(crate) fn security(&self) -> &Security {
        &self.security
    }

    /// The same, to a side that knows its addresses by other names.
    #[must_use]
    pub(crate) fn translating(mut self, addresses: Arc<dyn AddressTranslator>) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// Connects to what the other side calls `endpoint`. It waits for as long as the system does,
    /// which may be minutes. The errors of the system are told with what they mean there.
    ///
    /// Where all streams share a connection, that is made once, and each is a stream in it.
    pub(crate) fn dial(
        &self,
        endpoint: &Endpoint,
    ) -> BoxFuture<'static, Result<Carried, Unreached>> {
        let (carrier, reaching) = (self.clone(), self.reach(endpoint));
        Box::pin(async move { carrier.secure(reaching.await?).await })
    }

    /// The first half of [`dial`](Self::dial), up to where the stream is to be [secured](Self::secure).
    pub(crate) fn reach(&self, endpoint: &Endpoint) -> BoxFuture<'static, Result<Raw, Unreached>> {
        #[cfg(feature = "multiplex")]
        if let Some(session) = self.session() {
            let opening = session.open_main();
            let carrier = self.clone();
            return Box::pin(async move { carrier.of_streams(opening.await?) });
        }
        let here = match &self.addresses {
            None => endpoint.clone(),
            Some(addresses) => match addresses.plugin_to_host(endpoint) {
                Ok(here) => here,
                Err(error) => {
                    let fault = Fault::other(format!(
                        "{endpoint}, as the plugin calls it, is no address of this side: {error}"
                    ));
                    return Box::pin(std::future::ready(Err(Unreached::Connect(fault))));
                }
            },
        };
        let (carrier, connecting) = (self.clone(), self.runtime.connect(&here));
        Box::pin(async move {
            let io = connecting.await;
            let io = io.map_err(|error| {
                let fault = here.connect_fault(error);
                Unreached::Connect(carrier.missed(access::explained(&here, fault)))
            })?;
            let (to, layers) = (here, 0);
            carrier
                .climb(Raw { io, to, layers }, Some(Layer::Tls))
                .await
        })
    }

    /// What it means that nobody listens: a side that multiplexes does so for one connection.
    fn missed(&self, mut fault: Fault) -> Fault {
        #[cfg(feature = "multiplex")]
        if self.streams.is_some()
            && matches!(
                fault.kind,
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            )
        {
            fault.message.push_str(
                "; a plugin that multiplexes takes one connection: another process may have made it \
                 first, or the plugin has ended",
            );
        }
        #[cfg(not(feature = "multiplex"))]
        let _unused = &mut fault;
        fault
    }

    /// A stream of the one connection that all share.
    ///
    /// # Errors
    /// If there is none.
    #[cfg(feature = "multiplex")]
    pub(crate) fn of_streams(&self, io: BoxByteStream) -> Result<Raw, Unreached> {
        let gone = || Unreached::Gone(Fault::other("there is no connection"));
        let to = self.session().ok_or_else(gone)?.endpoint().clone();
        let layers = self.layers.below_streams();
        Ok(Raw { io, to, layers })
    }

    /// Makes a stream ready for a transport.
    pub(crate) async fn secure(&self, raw: Raw) -> Result<Carried, Unreached> {
        let Raw { io, to, .. } = self.climb(raw, None).await?;
        Ok(Carried::new(io, &to, self.security.is_secure()))
    }

    /// Adds the next layers to a stream, to the last or to the one that comes before this.
    async fn climb(&self, mut raw: Raw, end: Option<Layer>) -> Result<Raw, Unreached> {
        while let Some(layer) = self.layers.get(raw.layers)
            && Some(layer) != end
        {
            raw.io = match layer {
                Layer::Tls => {
                    let alpn = self.layers.alpn();
                    let securing = self.security.connect(&self.runtime, raw.io, alpn);
                    securing.await.map_err(Unreached::Tls)?
                }
                Layer::Yamux => self.share(raw.io, &raw.to).await?,
            };
            raw.layers += 1;
        }
        Ok(raw)
    }

    /// Makes this the connection of all streams, and gives the first of them.
    #[cfg(feature = "multiplex")]
    async fn share(&self, io: BoxByteStream, to: &Endpoint) -> Result<BoxByteStream, Unreached> {
        let Some(streams) = &self.streams else {
            return Ok(io);
        };
        let begin = || Session::begin(&self.runtime, io, Role::Client, to.clone(), None);
        streams.get_or_init(begin).open().await
    }

    #[cfg(not(feature = "multiplex"))]
    async fn share(&self, io: BoxByteStream, _to: &Endpoint) -> Result<BoxByteStream, Unreached> {
        Ok(io)
    }

    /// What is done with streams that this side accepts where it would dial.
    pub(crate) fn prepare(&self) -> Result<Option<Arc<dyn Prepare>>, Fault> {
        self.security.can_accept()?;
        Ok(self.security.of_streams(self.layers))
    }

    /// The same within the time that a side needs at most that is known to be up.
    pub(crate) fn dial_live(
        &self,
        endpoint: &Endpoint,
    ) -> BoxFuture<'static, Result<Carried, Unreached>> {
        let limit = time::sleep(&self.runtime, CONNECT_WITHIN);
        let (dialling, endpoint) = (self.dial(endpoint), endpoint.clone());
        Box::pin(async move {
            match select(dialling, limit).await {
                Either::Left((dialled, _)) => dialled,
                Either::Right(((), _)) => {
                    let late = io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("it did not answer within {CONNECT_WITHIN:?}"),
                    );
                    Err(Unreached::Connect(endpoint.connect_fault(late)))
                }
            }
        })
    }

    /// The socket file of what the other side calls `endpoint`, if it is one that this side sees.
    pub(crate) fn socket_file(&self, endpoint: &Endpoint) -> Option<PathBuf> {
        self.here(endpoint)?.socket_file().map(Path::to_owned)
    }

    /// What this side calls an address of the other one, if it can reach that.
    pub(crate) fn here(&self, endpoint: &Endpoint) -> Option<Endpoint> {
        match &self.addresses {
            None => Some(endpoint.clone()),
            Some(addresses) => addresses.plugin_to_host(endpoint).ok(),
        }
    }

    /// What the other side is to call an address of this one.
    ///
    /// # Errors
    /// If it cannot reach that.
    pub(crate) fn announced(&self, endpoint: &Endpoint) -> Result<Endpoint, Fault> {
        let Some(addresses) = &self.addresses else {
            return Ok(endpoint.clone());
        };
        addresses.host_to_plugin(endpoint).map_err(|error| {
            Fault::other(format!(
                "{endpoint} is no address that the plugin could reach: {error}"
            ))
        })
    }

    pub(crate) fn runtime(&self) -> &SharedRuntime {
        &self.runtime
    }
}
