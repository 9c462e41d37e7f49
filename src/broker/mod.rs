//! The broker: live interfaces passed between host and plugin, in both directions.

mod control;
mod dial;
mod error;
mod gate;
mod listen;
mod redial;
mod serve;
mod served;
mod server;
mod state;
#[cfg(all(test, unix))]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;

use outboard_core::handshake::Protocol;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{ConnectionConfig, Router, Service, SubChannels, Transport};
use outboard_core::rt::{BoxByteStream, SharedRuntime};

use crate::client::Client;
use crate::plugin::tracked::InFlight;
use crate::sys::files::remove_stale_socket;

use self::gate::Gate;
use self::state::{Early, Inside, State};

pub(crate) use self::control::Generation;
pub use self::error::BrokerError;
pub(crate) use self::listen::ListenPolicy;
pub(crate) use self::redial::connect;
pub use self::served::Served;

/// Passes live interfaces between the two sides of one connection.
///
/// The side that has an implementation [serves](Self::serve) it and sends the id in a message of
/// its own; the other side [dials](Self::dial) the id. Each served id can be dialled once (a rule of
/// go-plugin); what was dialled lasts until either side lets go of it. If its connection is lost
/// before that, it is made again: calls in flight fail with
/// [`is_connection_lost`](crate::Status::is_connection_lost), later ones wait for the new connection
/// within their deadlines, for 5 s at most.
///
/// Over the stdio transport brokered calls travel inside the plugin's pipes. Nothing is announced
/// there: a dial returns at once, an id may be dialled repeatedly, and if nobody serves it, the
/// first call says so.
///
/// The host finds it at [`RunningPlugin::broker`](crate::RunningPlugin::broker), a handler in a
/// plugin or host at [`context::broker`](crate::context::broker). Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    parts: BrokerParts,
    state: Mutex<State>,
}

/// What is needed to make a [`Broker`].
pub(crate) struct BrokerParts {
    pub(crate) runtime: SharedRuntime,
    pub(crate) transport: Arc<dyn Transport>,
    /// For dialled connections; the authority is that of their address.
    pub(crate) config: ConnectionConfig,
    pub(crate) listen: ListenPolicy,
    /// Counts the calls of what is served, for those who wait for their end.
    pub(crate) calls: Option<Arc<InFlight>>,
    /// Counts the listeners, each until the last connection it took has ended.
    pub(crate) servers: Arc<InFlight>,
}

/// The most socket files of a peer that are remembered for removal after its death: more than it has
/// at once, bounded since the peer decides. The oldest are the likeliest to be gone already.
const MAX_PEER_FILES: usize = 1024;

impl Broker {
    pub(crate) fn new(parts: BrokerParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            state: Mutex::new(Rank::Broker, State::new()),
        }))
    }

    /// Serves `service` to the other side, under a fresh id, until the returned handle is dropped.
    ///
    /// Making a socket may take its time, most of all if a group is to be looked up: on a runtime
    /// with one thread everything else waits for that.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker is closed or no socket can be made.
    pub fn serve(&self, service: impl Service) -> Result<Served, BrokerError> {
        let mut router = Router::new();
        // A router without services takes any first one.
        router.add(Arc::new(service))?;
        self.serve_router(router)
    }

    /// A client of the interface that the other side serves under `id`. Waits at most 5 s for the
    /// other side to announce it; over stdio it does not wait.
    ///
    /// Dropping the future gives up the dial. The id can be dialled again then, unless the other
    /// side's announcement had been taken already: each serves one dial.
    ///
    /// # Errors
    /// [`BrokerError`] says whether nobody serves the id, the broker is closed, or the connection
    /// failed.
    pub async fn dial<C: Client>(&self, id: u32) -> Result<C, BrokerError> {
        Ok(C::from_channel(self.dial_channel(id).await?))
    }

    /// Begins the connection over `io` with `begin`, and serves and dials inside it from then on where
    /// it can. Nothing is read of `io` until that is known: on a runtime with several threads the
    /// first call could be answered before `begin` returns, and what it serves be dialled before it
    /// is served.
    pub(crate) fn begin<C>(
        &self,
        io: BoxByteStream,
        begin: impl FnOnce(BoxByteStream) -> C,
        sub_channels: impl FnOnce(&C) -> Option<Arc<dyn SubChannels>>,
    ) -> C {
        // In go-plugin's own protocol brokered calls have sockets: there is nothing to wait for.
        if self.0.parts.transport.protocol() == Protocol::Grpc {
            let connection = begin(io);
            self.begun(sub_channels(&connection));
            return connection;
        }
        self.lock().inside = Inside::Beginning(Early::default());
        let (gate, io) = Gate::before(io);
        let connection = begin(io);
        self.begun(sub_channels(&connection));
        drop(gate);
        connection
    }

    /// Ends everything: served ids, dials under way, the control stream.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed_by_us = true;
        state.machine.close();
        let channels = std::mem::take(&mut state.channels);
        // It holds the connection, and what that serves holds the broker.
        let inside = std::mem::replace(&mut state.inside, Inside::Sockets);
        self.settle(state);
        drop(inside);
        for serving in channels.into_values().flatten() {
            serving.drain();
        }
    }

    /// Removes the socket files that the peer, now dead, has announced and left behind.
    pub(crate) fn remove_stale_files(&self) {
        let files = std::mem::take(&mut self.lock().peer_files);
        for file in files.keys() {
            remove_stale_socket(file);
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The formatter writes to something of the caller's: not under the lock.
        let (serving, dialling, closed) = {
            let state = self.lock();
            (
                state.servers.keys().copied().collect::<Vec<_>>(),
                state.dials.keys().copied().collect::<Vec<_>>(),
                state.machine.closed().cloned(),
            )
        };
        f.debug_struct("Broker")
            .field("serving", &serving)
            .field("dialling", &dialling)
            .field("closed", &closed)
            .finish_non_exhaustive()
    }
}
