//! Brokered calls on sockets of their own, as go-plugin's: each id has a listener, which is announced
//! on the control stream, and the other side connects to it.

mod dial;
mod listen;
mod serve;

use std::path::PathBuf;
use std::sync::Arc;

use outboard_core::broker::{BrokerAction, BrokerMode};
use outboard_core::endpoint::Endpoint;
use outboard_core::queue::KeyedQueue;
use outboard_core::rpc::{Channel, Router};
use outboard_core::wire::plugin::ConnInfo;

use super::controlled::{AfterUnlock, Controlled, Kind, State};
use super::server::Server;
use crate::broker::BrokerError;
use crate::sys::stale::remove_stale_socket;

pub(crate) use self::listen::ListenPolicy;

/// The most socket files of a peer that are remembered for removal after its death: more than it has
/// at once, bounded since the peer decides. The oldest are the likeliest to be gone already.
pub(in crate::broker) const MAX_PEER_FILES: usize = 1024;

pub(in crate::broker) type Sockets = Controlled<Listening>;

/// A listener for each id.
pub(in crate::broker) enum Listening {}

/// Socket files that the peer announced and may leave behind if it is killed, the latest last.
pub(in crate::broker) type PeerFiles = KeyedQueue<PathBuf>;

impl Kind for Listening {
    const MODE: BrokerMode = BrokerMode::Listeners;

    type Found = Endpoint;
    type Server = Server;
    type Own = PeerFiles;

    fn serve(way: &Sockets, id: u32, router: Arc<Router>) -> Result<(), BrokerError> {
        way.offer(id, || way.listen(router))
    }

    async fn dial(way: Sockets, id: u32) -> Result<Channel, BrokerError> {
        way.connect(id).await
    }

    fn act(
        _way: &Sockets,
        state: &mut State<Self>,
        action: BrokerAction,
        after: &mut AfterUnlock<Self>,
    ) {
        // All others are asked for only when multiplexed, and these are not.
        if let BrokerAction::Connect { id, endpoint } = action
            && let Some(dial) = state.take_dial(id)
        {
            after.answer(dial, Ok(endpoint));
        }
    }

    fn received(way: &Sockets, message: &ConnInfo) {
        if let Ok(endpoint) = Endpoint::parse(&message.network, &message.address)
            && let Some(file) = way.parts().carrier.socket_file(&endpoint)
        {
            let files = &mut way.lock().own;
            files.push(file, ());
            if files.len() > MAX_PEER_FILES {
                files.pop();
            }
        }
    }

    fn clear_up(way: &Sockets) {
        let files = std::mem::take(&mut way.lock().own);
        for file in files.keys() {
            remove_stale_socket(file);
        }
    }
}

#[cfg(all(test, unix))]
impl Sockets {
    /// What the peer may leave behind, the latest last.
    pub(in crate::broker) fn peer_files(&self) -> Vec<PathBuf> {
        self.lock().own.keys().cloned().collect()
    }
}
