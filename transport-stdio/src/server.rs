//! Calls of the peer: finding what answers them.

use std::sync::Arc;

use bytes::Bytes;
use outboard_core::rpc::{MethodKind, Pace, Route, Router, Status};

use crate::gate::{Gate, Running};
use crate::session::State;
use crate::wire::{Key, Offer, Taken};

/// What is served on one channel.
#[derive(Debug)]
pub(crate) struct Server {
    router: Arc<Router>,
    gate: Arc<Gate>,
    /// By the number of the method in the peer's table.
    routes: Routes,
}

#[derive(Default)]
struct Routes(Vec<Option<Route>>);

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Routes({})", self.0.len())
    }
}

impl Server {
    pub(crate) fn new(router: Arc<Router>, gate: Arc<Gate>) -> Self {
        Self {
            router,
            gate,
            routes: Routes::default(),
        }
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    fn route(&mut self, offer: &Offer) -> Result<Route, Status> {
        let number = offer.method.map(usize::from);
        if let Some(Some(route)) = number.and_then(|number| self.routes.0.get(number)) {
            return Ok(route.clone());
        }
        let route = self.router.route(&offer.path)?.clone();
        if let Some(number) = number {
            // The machine bounds the numbers.
            if self.routes.0.len() <= number {
                self.routes.0.resize_with(number + 1, || None);
            }
            if let Some(place) = self.routes.0.get_mut(number) {
                *place = Some(route.clone());
            }
        }
        Ok(route)
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
    pub(crate) fn pace(&self) -> &Pace {
        &self.route.pace
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }
}

impl State {
    pub(crate) fn offered(&mut self, key: Key, offer: Offer) {
        let Some(server) = self.servers.get_mut(&offer.channel) else {
            let status = if offer.channel == 0 {
                Status::unimplemented("this side serves nothing on the main channel")
            } else {
                Status::unavailable(format!(
                    "nobody serves channel {}; is the handle it came from still alive?",
                    offer.channel
                ))
            };
            self.mux.refuse(key, &status);
            return;
        };
        let route = match server.route(&offer) {
            Ok(route) => route,
            Err(status) => {
                self.mux.refuse(key, &status);
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
        if takes_one(&job.route) && self.mux.is_input_ended(key) {
            match (self.mux.take_message(key), self.mux.take_message(key)) {
                (Taken::Message(message), Taken::End) => job.message = Some(message),
                (_, _) => {
                    self.mux.fail(key, &one_message(job.route.descriptor.path));
                    self.aside().jobs.push(job);
                    return;
                }
            }
        }
        self.jobs.push(job);
    }
}

/// Whether calls of the method have exactly one request message. Their handlers start when all of
/// it, and the end behind it, is there.
pub(crate) fn takes_one(route: &Route) -> bool {
    matches!(
        route.descriptor.kind,
        MethodKind::Unary | MethodKind::ServerStreaming
    )
}

pub(crate) fn one_message(path: &str) -> Status {
    Status::internal(format!(
        "cardinality violation: {path} takes exactly one request message, and the caller sent none \
         or several"
    ))
}
