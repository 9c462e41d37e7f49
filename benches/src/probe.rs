//! When a launch comes how far, seen from between the driver and what it drives.

use std::io::Result;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Instant;

use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::Protocol;
use outboard_core::rpc::{Connection, ConnectionConfig, Router, ServerConfig, Serving, Transport};
use outboard_core::rt::{
    BoxByteStream, BoxFuture, Descriptors, Listener, OsSocket, Runtime, SharedRuntime, Timer,
};

use crate::clock::monotonic_ns;

/// When the handshake line had been read: the next thing a host does is to connect a socket, or, if
/// there is none, to set up the transport.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    line: Arc<OnceLock<u64>>,
}

impl Marks {
    fn line_read(&self) {
        // Later connections are the broker's.
        let _already = self.line.set(monotonic_ns());
    }

    pub(crate) fn line(&self) -> Option<u64> {
        self.line.get().copied()
    }
}

/// A transport that takes note of when it is set up.
#[derive(Debug)]
pub(crate) struct MarkedTransport<T> {
    pub(crate) transport: T,
    pub(crate) marks: Marks,
}

impl<T: Transport> Transport for MarkedTransport<T> {
    fn protocol(&self) -> Protocol {
        self.transport.protocol()
    }

    fn connect(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        config: ConnectionConfig,
    ) -> Arc<dyn Connection> {
        self.marks.line_read();
        self.transport.connect(runtime, io, config)
    }

    fn serve(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        router: Arc<Router>,
        config: ServerConfig,
    ) -> Arc<dyn Serving> {
        self.transport.serve(runtime, io, router, config)
    }
}

/// A runtime that takes note of when a socket is connected.
#[derive(Debug)]
pub(crate) struct MarkedRuntime {
    pub(crate) runtime: SharedRuntime,
    pub(crate) marks: Marks,
}

impl Runtime for MarkedRuntime {
    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, Result<BoxByteStream>> {
        self.marks.line_read();
        self.runtime.connect(to)
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn stopwatch(&self) -> Instant {
        self.runtime.stopwatch()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.runtime.timer(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn spawn_apart(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn_apart(task);
    }

    fn wake_after_io(&self, waker: &Waker) {
        self.runtime.wake_after_io(waker);
    }

    fn listener(&self, socket: OsSocket, local: Endpoint) -> Result<Box<dyn Listener>> {
        self.runtime.listener(socket, local)
    }

    fn descriptors(&self) -> Result<&dyn Descriptors> {
        self.runtime.descriptors()
    }
}
