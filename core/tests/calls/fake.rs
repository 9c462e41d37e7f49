//! A runtime whose clock is set by hand, and a stream of a call that is a list of what was done to it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_core::endpoint::Endpoint;
use outboard_core::rpc::guard::{Panicked, Whose};
use outboard_core::rpc::serving::{Incoming, Requests, ServingStream};
use outboard_core::rpc::{Gone, Metadata, OutMessage, Outlet, Reply, Status};
use outboard_core::rt::{
    BoxByteStream, BoxFuture, Listener, OsSocket, Runtime, SharedRuntime, Timer,
};

/// Some time. The tests never look at the real clock again.
fn epoch() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a clock needs a beginning")]
    Instant::now()
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Task {
    future: BoxFuture<'static, ()>,
    woken: Arc<Woken>,
}

/// Runs tasks when they are woken, one after another, and no time passes by itself.
pub(crate) struct World {
    now: Mutex<Instant>,
    tasks: Mutex<Vec<Task>>,
    timers: Mutex<Vec<(Instant, Waker)>>,
    pub(crate) spawned: AtomicUsize,
    pub(crate) spawned_apart: AtomicUsize,
    pub(crate) polls: AtomicUsize,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(epoch()),
            tasks: Mutex::default(),
            timers: Mutex::default(),
            spawned: AtomicUsize::new(0),
            spawned_apart: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
        })
    }

    /// Runs what is woken until nothing is, but no task more than `most` times.
    pub(crate) fn run_at_most(&self, most: usize) {
        for _ in 0..most {
            let mut tasks = std::mem::take(&mut *lock(&self.tasks));
            let mut progress = false;
            tasks.retain_mut(|task| {
                if !task.woken.0.swap(false, Ordering::SeqCst) {
                    return true;
                }
                progress = true;
                self.polls.fetch_add(1, Ordering::SeqCst);
                let waker = Waker::from(Arc::clone(&task.woken));
                let mut cx = Context::from_waker(&waker);
                task.future.as_mut().poll(&mut cx).is_pending()
            });
            tasks.append(&mut lock(&self.tasks));
            *lock(&self.tasks) = tasks;
            if !progress {
                return;
            }
        }
    }

    pub(crate) fn run(&self) {
        self.run_at_most(10_000);
        assert!(self.is_idle(), "something spins");
    }

    fn is_idle(&self) -> bool {
        let woken = |task: &Task| task.woken.0.load(Ordering::SeqCst);
        !lock(&self.tasks).iter().any(woken)
    }

    /// How many tasks are not done.
    pub(crate) fn tasks(&self) -> usize {
        lock(&self.tasks).len()
    }

    /// The runtime shuts down.
    pub(crate) fn drop_tasks(&self) {
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        drop(tasks);
    }

    /// Time passes without anybody looking.
    pub(crate) fn pass(&self, time: Duration) {
        *lock(&self.now) += time;
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.pass(time);
        let now = self.now();
        let timers = std::mem::take(&mut *lock(&self.timers));
        let (due, later): (Vec<_>, Vec<_>) = timers.into_iter().partition(|(at, _)| *at <= now);
        lock(&self.timers).extend(later);
        due.into_iter().for_each(|(_, waker)| waker.wake());
        self.run();
    }
}

struct FakeTimer(Arc<World>, Instant);

impl Timer for FakeTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.1 = at;
    }

    fn poll_expired(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.now() >= self.1 {
            return Poll::Ready(());
        }
        lock(&self.0.timers).push((self.1, cx.waker().clone()));
        Poll::Pending
    }
}

/// The world as a runtime.
#[derive(Debug)]
pub(crate) struct InWorld(pub(crate) Arc<World>);

impl World {
    fn now(&self) -> Instant {
        *lock(&self.now)
    }
}

impl Runtime for InWorld {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(FakeTimer(Arc::clone(&self.0), at))
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.0.spawned.fetch_add(1, Ordering::SeqCst);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        lock(&self.0.tasks).push(Task { future, woken });
    }

    fn spawn_apart(&self, task: BoxFuture<'static, ()>) {
        self.0.spawned_apart.fetch_add(1, Ordering::SeqCst);
        self.spawn(task);
    }

    fn connect(&self, _: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        unreachable!("no connections")
    }

    fn listener(&self, _: OsSocket, _: Endpoint) -> io::Result<Box<dyn Listener>> {
        unreachable!("no listeners")
    }
}

