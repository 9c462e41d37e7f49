//! Calls over a plugin's stdin and stdout: a compact framed protocol for places where sockets,
//! temporary files or HTTP/2 are unwanted.
//!
//! [`Stdio`] is the transport. It makes and serves calls over any [`futures_io`] stream of bytes,
//! most of all a pair of pipes ([`Joined`]), on any [`Runtime`](outboard_core::rt::Runtime). A
//! connection carries calls in both directions and any number of brokered channels; each
//! connection has one task.
//!
//! The protocol is a sans-IO machine in [`wire`], specified in `docs/stdio-protocol.md`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod connection;
mod driver;
mod gate;
mod handler;
#[cfg(all(test, outboard_model))]
mod models;
mod pump;
mod server;
mod session;
mod wakers;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use outboard_core::handshake::Protocol;
use outboard_core::rpc::{
    Connection, ConnectionConfig, Keepalive, Router, ServerConfig, Serving, Spin, Transport,
};
use outboard_core::rt::{BoxByteStream, SharedRuntime};

pub use outboard_core::rt::Joined;

use self::connection::{StdioConnection, StdioServing};
use self::driver::Driver;
use self::gate::Gate;
use self::server::Servers;
use self::wire::MuxConfig;

type Session = session::Session<Servers>;
type State = session::State<Servers>;

/// The stdio transport.
///
/// Both sides of a connection are alike on the wire: [`connect`](Transport::connect) is the side
/// whose main channel is called, [`serve`](Transport::serve) the one that answers there, and on
/// brokered channels each calls and serves as it likes.
///
/// A handler of a unary method gets its first poll in the connection's own task, where most are
/// done, and becomes a task of its own only if it has to wait. So handlers must not block, which
/// holds for any async code; one that computes for long should hand that to a thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdio {
    config: MuxConfig,
    spin: Duration,
}

impl Stdio {
    /// The transport with its usual limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With these limits and windows: they say how much a peer can make this side keep in memory.
    /// The largest message is set per connection.
    #[must_use]
    pub fn limits(mut self, config: MuxConfig) -> Self {
        self.config = config;
        self
    }

    /// Pings a peer that has been quiet, and counts the connection as lost when it stays so; see
    /// [`Keepalive`] for what that promises. Off by default. On the host's side it is what ends a
    /// call without a deadline when the plugin is stopped; a plugin can watch its host likewise.
    /// Each implementation of the protocol answers pings, at any rate.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.config.keepalive = Some(keepalive);
        self
    }

    /// Looks again for up to this time when there is nothing to read, before the thread may sleep;
    /// see [`Spin`] for when that helps. Off by default. 50 microseconds are a good value, on both
    /// sides, where each side has a processor of its own and nothing else to do. It must be longer
    /// than the other side takes to answer.
    #[must_use]
    pub fn spin(mut self, limit: Duration) -> Self {
        self.spin = limit;
        self
    }

    fn session(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        max_message_size: usize,
    ) -> Arc<Session> {
        let mut config = self.config;
        config.settings.max_message = u32::try_from(max_message_size).unwrap_or(u32::MAX);
        Arc::new(Session::new(Arc::clone(runtime), io, config))
    }
}

impl Transport for Stdio {
    fn protocol(&self) -> Protocol {
        Protocol::Stdio
    }

    fn connect(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        config: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        let session = self.session(runtime, io, config.max_message_size);
        session.with(|state| state.hook = config.lost);
        runtime.spawn(Box::pin(Driver::new(
            Arc::clone(&session),
            Spin::new(self.spin),
        )));
        Arc::new(StdioConnection::main(session))
    }

    fn serve(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        router: Arc<Router>,
        config: ServerConfig,
    ) -> Arc<dyn Serving> {
        let session = self.session(runtime, io, config.max_message_size);
        let gate = Arc::new(Gate::default());
        let told = session.with(|state| {
            // Before the driver runs, which sends them first of all.
            let told = state.mux.tell_names(router.provided());
            state.serving.insert(0, router, &gate);
            told
        });
        if !told {
            tracing::debug!("the names of what is provided are too many, or too long, to be told");
        }
        runtime.spawn(Box::pin(Driver::new(
            Arc::clone(&session),
            Spin::new(self.spin),
        )));
        Arc::new(StdioServing::new(session, 0, gate))
    }
}
