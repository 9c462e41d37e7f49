//! Waiting for the names under which the peer provides interfaces.

use std::task::Poll;

use outboard_core::rpc::DispenseFailure;

use super::{Serves, State};
use crate::wakers::Clones;
use crate::wire::PeerNames;

impl<S: Serves> State<S> {
    /// Ready when it is known whether the peer provides something under this name. A peer that does
    /// not tell may well. Takes one clone.
    pub(crate) fn poll_provided(
        &mut self,
        name: &str,
        waker: &mut Clones<'_>,
    ) -> Poll<Result<(), DispenseFailure>> {
        Poll::Ready(match self.mux.peer_names() {
            PeerNames::Untold => Ok(()),
            PeerNames::Told(names) if names.iter().any(|known| known == name) => Ok(()),
            PeerNames::Told(names) => Err(DispenseFailure::NotProvided {
                provided: names.to_vec(),
            }),
            PeerNames::NotYet => match &self.closed {
                Some(status) => Err(DispenseFailure::Refused(status.clone())),
                None => {
                    waker.remember_in(&mut self.naming);
                    return Poll::Pending;
                }
            },
        })
    }

    /// Wakes those who wait for names, if there is something to know.
    pub(super) fn wake_for_names(&mut self) {
        if !self.naming.is_empty() && self.mux.peer_names() != PeerNames::NotYet {
            self.wakes.append(&mut self.naming);
        }
    }
}
