//! Executors, timers and a clock; nothing of tokio.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use async_executor::Executor;
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{
    BoxByteStream, BoxFuture, Listener, OsSocket, Runtime, SharedRuntime, Timer,
};

use crate::dropping::{Dropping, Spawned};

/// Runs tasks, on threads of its own or where a test runs its executor.
#[derive(Debug)]
pub struct TestRuntime {
    executor: &'static Executor<'static>,
    time: Time,
}

#[derive(Debug)]
enum Time {
    /// The system's.
    Real,
    /// The system's timers on a clock that stands still.
    Still(Instant),
    /// The test moves it.
    Moved(Clock),
}

/// Tasks that run where the test says so.
pub type Tasks = &'static Executor<'static>;

/// Runs `tasks` until all of them wait.
pub fn settle(tasks: Tasks) {
    while tasks.try_tick() {}
}

/// Runs a test to its end, and `tasks` beside it on this thread.
///
/// # Panics
/// If all of them wait, so that it would hang.
pub fn run_with<T>(tasks: Tasks, test: impl Future<Output = T>) -> T {
    /// Whether the test is to be polled again.
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut test = std::pin::pin!(test);
    loop {
        if woken.0.swap(false, Ordering::Relaxed)
            && let Poll::Ready(value) = test.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return value;
        }
        assert!(
            tasks.try_tick() || woken.0.load(Ordering::Relaxed),
            "the test hangs: all wait"
        );
    }
}

fn threads() -> Tasks {
    static EXECUTOR: OnceLock<Tasks> = OnceLock::new();
    EXECUTOR.get_or_init(|| {
        let executor: Tasks = Box::leak(Box::new(Executor::new()));
        for _ in 0..2 {
            std::thread::spawn(|| {
                async_io::block_on(executor.run(std::future::pending::<()>()));
            });
        }
        executor
    })
}

impl TestRuntime {
    /// Two threads, shared by all tests of the program, and the system's time.
    pub fn shared() -> SharedRuntime {
        Self::shared_with(threads(), Time::Real)
    }

    /// A runtime without threads: its tasks run only where the executor is run, so that what
    /// happens between two awaits of a test is certain.
    pub fn on_this_thread() -> (SharedRuntime, Tasks) {
        Self::alone(Time::Real)
    }

    /// The same with a clock that stands still, so that no limit of time depends on the machine.
    pub fn without_time() -> (SharedRuntime, Tasks) {
        Self::alone(Time::Still(Instant::now()))
    }

    /// The same with a clock that the test moves.
    pub fn with_clock() -> (SharedRuntime, Tasks, Clock) {
        let clock = Clock::new();
        let (runtime, tasks) = Self::alone(Time::Moved(clock.clone()));
        (runtime, tasks, clock)
    }

    /// [`shared`](Self::shared), with a clock that the test moves.
    pub fn shared_with_clock() -> (SharedRuntime, Clock) {
        let clock = Clock::new();
        let runtime = Self::shared_with(threads(), Time::Moved(clock.clone()));
        (runtime, clock)
    }

    /// One that has its tasks run by `runtime`, and drops them when a test says so.
    pub fn that_drops(runtime: &SharedRuntime) -> (SharedRuntime, Spawned) {
        let spawned = Spawned::default();
        let runtime = Dropping {
            runtime: Arc::clone(runtime),
            spawned: spawned.clone(),
        };
        (Arc::new(runtime), spawned)
    }

    fn alone(time: Time) -> (SharedRuntime, Tasks) {
        let executor: Tasks = Box::leak(Box::new(Executor::new()));
        (Self::shared_with(executor, time), executor)
    }

    fn shared_with(executor: Tasks, time: Time) -> SharedRuntime {
        Arc::new(Self { executor, time })
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Times>>);

#[derive(Debug)]
struct Times {
    now: Instant,
    /// Who waits, by when and by which timer.
    waiting: BTreeMap<(Instant, u64), Waker>,
    timers: u64,
}

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Times {
            now: Instant::now(),
            waiting: BTreeMap::new(),
            timers: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        self.0.lock().expect("no panic under the lock")
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.lock().now
    }

    /// Moves it forward, past whatever is due by then.
    pub fn advance(&self, by: Duration) {
        let mut times = self.lock();
        times.now += by;
        // The number of a timer is never the greatest.
        let now = times.now;
        let later = times.waiting.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut times.waiting, later);
        drop(times);
        due.into_values().for_each(Waker::wake);
    }

    fn timer(&self, at: Instant) -> MovedTimer {
        let mut times = self.lock();
        times.timers += 1;
        MovedTimer {
            at,
            number: times.timers,
            clock: self.clone(),
        }
    }
}

/// A timer of a [`Clock`].
struct MovedTimer {
    at: Instant,
    number: u64,
    clock: Clock,
}

impl MovedTimer {
    fn disarm(&self) -> Option<Waker> {
        self.clock.lock().waiting.remove(&(self.at, self.number))
    }
}

impl Timer for MovedTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        let waker = self.disarm();
        self.at = at;
        let Some(waker) = waker else { return };
        let mut times = self.clock.lock();
        if times.now < at {
            times.waiting.insert((at, self.number), waker);
            return;
        }
        drop(times);
        waker.wake();
    }

    fn poll_expired(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut times = self.clock.lock();
        if times.now >= self.at {
            return Poll::Ready(());
        }
        let key = (self.at, self.number);
        let earlier = times.waiting.insert(key, cx.waker().clone());
        drop(times);
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for MovedTimer {
    fn drop(&mut self) {
        drop(self.disarm());
    }
}

/// async-io's own timer is ready once.
struct TestTimer {
    timer: async_io::Timer,
    expired: bool,
}

impl Timer for TestTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.timer.set_at(at);
        self.expired = false;
    }

    fn poll_expired(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.expired = self.expired || Pin::new(&mut self.timer).poll(cx).is_ready();
        if self.expired {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

fn unused<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Runtime for TestRuntime {
    fn now(&self) -> Instant {
        match &self.time {
            Time::Real => Instant::now(),
            Time::Still(now) => *now,
            Time::Moved(clock) => clock.now(),
        }
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        if let Time::Moved(clock) = &self.time {
            return Box::pin(clock.timer(at));
        }
        Box::pin(TestTimer {
            timer: async_io::Timer::at(at),
            expired: false,
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.executor.spawn(task).detach();
    }

    fn connect(&self, _to: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        Box::pin(async { unused() })
    }

    fn listener(&self, _socket: OsSocket, _local: Endpoint) -> io::Result<Box<dyn Listener>> {
        unused()
    }
}
