//! A stream to the other side on its way from the socket to the transport, or why there is none.

use std::sync::Arc;

use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::rpc::{Connection, ConnectionConfig, Transport};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_core::tls::TlsFault;

/// Why there is no stream to the other side.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// It took no connection.
    Connect(Fault),
    /// It took one, and the two did not agree on how to secure it.
    Tls(TlsFault),
    /// It takes none any more: what it listened on is gone, or the connection of all streams.
    Gone(Fault),
}

impl From<Unreached> for Fault {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Connect(fault) | Unreached::Gone(fault) => fault,
            Unreached::Tls(TlsFault { fault, .. }) => {
                Self::new(fault.kind, format_args!("no TLS: {}", fault.message))
            }
        }
    }
}

/// A stream to the other side that is not ready for a transport yet.
pub(crate) struct Raw {
    pub(super) io: BoxByteStream,
    /// Where it leads.
    pub(super) to: Endpoint,
    /// How many of its layers are there.
    pub(super) layers: usize,
}

/// A stream to the other side, and what a transport is to know of how it came about.
pub(crate) struct Carried {
    io: BoxByteStream,
    authority: String,
    /// Whether it is encrypted.
    secure: bool,
}

impl Carried {
    pub(super) fn new(io: BoxByteStream, to: &Endpoint, secure: bool) -> Self {
        Self {
            io,
            authority: to.authority(),
            secure,
        }
    }

    /// A stream that is there already and that nobody else can get at: pipes, memory.
    pub(crate) fn private(io: BoxByteStream) -> Self {
        Self {
            io,
            authority: "localhost".to_owned(),
            secure: false,
        }
    }

    /// Becomes the calling side of it.
    pub(crate) fn connect(
        self,
        runtime: &SharedRuntime,
        transport: &dyn Transport,
        config: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        let config = self.config(config);
        transport.connect(runtime, self.io, config)
    }

    /// The stream, and `config` with what is known of it.
    pub(crate) fn into_parts(self, config: ConnectionConfig) -> (BoxByteStream, ConnectionConfig) {
        let config = self.config(config);
        (self.io, config)
    }

    fn config(&self, mut config: ConnectionConfig) -> ConnectionConfig {
        config.authority.clone_from(&self.authority);
        config.secure = self.secure;
        config
    }
}
