//! The smol adapter of outboard: [`Smol`] implements [`Runtime`] on `async-io`, the reactor of the
//! smol family, and an [`async_executor::Executor`]. There is no tokio in it. Unix only.
//!
//! Who runs the tasks is a choice:
//!
//! - [`Smol::block_on`] runs them on the calling thread, for as long as a future takes. Nothing
//!   outlives it.
//! - [`Smol::on`] leaves them to an executor of yours and the threads you give it.
//! - [`Smol::new`] runs them on one background thread, shared by the whole program, which is started
//!   with the first task.
//!
//! Beside these there is one thread in any case: `async-io` keeps one of its own, which drives the
//! reactor while no thread is inside its `block_on`. Host names (not addresses) are resolved on a
//! thread that lasts as long as that takes.
//!
//! ```
//! use outboard_core::rt::{Runtime, SharedRuntime};
//! use outboard_runtime_smol::Smol;
//!
//! Smol::block_on(|smol| async move {
//!     let runtime: SharedRuntime = smol.into();
//!     runtime.spawn(Box::pin(async { println!("in the background") }));
//! });
//! ```
#![cfg(unix)]

mod io;
mod net;
mod timer;

use std::fmt;
use std::future::Future;
use std::io::{PipeReader, PipeWriter, Result};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::thread;
use std::time::Instant;

use async_executor::Executor;
use async_io::Async;
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{
    BoxByteStream, BoxFuture, BoxReader, BoxWriter, Launch, Listener, Process, Runtime,
    SharedRuntime, Timer,
};
use tracing::Instrument;

/// A runtime of the smol family as outboard uses it. Cheap to clone.
#[derive(Clone)]
pub struct Smol {
    /// Weak, since tasks hold runtimes: a task must not keep up the executor it waits in.
    executor: Weak<Executor<'static>>,
}

impl Smol {
    /// Tasks run on one background thread, shared by the whole program and never shut down. It is
    /// started with the first task.
    #[must_use]
    pub fn new() -> Self {
        static SHARED: LazyLock<Arc<Executor<'static>>> = LazyLock::new(|| {
            let executor = Arc::new(Executor::new());
            let shared = Arc::clone(&executor);
            let run = move || async_io::block_on(shared.run(std::future::pending::<()>()));
            thread::Builder::new()
                .name("outboard-smol".to_owned())
                .spawn(run)
                .expect("the system can start a thread");
            executor
        });
        Self::on(&SHARED)
    }

    /// Tasks run on `executor`, by the threads that call its `run` or `tick`.
    ///
    /// It is not kept alive: when the last of your references goes, its tasks are dropped, and so
    /// is every task that is spawned later.
    #[must_use]
    pub fn on(executor: &Arc<Executor<'static>>) -> Self {
        Self {
            executor: Arc::downgrade(executor),
        }
    }

    /// Runs a future and all tasks on this thread until the future is done. The tasks that are left
    /// then are dropped.
    pub fn block_on<F: Future>(main: impl FnOnce(Self) -> F) -> F::Output {
        let executor = Arc::new(Executor::new());
        let main = main(Self::on(&executor));
        async_io::block_on(executor.run(main))
    }
}

impl Default for Smol {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Smol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The executor would print all its tasks.
        f.debug_struct("Smol").finish_non_exhaustive()
    }
}

impl From<Smol> for SharedRuntime {
    fn from(smol: Smol) -> Self {
        Arc::new(smol)
    }
}

impl Runtime for Smol {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(timer::SmolTimer::new(at))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // Without an executor the runtime has shut down, and the task is dropped.
        if let Some(executor) = self.executor.upgrade() {
            executor.spawn(task.in_current_span()).detach();
        }
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, Result<BoxByteStream>> {
        Box::pin(net::connect(to.clone()))
    }

    fn listener(&self, socket: OwnedFd, local: Endpoint) -> Result<Box<dyn Listener>> {
        net::listener(socket, local)
    }

    fn launch(&self, launch: Launch) -> Result<Process> {
        outboard_runtime_unix::launch(self, launch)
    }

    fn pipe_reader(&self, pipe: PipeReader) -> Result<BoxReader> {
        Ok(Box::new(Async::new(pipe)?))
    }

    fn pipe_writer(&self, pipe: PipeWriter) -> Result<BoxWriter> {
        Ok(Box::new(io::PipeEnd::new(Async::new(pipe)?)))
    }

    fn watch(&self, fd: OwnedFd) -> Result<BoxFuture<'static, Result<()>>> {
        let fd = Async::new_nonblocking(fd)?;
        // Hang-ups and errors count as readable, as with poll(2).
        Ok(Box::pin(async move { fd.readable().await }))
    }
}
