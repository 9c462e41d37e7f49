//! Serving ids: through sockets of their own, or inside the connection.

use std::sync::Arc;

use outboard_core::broker::{self as machine, BrokerInput};
use outboard_core::fault::Fault;
use outboard_core::lock::MutexGuard;
use outboard_core::rpc::{Router, ServerConfig, SubChannels};

use super::server::Server;
use super::state::{Inside, State};
use super::{Broker, BrokerError, Served};
use crate::plugin::tracked::Tracked;
use crate::sys::socket::ListenError;

/// Where what is to be served goes.
enum Place {
    Socket,
    Inside(Arc<dyn SubChannels>),
    /// Kept until the connection has begun.
    Early,
}

impl Broker {
    /// Serves several services under one id, until the returned handle is dropped.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_router(&self, mut router: Router) -> Result<Served, BrokerError> {
        router.extensions_mut().insert(self.clone());
        if let Some(calls) = &self.0.parts.calls {
            router.wrap_services(|service| Arc::new(Tracked::new(service, Arc::clone(calls))));
        }
        let router = Arc::new(router);
        let now = self.0.parts.runtime.now();
        let mut state = self.lock();
        if let Some(closed) = state.machine.closed() {
            return Err(closed.clone().into());
        }
        let generation = state.generation;
        let id = state.fresh_id();
        let place = match &mut state.inside {
            Inside::Sockets => Place::Socket,
            Inside::Channels(channels) => Place::Inside(Arc::clone(channels)),
            Inside::Beginning(early) => {
                early.serves.push((generation, id, Arc::clone(&router)));
                Place::Early
            }
        };
        if matches!(place, Place::Socket) {
            state.machine.accept(now, id)?;
        } else {
            state.channels.insert((generation, id), None);
        }
        self.settle(state);
        // From here on the service is dropped, if it is refused, without the lock: it may own what
        // this very broker serves.
        match place {
            Place::Socket => self.serve_socket(generation, id, router)?,
            Place::Inside(channels) => self.serve_inside(&*channels, generation, id, router)?,
            Place::Early => {}
        }
        Ok(Served::new(self.clone(), generation, id))
    }

    /// Makes the listener without the lock, since that may take its time: the connection's own task
    /// needs the lock for each message of the control stream.
    fn serve_socket(
        &self,
        generation: u64,
        id: u32,
        router: Arc<Router>,
    ) -> Result<(), BrokerError> {
        let parts = &self.0.parts;
        let made = parts.listen.listen().and_then(|bound| {
            let endpoint = bound.endpoint.clone();
            let listener = parts.runtime.listener(bound.socket, endpoint.clone());
            let listener = listener.map_err(ListenError::Register)?;
            let config = ServerConfig {
                max_message_size: parts.config.max_message_size,
            };
            let (server, task) = Server::new(
                Arc::clone(&parts.runtime),
                Arc::clone(&parts.transport),
                (listener, bound.file),
                router,
                config,
                parts.servers.enter(),
            );
            Ok((server, task, endpoint))
        });
        let now = parts.runtime.now();
        let (server, task, endpoint) = match made {
            Ok(made) => made,
            Err(error) => {
                let fault = Fault::other(error);
                self.update(generation, |machine, now| {
                    let fault = fault.clone();
                    machine.handle(now, BrokerInput::ListenFailed { id, fault });
                });
                return Err(machine::BrokerError::Listen { id, fault }.into());
            }
        };
        let mut state = self.lock();
        if state.generation != generation || !state.machine.is_accepting(id) {
            let error = closed_meanwhile(&state);
            drop(state);
            // Its listener was never announced, so nobody waits for it.
            drop((server, task));
            return Err(error.into());
        }
        state.servers.insert(id, server);
        state
            .machine
            .handle(now, BrokerInput::Listening { id, endpoint });
        self.settle(state);
        parts.runtime.spawn(task);
        Ok(())
    }

    fn serve_inside(
        &self,
        channels: &dyn SubChannels,
        generation: u64,
        id: u32,
        router: Arc<Router>,
    ) -> Result<(), BrokerError> {
        let accepted = channels.accept(id, router);
        let mut state = self.lock();
        let key = (generation, id);
        let serving = match accepted {
            Ok(serving) => serving,
            Err(status) => {
                state.channels.remove(&key);
                drop(state);
                return Err(BrokerError::Channel(status));
            }
        };
        if let Some(place) = state.channels.get_mut(&key) {
            *place = Some(serving);
            return Ok(());
        }
        // Closed, or let go of, since.
        let error = closed_meanwhile(&state);
        drop(state);
        serving.drain();
        Err(error.into())
    }

    /// Ends `begin`: where brokered calls travel is known, and what came early is served there.
    pub(super) fn begun(&self, channels: Option<Arc<dyn SubChannels>>) {
        let early = {
            let mut state = self.lock();
            let known = match &channels {
                // Closed while it began: nothing may hold the connection any more.
                _ if state.closed_by_us => Inside::Sockets,
                Some(channels) => Inside::Channels(Arc::clone(channels)),
                None => Inside::Sockets,
            };
            std::mem::replace(&mut state.inside, known)
        };
        let Inside::Beginning(early) = early else {
            // Nothing can have come early.
            return;
        };
        for (generation, id, router) in early.serves {
            let served = match &channels {
                Some(channels) => self.serve_inside(&**channels, generation, id, router),
                None => self.serve_early_socket(generation, id, router),
            };
            if let Err(error) = served {
                // Whoever asked has its handle already; the other side's calls say that nobody
                // serves the id.
                tracing::warn!(target: "outboard", id, %error, "an id is not served");
            }
        }
        drop(early.dials);
    }

    fn serve_early_socket(
        &self,
        generation: u64,
        id: u32,
        router: Arc<Router>,
    ) -> Result<(), BrokerError> {
        let now = self.0.parts.runtime.now();
        let mut state = self.lock();
        if state.channels.remove(&(generation, id)).is_none() {
            return Ok(());
        }
        state.machine.accept(now, id)?;
        self.settle(state);
        self.serve_socket(generation, id, router)
    }

    /// No effect if the control stream that `id` was served on has ended: then so has the id, and a
    /// later stream may have one of the same number.
    pub(super) fn stop_serving(&self, generation: u64, id: u32) {
        let serving = self.lock().channels.remove(&(generation, id));
        match serving {
            Some(Some(serving)) => serving.drain(),
            // It is being arranged, by who will find that it is not wanted any more.
            Some(None) => self.forget_early(generation, id),
            None => self.update(generation, |machine, now| machine.close_id(now, id)),
        }
    }

    fn forget_early(&self, generation: u64, id: u32) {
        let mut forgotten = Vec::new();
        let mut state = self.lock();
        if let Inside::Beginning(early) = &mut state.inside {
            let gone = |other: &mut (u64, u32, _)| (other.0, other.1) == (generation, id);
            forgotten.extend(early.serves.extract_if(.., gone));
        }
        drop(state);
        drop(forgotten);
    }
}

impl State {
    /// One that nothing here is served under.
    fn fresh_id(&mut self) -> u32 {
        loop {
            let id = self.machine.next_id();
            if !self.channels.contains_key(&(self.generation, id)) {
                return id;
            }
        }
    }
}

/// Why what was being made is not wanted any more.
fn closed_meanwhile(state: &MutexGuard<'_, State>) -> machine::BrokerError {
    state
        .machine
        .closed()
        .cloned()
        .unwrap_or_else(|| machine::BrokerError::Closed {
            reason: "the control stream it belonged to has ended".to_owned(),
        })
}
