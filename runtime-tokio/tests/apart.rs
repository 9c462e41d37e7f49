//! Tasks that keep their thread.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use outboard_core::rt::Runtime as _;
use outboard_runtime_tokio::Tokio;

/// A task that keeps its thread, spawned by one that reads, must not keep that one from reading on.
#[test]
fn a_task_that_computes_apart_holds_up_no_events() {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let (mut near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let (began, begins) = mpsc::channel();
    let (read, reads) = mpsc::channel();
    let tokio = Tokio::from_handle(runtime.handle().clone());
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn(async move {
        let far = tokio::net::UnixStream::from_std(far).unwrap();
        let released = Arc::new(Mutex::new(released));
        let mut order = [0];
        loop {
            far.readable().await.unwrap();
            match far.try_read(&mut order) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => continue,
            }
            if order == *b"r" {
                read.send(()).unwrap();
                continue;
            }
            let (began, released) = (began.clone(), released.clone());
            tokio.spawn_apart(Box::pin(async move {
                began.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }));
        }
    });
    for round in 0..500 {
        near.write_all(b"c").unwrap();
        begins.recv().unwrap();
        near.write_all(b"r").unwrap();
        let limit = Duration::from_secs(20);
        let answered = reads.recv_timeout(limit);
        release.send(()).unwrap();
        assert_eq!(answered, Ok(()), "in round {round}");
    }
}

/// Spawns a task that keeps its thread and gives way; tells when it has its next turn.
struct Spawner {
    tokio: Tokio,
    task: Option<outboard_core::rt::BoxFuture<'static, ()>>,
    resumed: mpsc::Sender<()>,
}

impl Future for Spawner {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(task) = self.task.take() else {
            let _test_over = self.resumed.send(());
            return Poll::Ready(());
        };
        self.tokio.spawn_apart(task);
        self.tokio.wake_after_io(cx.waker());
        Poll::Pending
    }
}

/// As a connection does whose turn is over, where there may be more to read.
#[test]
fn a_task_that_computes_apart_does_not_hold_up_one_that_gave_way() {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    for round in 0..500 {
        let (resumed, resumes) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let computes = async move { released.recv().unwrap() };
        runtime.spawn(Spawner {
            tokio: Tokio::from_handle(runtime.handle().clone()),
            task: Some(Box::pin(computes)),
            resumed,
        });
        let resumed = resumes.recv_timeout(Duration::from_secs(20));
        release.send(()).unwrap();
        assert_eq!(resumed, Ok(()), "in round {round}");
    }
}

/// It begins beside tasks that give way without end, more than there are threads.
#[test]
fn tasks_that_go_on_giving_way_do_not_hold_up_one_that_computes_apart() {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let tokio = Tokio::from_handle(runtime.handle().clone());
    for _ in 0..5 {
        let tokio = tokio.clone();
        runtime.spawn(std::future::poll_fn(move |cx| {
            tokio.wake_after_io(cx.waker());
            Poll::<()>::Pending
        }));
    }
    for round in 0..100 {
        let (began, begins) = mpsc::channel();
        let spawner = tokio.clone();
        runtime.spawn(async move {
            spawner.spawn_apart(Box::pin(async move { began.send(()).unwrap() }));
        });
        let begun = begins.recv_timeout(Duration::from_secs(20));
        assert_eq!(begun, Ok(()), "in round {round}");
    }
}
