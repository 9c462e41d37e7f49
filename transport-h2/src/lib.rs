//! gRPC over HTTP/2 for outboard: go-plugin's own transport, on the `h2` crate and any
//! [`futures_io`] stream.
//!
//! [`H2`] is the one public type; everything else is reached through
//! [`Transport`] and its traits. Tasks, timers and the clock come
//! from [`Runtime`](outboard_core::rt::Runtime): no tokio runtime is needed, though `h2` needs
//! the tokio *crate* for its IO traits.
//!
//! # Where code runs
//!
//! Each connection has one task that reads, writes and takes up calls. A unary handler is polled
//! for the first time in that task, so one that has its answer at hand costs no task and no
//! wake-up, and its answer leaves together with others; it goes on in a task of its own as soon as
//! it waits. So a handler must not block its thread, as everywhere in async code: here that holds
//! up the other calls of the connection. Streaming handlers run in tasks of their own. The
//! requests of a client's streaming call are pulled by a task too, unless they are all there when
//! the call is opened.
//!
//! # How long a connection lasts
//!
//! HTTP/2 never uses a stream id again, so a connection carries 2^30 calls (15 hours of 20,000 a
//! second). The call after the last one ends it: that call, those in flight and all later ones fail
//! as calls on a lost connection do, with a text that says why. A host sees its plugin disconnected
//! then and can start it anew; a caller that may come this far had better do so before.
//!
//! # What `h2` refuses before outboard sees it
//!
//! A request whose `:authority` is empty, a socket path or a percent-encoded path is answered by
//! `h2` 0.4.20 with RST_STREAM PROTOCOL_ERROR: it parses the value as an RFC 3986 authority while
//! decoding the HEADERS frame, and offers no hook before that. The HPACK state of a connection
//! spans its header blocks, so nothing above `h2` can rewrite such a request. A missing
//! `:authority` is fine, and so are the values of all current Go, Python and Node hosts. The
//! tests in `tests/authority.rs` hold the exact list.

mod announce;
mod call;
mod client;
mod config;
mod headers;
mod io;
mod outgoing;
mod panic;
mod server;

use std::sync::Arc;

use outboard_core::handshake::Protocol;
use outboard_core::rpc::{Connection, ConnectionConfig, Router, ServerConfig, Serving, Transport};
use outboard_core::rt::{BoxByteStream, SharedRuntime};

pub use self::config::H2;

impl Transport for H2 {
    fn protocol(&self) -> Protocol {
        Protocol::Grpc
    }

    fn connect(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        config: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        client::connect(self, runtime, io, config)
    }

    fn serve(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        router: Arc<Router>,
        config: ServerConfig,
    ) -> Arc<dyn Serving> {
        server::serve(self, runtime, io, router, &config)
    }
}
