//! A runtime that lets nobody out of the process.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use outboard::Endpoint;
use outboard::rt::{
    BoxByteStream, BoxFuture, Descriptors, Listener, OsSocket, Runtime, SharedRuntime, Timer,
};

/// Another runtime, whose sockets and descriptors nobody may use.
#[derive(Debug)]
pub struct Sealed(SharedRuntime);

impl Sealed {
    pub fn around(inner: SharedRuntime) -> SharedRuntime {
        Arc::new(Self(inner))
    }
}

impl Runtime for Sealed {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn stopwatch(&self) -> Instant {
        self.0.stopwatch()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.0.timer(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn spawn_apart(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn_apart(task);
    }

    fn wake_after_io(&self, waker: &Waker) {
        self.0.wake_after_io(waker);
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        panic!("a connection to {to} is made")
    }

    fn listener(&self, _: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>> {
        panic!("a socket is made for {local}")
    }

    fn descriptors(&self) -> io::Result<&dyn Descriptors> {
        panic!("a descriptor is used")
    }
}
