//! A runtime whose tasks a test can drop, as happens when one is shut down.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Instant;

use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{
    BoxByteStream, BoxFuture, Listener, OsSocket, Runtime, SharedRuntime, Timer,
};

/// None once it has ended or was dropped.
type Task = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

/// The tasks of such a runtime, in the order in which they were spawned.
#[derive(Clone, Default)]
pub struct Spawned(Arc<Mutex<Tasks>>);

#[derive(Default)]
struct Tasks {
    all: Vec<Task>,
    waiting: Option<Waker>,
}

impl Spawned {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().expect("no panic under the lock")
    }

    /// How many there have been.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// Waits until there have been more than these.
    pub async fn more_than(&self, count: usize) {
        poll_fn(|cx| {
            let mut tasks = self.lock();
            if tasks.all.len() > count {
                return Poll::Ready(());
            }
            tasks.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Drops those that came after the first `count`, one after the other.
    pub fn drop_since(&self, count: usize) {
        let tasks = self.lock().all.split_off(count);
        for task in tasks {
            let dropped = task.lock().expect("it has not panicked").take();
            drop(dropped);
        }
    }

    fn push(&self, task: Task) {
        let mut tasks = self.lock();
        tasks.all.push(task);
        let waiting = tasks.waiting.take();
        drop(tasks);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Runs its tasks on another runtime.
pub(crate) struct Dropping {
    pub(crate) runtime: SharedRuntime,
    pub(crate) spawned: Spawned,
}

impl fmt::Debug for Dropping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dropping").field(&self.runtime).finish()
    }
}

impl Runtime for Dropping {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.runtime.timer(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let task = Arc::new(Mutex::new(Some(task)));
        self.spawned.push(Arc::clone(&task));
        self.runtime.spawn(Box::pin(poll_fn(move |cx| {
            let mut slot = task.lock().expect("it has not panicked");
            let Some(running) = &mut *slot else {
                return Poll::Ready(());
            };
            let polled = running.as_mut().poll(cx);
            if polled.is_ready() {
                *slot = None;
            }
            polled
        })));
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        self.runtime.connect(to)
    }

    fn listener(&self, socket: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>> {
        self.runtime.listener(socket, local)
    }
}
