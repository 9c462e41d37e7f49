//! A runtime whose connections can be cut while the processes at both ends live.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_util::io::{AsyncRead, AsyncWrite};
use outboard::rt::{
    BoxByteStream, BoxFuture, Descriptors, Listener, OsSocket, Runtime, SharedRuntime, Timer,
};
use outboard_core::endpoint::Endpoint;

/// Cuts what [`Cuttable`] connects.
#[derive(Clone, Default)]
pub struct Scissors(Arc<Table>);

#[derive(Default)]
struct Table {
    closed: AtomicBool,
    /// None is made beyond so many; 0 for any number.
    most: AtomicUsize,
    connections: AtomicUsize,
    threads: Mutex<Vec<Weak<Thread>>>,
}

/// What a connection hangs by.
#[derive(Default)]
struct Thread {
    cut: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Scissors {
    /// Cuts all connections there are.
    pub fn cut(&self) {
        let threads = std::mem::take(&mut *lock(&self.0.threads));
        for thread in threads.iter().filter_map(Weak::upgrade) {
            thread.cut.store(true, Ordering::SeqCst);
            let wakers = std::mem::take(&mut *lock(&thread.wakers));
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Refuses further connections, or takes them again.
    pub fn close(&self, closed: bool) {
        self.0.closed.store(closed, Ordering::SeqCst);
    }

    /// Refuses what comes after the first so many connections.
    pub fn close_after(&self, connections: usize) {
        self.0.most.store(connections, Ordering::SeqCst);
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::SeqCst)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Another runtime whose connections can be cut.
pub struct Cuttable {
    inner: SharedRuntime,
    scissors: Scissors,
}

impl Cuttable {
    /// `inner`, and the scissors to it.
    #[must_use]
    pub fn around(inner: SharedRuntime) -> (SharedRuntime, Scissors) {
        let scissors = Scissors::default();
        let runtime = Self {
            inner,
            scissors: scissors.clone(),
        };
        (Arc::new(runtime), scissors)
    }
}

impl fmt::Debug for Cuttable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cuttable").field(&self.inner).finish()
    }
}

impl Runtime for Cuttable {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn stopwatch(&self) -> Instant {
        self.inner.stopwatch()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.inner.timer(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.inner.spawn(task);
    }

    fn spawn_apart(&self, task: BoxFuture<'static, ()>) {
        self.inner.spawn_apart(task);
    }

    fn wake_after_io(&self, waker: &Waker) {
        self.inner.wake_after_io(waker);
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        let table = Arc::clone(&self.scissors.0);
        let most = table.most.load(Ordering::SeqCst);
        let used_up = most > 0 && table.connections.load(Ordering::SeqCst) >= most;
        if used_up || table.closed.load(Ordering::SeqCst) {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let connecting = self.inner.connect(to);
        Box::pin(async move {
            let inner = connecting.await?;
            let thread = Arc::new(Thread::default());
            lock(&table.threads).push(Arc::downgrade(&thread));
            table.connections.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Hanging { inner, thread }) as BoxByteStream)
        })
    }

    fn listener(&self, socket: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>> {
        self.inner.listener(socket, local)
    }

    fn descriptors(&self) -> io::Result<&dyn Descriptors> {
        self.inner.descriptors()
    }
}

struct Hanging {
    inner: BoxByteStream,
    thread: Arc<Thread>,
}

impl Hanging {
    /// An error once it is cut; until then whoever polls is woken by that.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut wakers = lock(&self.thread.wakers);
        wakers.retain(|waker| !waker.will_wake(cx.waker()));
        wakers.push(cx.waker().clone());
        if self.thread.cut.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Hanging {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Hanging {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