pub(crate) fn lock<T: ?Sized>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|error| error.into_inner())
}

/// What lies between the two ends of a call, and what was done on it.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) requests: VecDeque<Incoming>,
    /// How many messages there is room for.
    pub(crate) room: usize,
    pub(crate) gone: bool,
    pub(crate) log: Vec<String>,
    /// Messages over this length are refused.
    pub(crate) limit: Option<usize>,
    wakers: Vec<Waker>,
}

/// One end of a [`Line`]; clones are the same end.
#[derive(Clone)]
pub(crate) struct FakeStream {
    pub(crate) runtime: SharedRuntime,
    pub(crate) line: Arc<Mutex<Line>>,
}

impl FakeStream {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let line = Line {
            room: usize::MAX,
            ..Line::default()
        };
        Self {
            runtime: Arc::new(InWorld(Arc::clone(world))),
            line: Arc::new(Mutex::new(line)),
        }
    }

    /// Something changes, and whoever waits is told.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Line)) {
        let wakers = {
            let mut line = lock(&self.line);
            change(&mut line);
            std::mem::take(&mut line.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn request(&self, text: &'static str) {
        let message = Incoming::Message(Bytes::from_static(text.as_bytes()));
        self.change(|line| line.requests.push_back(message));
    }

    pub(crate) fn end(&self) {
        self.change(|line| line.requests.push_back(Incoming::End));
    }

    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.line).log.clone()
    }

    fn note(&self, what: impl Into<String>) {
        lock(&self.line).log.push(what.into());
    }
}

fn text(message: &OutMessage) -> String {
    String::from_utf8_lossy(message.as_slice()).into_owned()
}

impl Outlet for FakeStream {
    fn runtime(&self) -> &SharedRuntime {
        &self.runtime
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut line = lock(&self.line);
        if line.gone {
            return Poll::Ready(Err(Gone));
        }
        if line.room > 0 {
            return Poll::Ready(Ok(()));
        }
        line.wakers.push(cx.waker().clone());
        Poll::Pending
    }

    fn send(&mut self, message: OutMessage) -> Result<(), Status> {
        let mut line = lock(&self.line);
        assert!(line.room > 0, "sent without room");
        if line.limit.is_some_and(|limit| message.len() > limit) {
            return Err(Status::resource_exhausted("too large"));
        }
        line.room -= 1;
        line.log.push(format!("message {}", text(&message)));
        Ok(())
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.poll_gone(cx).map(|()| Gone)
    }

    fn poll_taken(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(if lock(&self.line).gone {
            Err(Gone)
        } else {
            Ok(())
        })
    }

    fn tell_panic(_: Whose<'_>, _: &Panicked) {}
}

impl ServingStream for FakeStream {
    type Requests = FakeRequests;

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut line = lock(&self.line);
        if line.gone {
            return Poll::Ready(());
        }
        line.wakers.push(cx.waker().clone());
        Poll::Pending
    }

    fn headers(&mut self, headers: &Metadata) -> Result<(), Status> {
        if headers.get("bad").is_some() {
            return Err(Status::resource_exhausted("bad headers"));
        }
        self.note(format!("headers {}", headers.iter().count()));
        Ok(())
    }

    fn reply(&mut self, reply: Reply<OutMessage>) {
        self.note(format!("reply {}", text(&reply.message)));
    }

    fn finish(&mut self, _: Metadata) {
        self.note("finish");
    }

    fn fail(&mut self, status: &Status) {
        self.note(format!("fail {status}"));
    }

    fn abort(&mut self, status: &Status) {
        self.note(format!("abort {status}"));
    }

    fn leaves_connection(&mut self) {
        self.note("leaves");
    }
}

pub(crate) struct FakeRequests(pub(crate) FakeStream);

impl Requests for FakeRequests {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let mut line = lock(&self.0.line);
        if let Some(next) = line.requests.pop_front() {
            return Poll::Ready(next);
        }
        if line.gone {
            return Poll::Ready(Incoming::Gone(Status::cancelled("gone")));
        }
        line.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}
