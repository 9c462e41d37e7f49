//! Two threads, an executor and timers; nothing of tokio.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use async_executor::Executor;
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{
    BoxByteStream, BoxFuture, BoxReader, BoxWriter, Launch, Listener, OsSocket, Process, Runtime,
    SharedRuntime, Timer,
};

#[derive(Debug)]
pub struct TestRuntime {
    executor: &'static Executor<'static>,
    /// The time, if it stands still.
    now: Option<Instant>,
}

impl TestRuntime {
    pub fn shared() -> SharedRuntime {
        static EXECUTOR: OnceLock<&'static Executor<'static>> = OnceLock::new();
        let executor = EXECUTOR.get_or_init(|| {
            let executor: &'static Executor<'static> = Box::leak(Box::new(Executor::new()));
            for _ in 0..2 {
                std::thread::spawn(|| {
                    async_io::block_on(executor.run(std::future::pending::<()>()));
                });
            }
            executor
        });
        Arc::new(Self {
            executor,
            now: None,
        })
    }
}

impl TestRuntime {
    /// A runtime without threads: its tasks run only where the executor is run, so that what
    /// happens between two awaits of a test is certain.
    pub fn on_this_thread() -> (SharedRuntime, &'static Executor<'static>) {
        Self::alone(None)
    }

    /// The same with a clock that stands still, so that no limit of time depends on the machine.
    pub fn without_time() -> (SharedRuntime, &'static Executor<'static>) {
        Self::alone(Some(Instant::now()))
    }

    fn alone(now: Option<Instant>) -> (SharedRuntime, &'static Executor<'static>) {
        let executor: &'static Executor<'static> = Box::leak(Box::new(Executor::new()));
        (Arc::new(Self { executor, now }), executor)
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
        self.now.unwrap_or_else(Instant::now)
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
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

    fn launch(&self, _launch: Launch) -> io::Result<Process> {
        unused()
    }

    fn pipe_reader(&self, _pipe: io::PipeReader) -> io::Result<BoxReader> {
        unused()
    }

    fn pipe_writer(&self, _pipe: io::PipeWriter) -> io::Result<BoxWriter> {
        unused()
    }

    #[cfg(unix)]
    fn watch(&self, _fd: std::os::fd::OwnedFd) -> io::Result<BoxFuture<'static, io::Result<()>>> {
        unused()
    }
}
