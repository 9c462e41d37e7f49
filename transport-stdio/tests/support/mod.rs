//! A runtime without tokio, pipes with little room, and services to call.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses a part of this"
)]

pub mod reactor;

use std::sync::Arc;

use outboard_core::rpc::{Channel, Connection, ConnectionConfig, ServerConfig, Serving, Transport};
use outboard_core::rt::SharedRuntime;
use outboard_transport_stdio::Stdio;

pub use outboard_kit::{Echo, Event, TestRuntime, WriteCount, echo as service, pipe, run};

/// A client and a server joined by a pipe.
pub struct Pair {
    pub runtime: SharedRuntime,
    pub connection: Arc<dyn Connection>,
    pub channel: Channel,
    pub serving: Arc<dyn Serving>,
    pub echo: Arc<Echo>,
    /// The writes of the client and of the server.
    pub writes: [WriteCount; 2],
}

pub fn pair() -> Pair {
    PairBuilder::default().build()
}

pub struct PairBuilder {
    pub capacity: usize,
    pub client: ConnectionConfig,
    pub server: ServerConfig,
    pub stdio: Stdio,
}

impl Default for PairBuilder {
    fn default() -> Self {
        Self {
            capacity: 64 * 1024,
            client: ConnectionConfig::default(),
            server: ServerConfig::default(),
            stdio: Stdio::new(),
        }
    }
}

impl PairBuilder {
    pub fn build(self) -> Pair {
        let runtime = TestRuntime::shared();
        let (near, far) = pipe(self.capacity);
        let writes = [near.write_count(), far.write_count()];
        let (echo, router) = service::router();
        let serving = self
            .stdio
            .serve(&runtime, Box::new(far), router, self.server);
        let connection = self.stdio.connect(&runtime, Box::new(near), self.client);
        Pair {
            runtime,
            channel: Channel::new(Arc::clone(&connection)),
            connection,
            serving,
            echo,
            writes,
        }
    }
}
