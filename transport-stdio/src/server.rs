//! Calls of the peer: finding what answers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use outboard_core::rpc::{MethodKind, Route, Router, Single, Status};

use crate::gate::{Gate, Running};
use crate::session::{Serves, drop_foreign};
use crate::wire::{Key, Offer, Taken};
use crate::{Session, State};

/// What is served on one channel.
#[derive(Debug)]
pub(crate) struct Server {
    router: Arc<Router>,
    gate: Arc<Gate>,
}

impl Server {
    fn new(router: Arc<Router>, gate: Arc<Gate>) -> Self {
        Self { router, gate }
    }
}

/// A call whose handler is to be started.
pub(crate) struct Job {
    pub(crate) key: Key,
    pub(crate) route: Route,
    pub(crate) router: Arc<Router>,
    pub(crate) running: Running,
    pub(crate) offer: Offer,
    /// The one message of a call that has one, if all of it is here.
    pub(crate) message: Option<Bytes>,
}

impl Job {
    pub(crate) fn key(&self) -> Key {
        self.key
    }
}

/// All that is served on a connection, and the calls that wait for their handlers to be started.
#[derive(Default)]
pub(crate) struct Servers {
    /// By the number of the channel.
    servers: BTreeMap<u32, Server>,
    jobs: Vec<Job>,
}

impl Servers {
    /// Serves on a channel that is not being served.
    pub(crate) fn insert(&mut self, channel: u32, router: Arc<Router>, gate: &Arc<Gate>) {
        let server = Server::new(router, Arc::clone(gate));
        let before = self.servers.insert(channel, server);
        debug_assert!(before.is_none(), "it would be dropped under the lock");
    }

    /// Takes what is served on a channel, if that is what this gate belongs to.
    #[must_use = "it is to be dropped after the lock"]
    pub(crate) fn remove(&mut self, channel: u32, gate: &Arc<Gate>) -> Option<Server> {
        let server = self.servers.get(&channel)?;
        if !Arc::ptr_eq(&server.gate, gate) {
            return None;
        }
        self.servers.remove(&channel)
    }

    /// Adds the calls that wait to these.
    pub(crate) fn take_jobs(&mut self, jobs: &mut Vec<Job>) {
        if jobs.is_empty() {
            std::mem::swap(jobs, &mut self.jobs);
        } else {
            jobs.append(&mut self.jobs);
        }
    }
}

impl Session {
    /// Registers a server for a channel of this side.
    pub(crate) fn serve(&self, channel: u32, router: Arc<Router>) -> Result<Arc<Gate>, Status> {
        // Outside, so that a router that is refused is dropped after the lock.
        let mut offered = Some(router);
        self.with(|state| {
            if let Some(status) = state.gone() {
                return Err(status);
            }
            if state.serving.servers.contains_key(&channel) {
                return Err(Status::already_exists(format!(
                    "channel {channel} is being served already; take another id"
                )));
            }
            let gate = Arc::new(Gate::default());
            if let Some(router) = offered.take() {
                state.serving.insert(channel, router, &gate);
            }
            Ok(gate)
        })
    }
}

impl Serves for Servers {
    fn offered(state: &mut State, key: Key, offer: Offer) {
        let Some(server) = state.serving.servers.get(&offer.channel) else {
            let status = if offer.channel == 0 {
                Status::unimplemented("this side serves nothing on the main channel")
            } else {
                Status::unavailable(format!(
                    "nobody serves channel {}; is the handle it came from still alive?",
                    offer.channel
                ))
            };
            state.mux.refuse(key, &status);
            return;
        };
        let route = match server.router.route(&offer.path).cloned() {
            Ok(route) => route,
            Err(status) => {
                state.mux.refuse(key, &status);
                return;
            }
        };
        let mut job = Job {
            key,
            route,
            router: Arc::clone(&server.router),
            running: Running::new(&server.gate),
            offer,
            message: None,
        };
        if takes_one(&job.route) && state.mux.is_input_ended(key) {
            match state.take_single(key, Single::request()) {
                Ok(message) => job.message = Some(message),
                Err(status) => {
                    state.mux.fail(key, &status);
                    state.aside().serving.jobs.push(job);
                    return;
                }
            }
        }
        state.serving.jobs.push(job);
    }

    fn has_work(&self) -> bool {
        !self.jobs.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.jobs.is_empty()
            && self
                .servers
                .values()
                .all(|server| server.gate.running() == 0)
    }

    fn append(&mut self, more: Self) {
        self.servers.extend(more.servers);
        self.jobs.extend(more.jobs);
    }

    fn dispose(self) {
        for server in self.servers.values() {
            server.gate.stop(true);
        }
        drop_foreign(self);
    }
}

impl State {
    /// The one message of a direction that has ended.
    pub(crate) fn take_single(&mut self, key: Key, mut single: Single) -> Result<Bytes, Status> {
        while let Taken::Message(message) = self.mux.take_message(key) {
            single.push(message)?;
        }
        single.finish()
    }
}

/// Whether calls of the method have exactly one request message. Their handlers start when all of
/// it, and the end behind it, is there.
fn takes_one(route: &Route) -> bool {
    matches!(
        route.descriptor.kind,
        MethodKind::Unary | MethodKind::ServerStreaming
    )
}
