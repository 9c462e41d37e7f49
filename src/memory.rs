//! Both sides in one process: for tests, for examples, and to find out what a call costs without a
//! process.
//!
//! | Gives | How | What is real |
//! | --- | --- | --- |
//! | a client | [`client`] | the generated code, the transport, deadlines, metadata, statuses |
//! | a channel | [`channel`] | the same, for several services or a transport of one's choice |
//! | a [`RunningPlugin`](crate::RunningPlugin) | [`start`] | also the handshake, versions, TLS, the broker, health, the end |
//!
//! Where another process, or a host in Go, is to connect, there is
//! [`Plugin::serve_in_test`](crate::Plugin::serve_in_test).
//!
//! [`client`] serves an interface in memory and gives a client of it. There is no handshake, and no broker:
//! what passes live interfaces around needs a plugin, which [`start`] starts.
//!
//! ```
//! # mod greeter {
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/shared.rs"));
//! # }
//! use greeter::{GreetReply, GreetRequest, Greeter, GreeterClient, GreeterServer};
//! use outboard::{Status, Tokio, memory};
//!
//! struct Hello;
//!
//! impl Greeter for Hello {
//!     async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
//!         Ok(GreetReply { text: format!("Hello, {}!", request.name) })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Status> {
//! let greeter: GreeterClient = memory::client(Tokio::current(), GreeterServer::new(Hello));
//! let reply = greeter.greet(GreetRequest { name: "world".into() }).await?;
//! assert_eq!(reply.text, "Hello, world!");
//! # Ok(())
//! # }
//! ```

mod launched;
mod network;

use std::sync::Arc;

use outboard_core::rpc::{Channel, ConnectionConfig, Router, ServerConfig, Service, Transport};
use outboard_core::rt::SharedRuntime;

use crate::carrier::Carried;
use crate::client::Client;

#[cfg(all(unix, feature = "blocking"))]
pub(crate) use self::launched::prepare;
pub use self::launched::start;
pub use outboard_core::memory::{Duplex, pair, pair_with_capacity};

/// A client of `service`, which is served in this process, over the first transport of this build.
///
/// It is served for as long as there are clients and calls of it. Dropping the last one closes the
/// connection.
///
/// # Panics
/// In a build without any transport.
#[must_use = "dropping the client ends what is served"]
pub fn client<C: Client>(runtime: impl Into<SharedRuntime>, service: impl Service) -> C {
    let mut router = Router::new();
    // A router without services takes any first one.
    let added = router.add(Arc::new(service));
    debug_assert!(added.is_ok(), "{added:?}");
    let transports = crate::transports::of_hosts();
    let transport = transports
        .first()
        .expect("this build has no transport: enable the feature `h2` or `stdio`");
    C::from_channel(channel(runtime, &**transport, router))
}

/// The channel to what `router` serves in this process over `transport`: for several services, or a
/// transport of one's choice.
///
/// It is served for as long as there are clients and calls of it.
#[must_use = "dropping the channel ends what is served"]
pub fn channel(
    runtime: impl Into<SharedRuntime>,
    transport: &dyn Transport,
    router: Router,
) -> Channel {
    let runtime = runtime.into();
    let (near, far) = pair();
    let (router, config) = (Arc::new(router), ServerConfig::default());
    // It goes on serving without its handle, until the other end is gone.
    drop(transport.serve(&runtime, Box::new(far), router, config));
    let near = Carried::private(Box::new(near));
    Channel::new(near.connect(&runtime, transport, ConnectionConfig::default()))
}
