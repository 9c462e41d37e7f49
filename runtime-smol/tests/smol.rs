//! What only the smol adapter promises; the conformance suite has the rest.
#![cfg(unix)]

use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::unix::net::UnixStream;
#[cfg(target_os = "linux")]
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use async_executor::Executor;
use futures_channel::oneshot;
#[cfg(target_os = "linux")]
use futures_io::AsyncRead;
#[cfg(target_os = "linux")]
use outboard_core::rt::Descriptors as _;
use outboard_core::rt::Runtime;
use outboard_runtime_smol::Smol;

#[test]
fn the_shared_thread_runs_tasks() {
    let run = || {
        let (sender, receiver) = mpsc::channel();
        Smol::new().spawn(Box::pin(async move {
            let thread = thread::current();
            let _ = sender.send((thread.id(), thread.name().map(str::to_owned)));
        }));
        receiver.recv().expect("the task runs")
    };
    let first = run();
    assert_eq!(first.1.as_deref(), Some("outboard-smol"));
    assert_eq!(first, run(), "one thread for all");
}

#[test]
fn block_on_runs_tasks_on_the_calling_thread() {
    let (there, output) = Smol::block_on(|smol| async move {
        let (sender, receiver) = oneshot::channel();
        smol.spawn(Box::pin(async move {
            let _ = sender.send(thread::current().id());
        }));
        (receiver.await, "output")
    });
    assert_eq!(there, Ok(thread::current().id()));
    assert_eq!(output, "output");
}

#[test]
fn tasks_for_an_executor_that_is_gone_are_dropped() {
    let executor = Arc::new(Executor::new());
    let smol = Smol::on(&executor);
    drop(executor);
    let (sender, receiver) = mpsc::channel::<()>();
    smol.spawn(Box::pin(async move {
        let _ = sender.send(());
    }));
    assert_eq!(receiver.recv(), Err(mpsc::RecvError));
}

/// A user's own timers and sockets, on the thread that async-io keeps.
#[test]
fn async_io_works_beside_it() {
    Smol::block_on(|_| async {
        async_io::Timer::after(Duration::from_millis(1)).await;
        let (near, far) = async_io::Async::<UnixStream>::pair().expect("a pair");
        let mut readable = pin!(far.readable());
        let pending = poll_fn(|cx| Poll::Ready(readable.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        near.get_ref().write_all(b"x").expect("open");
        readable.await.expect("open");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn what_outlives_block_on_fails_and_says_why() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut reader =
        Smol::block_on(|smol| async move { smol.pipe_reader(reader) }).expect("a pipe");
    // By a runtime that lives, the error comes at once and not when something is written.
    let error = Smol::block_on(|_| poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut [0])));
    let text = error.expect_err("nobody drives it").to_string();
    assert!(text.contains("Smol::new"), "{text}");
    drop(writer);
}

/// A thread that waits for what nobody will bring any more is told so.
#[test]
#[cfg(target_os = "linux")]
fn the_end_of_block_on_wakes_who_waits() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (sender, receiver) = oneshot::channel();
    let waiting = Smol::block_on(|smol| async move {
        let mut reader = smol.pipe_reader(reader).expect("a pipe");
        let waiting = thread::spawn(move || {
            let mut sender = Some(sender);
            async_io::block_on(poll_fn(|cx| {
                let poll = Pin::new(&mut reader).poll_read(cx, &mut [0]);
                // It waits now.
                if let Some(sender) = sender.take() {
                    let _ = sender.send(());
                }
                poll
            }))
        });
        receiver.await.expect("it polls");
        waiting
    });
    let read = waiting.join().expect("it does not panic");
    read.expect_err("nobody drives it");
    drop(writer);
}

/// In every way of using one: polled for the first time after the end, before it, and moved after it.
#[test]
fn a_timer_outlives_block_on() {
    let (sender, receiver) = mpsc::channel();
    let smol = Smol::block_on(|smol| async move {
        let timer = |millis| smol.timer(Instant::now() + Duration::from_millis(millis));
        let mut timers = [timer(100), timer(3_600_000)];
        let (waiting, waits) = oneshot::channel();
        thread::spawn(move || {
            let mut waiting = Some(waiting);
            async_io::block_on(poll_fn(|cx| {
                let [soon, late] = &mut timers;
                let poll = soon.as_mut().poll_expired(cx);
                assert!(late.as_mut().poll_expired(cx).is_pending());
                if let Some(waiting) = waiting.take() {
                    let _ = waiting.send(());
                }
                poll
            }));
            let [_, mut late] = timers;
            late.as_mut().reset(Instant::now());
            async_io::block_on(poll_fn(|cx| late.as_mut().poll_expired(cx)));
            let _ = sender.send(());
        });
        waits.await.expect("it polls");
        smol.clone()
    });
    let began = Instant::now();
    let mut new = smol.timer(began + Duration::from_millis(50));
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        async_io::block_on(poll_fn(|cx| new.as_mut().poll_expired(cx)));
        let _ = done.send(());
    });
    let limit = Duration::from_secs(60);
    ended.recv_timeout(limit).expect("a new one fires");
    assert!(began.elapsed() >= Duration::from_millis(50));
    receiver.recv_timeout(limit).expect("the old ones fire");
}

#[test]
fn looking_again_outlives_block_on() {
    let smol = Smol::block_on(|smol| async move { smol });
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut asked = false;
        async_io::block_on(poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            smol.wake_after_io(cx.waker());
            Poll::Pending
        }));
        let _ = done.send(());
    });
    ended
        .recv_timeout(Duration::from_secs(60))
        .expect("it is woken");
}
