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
use outboard_core::rt::{AddressTranslator, BoxFuture, SharedRuntime};

use super::Security;
#[cfg(feature = "multiplex")]
use super::session::{Role, Session};
use super::stream::{Carried, Raw, Unreached};
use crate::time;

/// How long connecting to an address may take that was announced by a side that is up; as in Go's gRPC.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// The way to the sockets of one other side. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    runtime: SharedRuntime,
    /// Present where the other side knows its addresses by other names.
    addresses: Option<Arc<dyn AddressTranslator>>,
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
            security: Security::default(),
            #[cfg(feature = "multiplex")]
            streams: None,
        }
    }

    /// The same, all of whose streams share the first connection that is made.
    #[cfg(feature = "multiplex")]
    #[must_use]
    pub(crate) fn multiplexed(mut self) -> Self {
        self.streams = Some(Arc::default());
        self
    }

    /// The same, all of whose streams share this connection.
    #[cfg(feature = "multiplex")]
    #[must_use]
    pub(crate) fn within(mut self, session: &Session) -> Self {
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
            return session.open();
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
        let connecting = self.runtime.connect(&here);
        #[cfg(feature = "multiplex")]
        let (runtime, streams) = (Arc::clone(&self.runtime), self.streams.clone());
        Box::pin(async move {
            let io = connecting.await;
            let io = io.map_err(|error| Unreached::Connect(here.connect_fault(error)))?;
            #[cfg(feature = "multiplex")]
            if let Some(streams) = streams {
                let begin = || Session::begin(&runtime, io, Role::Client, here, None);
                return streams.get_or_init(begin).open().await;
            }
            Ok(Raw(io, here))
        })
    }

    /// Becomes the calling side of a stream.
    pub(crate) async fn secure(&self, Raw(io, to): Raw) -> Result<Carried, Unreached> {
        let secured = self.security.connect(&self.runtime, io).await;
        let io = secured.map_err(Unreached::Tls)?;
        Ok(Carried::new(io, &to, self.security.is_secure()))
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
        let here = match &self.addresses {
            None => endpoint.clone(),
            Some(addresses) => addresses.plugin_to_host(endpoint).ok()?,
        };
        here.socket_file().map(Path::to_owned)
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
