//! A runtime without tokio, pipes with little room, and services to call.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this"
)]

pub mod raw;

use std::sync::Arc;

use outboard_core::rpc::{Channel, Connection, ConnectionConfig, Router, Serving, Transport};
use outboard_core::rt::SharedRuntime;
use outboard_transport_h2::H2;

#[allow(unused_imports, reason = "not used by all")]
pub use outboard_core::rpc::ServerConfig;
#[allow(unused_imports, reason = "not used by all")]
pub use outboard_kit::{Echo, Event, TestRuntime, echo as service, pipe, run};

/// A client and a server joined by a pipe.
pub struct Pair {
    pub runtime: SharedRuntime,
    pub connection: Arc<dyn Connection>,
    pub channel: Channel,
    pub serving: Arc<dyn Serving>,
    pub echo: Arc<Echo>,
}

pub fn pair() -> Pair {
    PairBuilder::default().build()
}

pub struct PairBuilder {
    pub capacity: usize,
    pub client: ConnectionConfig,
    pub server: ServerConfig,
    pub h2: H2,
}

impl Default for PairBuilder {
    fn default() -> Self {
        Self {
            capacity: 64 * 1024,
            client: ConnectionConfig::default(),
            server: ServerConfig::default(),
            h2: H2::new(),
        }
    }
}

impl PairBuilder {
    pub fn build(self) -> Pair {
        let runtime = TestRuntime::shared();
        let (near, far) = pipe(self.capacity);
        let (echo, router) = service::router();
        let serving = self.h2.serve(&runtime, Box::new(far), router, self.server);
        let connection = self.h2.connect(&runtime, Box::new(near), self.client);
        Pair {
            runtime,
            channel: Channel::new(Arc::clone(&connection)),
            connection,
            serving,
            echo,
        }
    }
}

/// A router with nothing in it.
pub fn empty_router() -> Arc<Router> {
    Arc::new(Router::new())
}
