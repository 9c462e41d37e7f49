//! The tokio adapter of outboard: [`Tokio`] implements
//! [`Runtime`] on a tokio runtime of yours.
//!
//! The runtime needs its IO and time drivers (`enable_all`). Both flavours work, and all objects
//! made here may be used from any thread, inside or outside the runtime, while it lives. Time is
//! tokio's, so a paused clock works.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use outboard_core::rt::{Runtime, SharedRuntime};
//! use outboard_runtime_tokio::Tokio;
//!
//! let runtime: SharedRuntime = Tokio::current().into();
//! runtime.spawn(Box::pin(async { println!("in the background") }));
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod apart;
mod io;
mod net;
#[cfg(windows)]
mod process;
#[cfg(unix)]
mod registration;
#[cfg(unix)]
mod socket;
mod timer;
#[cfg(unix)]
mod watch;

use std::future::{Future, poll_fn};
use std::io::{PipeReader, PipeWriter, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{
    BoxByteStream, BoxFuture, BoxReader, BoxWriter, Descriptors, Listener, OsSocket, Runtime,
    SharedRuntime, SpanLeft, Timer,
};
use tokio::runtime::{Handle, RuntimeFlavor, TryCurrentError};
use tracing::{Instrument, Span};

#[cfg(windows)]
pub use process::TokioProcesses;

/// A tokio runtime as outboard uses it. Cheap to clone; it does not keep the runtime alive.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
}

impl Tokio {
    /// The runtime this code runs in.
    ///
    /// # Panics
    /// Outside a tokio runtime. There, use [`from_handle`](Self::from_handle).
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        match Self::try_current() {
            Ok(tokio) => tokio,
            Err(error) => panic!(
                "Tokio::current() must be called inside a tokio runtime ({error}); \
                 elsewhere use Tokio::from_handle(runtime.handle().clone())"
            ),
        }
    }

    /// The runtime this code runs in, if any.
    ///
    /// # Errors
    /// Outside a tokio runtime, or while thread-local storage is being torn down.
    pub fn try_current() -> std::result::Result<Self, TryCurrentError> {
        Handle::try_current().map(Self::from_handle)
    }

    /// The runtime behind `handle`.
    #[must_use]
    pub fn from_handle(handle: Handle) -> Self {
        Self { handle }
    }

    fn has_threads(&self) -> bool {
        self.handle.runtime_flavor() == RuntimeFlavor::MultiThread
    }

    /// `future` so that it can be polled from any thread: tokio's objects look for their runtime in
    /// a thread-local when they are made.
    fn within<F>(&self, future: F) -> BoxFuture<'static, F::Output>
    where
        F: Future + Send + 'static,
    {
        let handle = self.handle.clone();
        let mut future = Box::pin(future);
        Box::pin(poll_fn(move |cx| {
            let _context = handle.enter();
            future.as_mut().poll(cx)
        }))
    }
}

/// Does nothing where a thread may block: outside of tokio, and in `spawn_blocking` and `block_in_place`.
///
/// # Panics
/// Inside of an async task of tokio, with tokio's own text.
#[track_caller]
pub fn assert_may_block() {
    if let Ok(handle) = Handle::try_current() {
        // Nobody but tokio can tell.
        handle.block_on(std::future::ready(()));
    }
}

impl From<Tokio> for SharedRuntime {
    fn from(tokio: Tokio) -> Self {
        Arc::new(tokio)
    }
}

impl Runtime for Tokio {
    fn now(&self) -> Instant {
        let _context = self.handle.enter();
        tokio::time::Instant::now().into_std()
    }

    fn stopwatch(&self) -> Instant {
        // Asking tokio costs twice as much, for a clock that tests may pause.
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(timer::TokioTimer::new(self.handle.clone(), at))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // A runtime that has shut down drops it.
        outboard_core::lock::assert_unlocked("a spawn");
        let span = if SpanLeft::is_left() {
            Span::none()
        } else {
            Span::current()
        };
        drop(self.handle.spawn(task.instrument(span)));
    }

    fn spawn_apart(&self, task: BoxFuture<'static, ()>) {
        if !self.has_threads() {
            return self.spawn(task);
        }
        self.spawn(Box::pin(apart::Apart::new(task)));
        // The task is next on this thread, in a place that no other thread looks at, and if the
        // others sleep they go on sleeping: nobody would wait for events while it computes. A
        // second task takes its place, upon which tokio wakes another thread for the first.
        drop(self.handle.spawn(std::future::ready(())));
    }

    fn wake_after_io(&self, waker: &Waker) {
        if self.has_threads() {
            apart::wake_before_others(waker);
        } else {
            apart::wake_after_events(waker);
        }
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, Result<BoxByteStream>> {
        self.within(net::connect(self.handle.clone(), to.clone()))
    }

    fn listener(&self, socket: OsSocket, local: Endpoint) -> Result<Box<dyn Listener>> {
        let _context = self.handle.enter();
        net::listener(self.handle.clone(), socket, local)
    }

    fn descriptors(&self) -> Result<&dyn Descriptors> {
        Ok(self)
    }
}

impl Descriptors for Tokio {
    fn pipe_reader(&self, pipe: PipeReader) -> Result<BoxReader> {
        let _context = self.handle.enter();
        io::pipe_reader(pipe)
    }

    fn pipe_writer(&self, pipe: PipeWriter) -> Result<BoxWriter> {
        let _context = self.handle.enter();
        io::pipe_writer(pipe)
    }

    #[cfg(unix)]
    fn watch(&self, fd: std::os::fd::OwnedFd) -> Result<BoxFuture<'static, Result<()>>> {
        let _context = self.handle.enter();
        watch::watch(fd)
    }
}
