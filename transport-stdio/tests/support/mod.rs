//! A runtime without tokio, pipes with little room, and services to call: shared with the tests of
//! the other transport.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses a part of this"
)]

#[path = "../../../transport-h2/tests/support/pipe.rs"]
pub mod pipe;
pub mod reactor;
#[path = "../../../transport-h2/tests/support/runtime.rs"]
pub mod runtime;
#[path = "../../../transport-h2/tests/support/service.rs"]
pub mod service;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outboard_core::rpc::{Channel, Connection, ConnectionConfig, ServerConfig, Serving, Transport};
use outboard_core::rt::SharedRuntime;
use outboard_transport_stdio::Stdio;

pub use self::pipe::{WriteCount, pipe};
pub use self::runtime::TestRuntime;
pub use self::service::{Echo, Event};

/// Only a watchdog: no test waits for it when all is well.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a test to its end, or fails it when it hangs.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let timer = async_io::Timer::after(WATCHDOG);
    let test = std::pin::pin!(test);
    match async_io::block_on(futures_util::future::select(test, timer)) {
        futures_util::future::Either::Left((value, _)) => value,
        futures_util::future::Either::Right(_) => panic!("the test hangs"),
    }
}

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
