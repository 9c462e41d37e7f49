//! The smol adapter of outboard: [`Smol`] implements [`Runtime`] on `async-io`, the reactor of the
//! smol family, and an [`async_executor::Executor`]. There is no tokio in it. Unix only.
//!
//! Who runs the tasks is a choice:
//!
//! - [`Smol::block_on`] runs them on the calling thread, for as long as a future takes. Nothing
//!   outlives it.
//! - [`Smol::on`] leaves them to an executor of yours and the threads you give it.
//! - [`Smol::new`] runs them on one background thread, shared by the whole program, which is started
//!   with the first `Smol::new`.
//!
//! On Linux the first and the last have a small reactor of their own for all that is opened through
//! them, on the same thread: `async-io`'s costs several times as many system calls. What has been
//! opened inside `Smol::block_on` fails with an error after it; a timer goes on with `async-io`. Use `async-io` beside it as you like:
//! it works on the thread it keeps, and does all the work with `Smol::on` and on other systems.
//! Host names (not addresses) are resolved on a thread that lasts as long as that takes.
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
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg(unix)]

mod direction;
mod fd;
mod io;
#[cfg(all(test, outboard_model))]
mod models;
mod net;
#[cfg(any(target_os = "linux", target_os = "android"))]
#[cfg_attr(outboard_model, path = "poller_model.rs")]
mod poller;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod reactor;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod registered;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod source;
mod timer;
mod turn;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io::{PipeReader, PipeWriter, Result};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::Waker;
use std::thread;
use std::time::Instant;

use async_executor::Executor;
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{
    BoxByteStream, BoxFuture, BoxReader, BoxWriter, Descriptors, Listener, Runtime, SharedRuntime,
    SpanLeft, Timer,
};
use tracing::{Instrument, Span};

use crate::direction::Interest;
use crate::fd::Home;

/// A runtime of the smol family as outboard uses it. Cheap to clone.
#[derive(Clone)]
pub struct Smol {
    /// Weak, since tasks hold runtimes: a task must not keep up the executor it waits in.
    executor: Weak<Executor<'static>>,
    home: Home,
}

impl Smol {
    /// Tasks run on one background thread, shared by the whole program and never shut down. It is
    /// started with the first call.
    #[must_use]
    pub fn new() -> Self {
        static SHARED: LazyLock<(Arc<Executor<'static>>, Home)> = LazyLock::new(|| {
            let executor = Arc::new(Executor::new());
            let home = driven();
            let shared = (Arc::clone(&executor), home.clone());
            let run = move || drive(&home, turn::run(&executor, std::future::pending::<()>()));
            thread::Builder::new()
                .name("outboard-smol".to_owned())
                .spawn(run)
                .expect("the system can start a thread");
            shared
        });
        Self {
            executor: Arc::downgrade(&SHARED.0),
            home: SHARED.1.clone(),
        }
    }

    /// Tasks run on `executor`, by the threads that call its `run` or `tick`.
    ///
    /// It is not kept alive: when the last of your references goes, its tasks are dropped, and so
    /// is every task that is spawned later.
    #[must_use]
    pub fn on(executor: &Arc<Executor<'static>>) -> Self {
        Self {
            executor: Arc::downgrade(executor),
            home: Home::default(),
        }
    }

    /// Runs a future and all tasks on this thread until the future is done. The tasks that are left
    /// then are dropped.
    pub fn block_on<F: Future>(main: impl FnOnce(Self) -> F) -> F::Output {
        let executor = Arc::new(Executor::new());
        let home = driven();
        let main = main(Self {
            executor: Arc::downgrade(&executor),
            home: home.clone(),
        });
        drive(&home, turn::run(&executor, main))
    }
}

/// A reactor for this adapter alone, where there is one; else, or if the system has no descriptors
/// left for it, async-io's.
fn driven() -> Home {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Home {
        reactor: reactor::Reactor::new().ok(),
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    Home::default()
}

/// Whether this thread runs [`Smol::block_on`], or is that of [`Smol::new`]: if it blocks, so does every task
/// there.
#[must_use]
pub fn is_driving() -> bool {
    // A thread that is ending drives nothing.
    DRIVING.try_with(Cell::get).unwrap_or(false)
}

thread_local! {
    static DRIVING: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that drives until it is dropped.
struct Driving {
    before: bool,
}

impl Driving {
    fn begin() -> Self {
        let before = DRIVING.replace(true);
        Self { before }
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        DRIVING.set(self.before);
    }
}

fn drive<F: Future>(home: &Home, future: F) -> F::Output {
    let _driving = Driving::begin();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(reactor) = &home.reactor {
        return reactor.block_on(future);
    }
    let _ = home;
    async_io::block_on(future)
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
        timer::timer(&self.home, at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // A runtime that has shut down drops it.
        outboard_core::lock::assert_unlocked("a spawn");
        // Without an executor the runtime has shut down, and the task is dropped.
        if let Some(executor) = self.executor.upgrade() {
            let span = if SpanLeft::is_left() {
                Span::none()
            } else {
                Span::current()
            };
            executor.spawn(task.instrument(span)).detach();
        }
    }

    fn wake_after_io(&self, waker: &Waker) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(reactor) = &self.home.reactor {
            reactor.wake_after_turn(waker);
            return;
        }
        // async-io looks for events on threads that have nothing else to do, or on its own.
        waker.wake_by_ref();
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, Result<BoxByteStream>> {
        Box::pin(net::connect(self.home.clone(), to.clone()))
    }

    fn listener(&self, socket: OwnedFd, local: Endpoint) -> Result<Box<dyn Listener>> {
        net::listener(&self.home, socket, local)
    }

    fn descriptors(&self) -> Result<&dyn Descriptors> {
        Ok(self)
    }
}

impl Descriptors for Smol {
    fn pipe_reader(&self, pipe: PipeReader) -> Result<BoxReader> {
        let pipe = self.home.adopt(pipe, Interest::Read)?;
        Ok(Box::new(io::PipeStart(pipe)))
    }

    fn pipe_writer(&self, pipe: PipeWriter) -> Result<BoxWriter> {
        let pipe = self.home.adopt(pipe, Interest::Write)?;
        Ok(Box::new(io::PipeEnd::new(pipe)))
    }

    fn watch(&self, fd: OwnedFd) -> Result<BoxFuture<'static, Result<()>>> {
        Ok(Box::pin(self.home.watch(fd)?))
    }
}
