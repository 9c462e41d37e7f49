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
//! A connection's task gives its thread back after about half a millisecond of reading, whatever
//! comes: a peer that floods its connection with frames delays timers, calls and other connections
//! of the thread by that, and no more.
//!
//! # How long a connection lasts
//!
//! HTTP/2 never uses a stream id again, so a connection carries 2^30 calls (15 hours of 20,000 a
//! second). The call after the last one ends it: that call, those in flight and all later ones fail
//! as calls on a lost connection do, with a text that says why. A host sees its plugin disconnected
//! then and can start it anew; a caller that may come this far had better do so before.
//!
//! # The authority of a request
//!
//! Nobody here looks at a request's `:authority`, but `h2` resets a request whose value is no RFC
//! 3986 authority before anybody sees it, and hosts on gRPC's C core (Python, Ruby, PHP, C++) send
//! the percent-encoded path of a plugin's unix socket. So on the serving side a filter in front of
//! `h2` puts a valid value in its place. Any value is taken, or none, with one exception that no
//! known library makes: an empty value that asks to be put into the table of headers, since nothing
//! valid is as short. All else passes the filter as it came. `tests/authority.rs` has the values.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod announce;
mod authority;
mod call;
mod client;
mod config;
mod greeting;
mod headers;
mod io;
mod keepalive;
mod outgoing;
mod panic;
mod reads;
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
