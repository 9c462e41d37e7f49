//! A runtime that does nothing by itself.

use std::sync::LazyLock;

use outboard_core::rt::Accepted;

use super::*;

/// Keeps its tasks until it is told to poll them.
#[derive(Default)]
pub(crate) struct Still {
    pub(super) tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
    /// Takes no listeners, and drops every task at once, as a runtime that was shut down.
    pub(super) gone: AtomicBool,
    /// Connecting takes for ever, and every timer is over at once.
    pub(super) black_hole: AtomicBool,
    /// Connections that come to pass, and how often one was asked for.
    pub(super) connects: AtomicUsize,
    pub(super) asked: AtomicUsize,
    /// What is done while the next listener is being made.
    pub(super) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for Still {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Still")
    }
}

impl Still {
    /// Polls every task once and drops those that have ended.
    pub(super) fn turn(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().expect("no panic"));
        let left = tasks.into_iter().filter_map(|mut task| {
            let ended = task.as_mut().now_or_never().is_some();
            (!ended).then_some(task)
        });
        let left: Vec<_> = left.collect();
        self.tasks.lock().expect("no panic").extend(left);
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks.lock().expect("no panic").len()
    }
}

impl Runtime for Still {
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// What a turn takes is counted by its work alone: a busy machine makes none shorter.
    fn stopwatch(&self) -> Instant {
        static ALWAYS: LazyLock<Instant> = LazyLock::new(Instant::now);
        *ALWAYS
    }

    fn timer(&self, _: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(Fixed(self.black_hole.load(Ordering::Relaxed)))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if !self.gone.load(Ordering::Relaxed) {
            self.tasks.lock().expect("no panic").push(task);
        }
    }

    fn connect(&self, _: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        if self.black_hole.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let left = |left: usize| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.connects.fetch_update(set, get, left).is_ok() {
            let io = futures_util::io::Cursor::new(Vec::new());
            return Box::pin(async { Ok(Box::new(io) as BoxByteStream) });
        }
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn listener(&self, _: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        let meanwhile = self.meanwhile.lock().expect("no panic").take();
        if let Some(work) = meanwhile {
            work();
        }
        Ok(Box::new(Deaf(local)))
    }
}

/// Whether it is over.
struct Fixed(bool);

impl Timer for Fixed {
    fn reset(self: Pin<&mut Self>, _: Instant) {}

    fn poll_expired(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

struct Deaf(Endpoint);

impl Listener for Deaf {
    fn local(&self) -> &Endpoint {
        &self.0
    }

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        Poll::Pending
    }
}
