//! The thread in the background.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

use futures_channel::oneshot;
use futures_util::task::AtomicWaker;
use outboard_core::endpoint::Endpoint;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::{
    BoxByteStream, BoxFuture, Descriptors, Listener, OsSocket, OwnAddresses, Runtime,
    SharedRuntime, Timer,
};
use outboard_runtime_smol::Smol;

/// What does for all blocking hosts of the program what an async program's runtime does: one thread, as long
/// as somebody holds this and until what was begun with it is over.
#[derive(Clone, Debug)]
pub(super) struct Engine(Arc<Held>);

#[derive(Debug)]
struct Held {
    runtime: SharedRuntime,
    /// Its drop tells the thread.
    _held: oneshot::Sender<Infallible>,
}

/// The one that new hosts share.
static PRESENT: LazyLock<Mutex<Weak<Held>>> =
    LazyLock::new(|| Mutex::new(Rank::Process, Weak::new()));

impl Engine {
    /// That of the program, which is started if none is held.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn get() -> io::Result<Self> {
        if let Some(held) = PRESENT.lock().upgrade() {
            return Ok(Self(held));
        }
        let begun = Self::begin()?;
        let mut present = PRESENT.lock();
        if let Some(held) = present.upgrade() {
            // Somebody was quicker. This one ends again, without the lock.
            drop(present);
            return Ok(Self(held));
        }
        let before = std::mem::replace(&mut *present, Arc::downgrade(&begun.0));
        drop(present);
        drop(before);
        Ok(begun)
    }

    fn begin() -> io::Result<Self> {
        let (held, let_go) = oneshot::channel::<Infallible>();
        let (teller, runs) = mpsc::sync_channel(1);
        let run = move || {
            Smol::block_on(|smol| async move {
                let tasks = Arc::new(Tasks::default());
                let runtime: SharedRuntime = Arc::new(Counting {
                    smol,
                    tasks: Arc::clone(&tasks),
                });
                // It is waited for.
                let _there = teller.send(runtime);
                // Nothing is ever sent.
                let _let_go = let_go.await;
                tasks.over().await;
            });
        };
        let name = "outboard-blocking".to_owned();
        thread::Builder::new().name(name).spawn(run)?;
        let runtime = runs.recv().map_err(io::Error::other)?;
        let _held = held;
        Ok(Self(Arc::new(Held { runtime, _held })))
    }

    pub(super) fn runtime(&self) -> SharedRuntime {
        Arc::clone(&self.0.runtime)
    }
}

/// How many tasks there are.
#[derive(Debug, Default)]
struct Tasks {
    count: AtomicUsize,
    none: AtomicWaker,
}

impl Tasks {
    fn begin(self: &Arc<Self>) -> Task {
        self.count.fetch_add(1, Ordering::SeqCst);
        Task(Arc::clone(self))
    }

    /// Ready when there is none.
    async fn over(&self) {
        poll_fn(|cx| {
            // Before the look: whoever is the last one after it wakes.
            self.none.register(cx.waker());
            match self.count.load(Ordering::SeqCst) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }
}

/// A task that is there.
struct Task(Arc<Tasks>);

impl Drop for Task {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none.wake();
        }
    }
}

/// The runtime of the thread, which lasts until the tasks of this are over.
#[derive(Debug)]
struct Counting {
    smol: Smol,
    tasks: Arc<Tasks>,
}

impl Runtime for Counting {
    fn now(&self) -> Instant {
        self.smol.now()
    }

    fn stopwatch(&self) -> Instant {
        self.smol.stopwatch()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.smol.timer(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let counted = self.tasks.begin();
        self.smol.spawn(Box::pin(async move {
            let _counted = counted;
            task.await;
        }));
    }

    fn wake_after_io(&self, waker: &Waker) {
        self.smol.wake_after_io(waker);
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        self.smol.connect(to)
    }

    fn listener(&self, socket: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>> {
        self.smol.listener(socket, local)
    }

    fn own_addresses(&self) -> Option<&dyn OwnAddresses> {
        self.smol.own_addresses()
    }

    fn descriptors(&self) -> io::Result<&dyn Descriptors> {
        self.smol.descriptors()
    }
}
