//! Background tasks.

use std::future::{pending, poll_fn};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::AsyncReadExt as _;
use futures_util::future::join;
use outboard_core::rt::SpanLeft;
use tracing::Span;

use crate::support::{Run, descriptors, elsewhere, expired, yield_now};

/// It runs, and on its own.
pub fn spawned_task_runs(run: Run) {
    run.case(|runtime| async move {
        let (sender, receiver) = oneshot::channel();
        runtime.spawn(Box::pin(async move {
            yield_now().await;
            sender.send(42).expect("the case waits");
        }));
        assert_eq!(receiver.await, Ok(42));
    });
}

/// A thread that knows no runtime can spawn.
pub fn spawns_from_any_thread(run: Run) {
    run.case(|runtime| async move {
        let (sender, receiver) = oneshot::channel();
        elsewhere(move || {
            runtime.spawn(Box::pin(async move {
                sender.send(42).expect("the case waits");
            }));
        })
        .await;
        assert_eq!(receiver.await, Ok(42));
    });
}

/// What a task holds is released when its runtime goes, whether it has begun or not.
pub fn task_is_dropped_at_shutdown(run: Run) {
    let (sender, receiver) = mpsc::channel::<()>();
    run.case(move |runtime| async move {
        let (started, running) = oneshot::channel();
        let held = sender.clone();
        // That tasks hold the runtime must not keep it up.
        let held = (held, runtime.clone());
        runtime.spawn(Box::pin(async move {
            started.send(()).expect("the case waits");
            pending::<()>().await;
            drop(held);
        }));
        running.await.expect("the task starts");
        runtime.spawn(Box::pin(async move {
            pending::<()>().await;
            drop(sender);
        }));
    });
    let dropped = receiver.recv_timeout(Duration::from_secs(60));
    assert_eq!(dropped, Err(mpsc::RecvTimeoutError::Disconnected));
}

/// The span at the call of `spawn` is the current one in the task, also after it was suspended.
pub fn span_is_carried_into_the_task(run: Run) {
    // The first case that comes here sets it for the whole test binary.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());

    run.case(|runtime| async move {
        let span = tracing::info_span!("caller");
        assert!(span.id().is_some(), "the subscriber is in force");
        let (sender, receiver) = oneshot::channel();
        span.in_scope(|| {
            runtime.spawn(Box::pin(async move {
                let before = Span::current().id();
                yield_now().await;
                let after = Span::current().id();
                sender.send((before, after)).expect("the case waits");
            }));
        });
        let seen = receiver.await.expect("the task runs");
        assert_eq!(seen, (span.id(), span.id()));
        assert_eq!(Span::current().id(), None);
    });
}

/// Nor is it there where it is left.
pub fn a_span_that_is_left_is_not_carried(run: Run) {
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());

    run.case(|runtime| async move {
        let span = tracing::info_span!("caller");
        assert!(span.id().is_some(), "the subscriber is in force");
        let (sender, receiver) = oneshot::channel();
        span.in_scope(|| {
            let _left = SpanLeft::enter();
            runtime.spawn(Box::pin(async move {
                sender.send(Span::current().id()).expect("the case waits");
            }));
        });
        assert_eq!(receiver.await.expect("the task runs"), None);
    });
}

/// A task that always looks again keeps neither events nor other tasks from coming through.
pub fn looking_again_lets_events_through(run: Run) {
    run.case(|runtime| async move {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut reader = descriptors(&runtime)
            .pipe_reader(reader)
            .expect("it can be read");
        let over = Arc::new(AtomicBool::new(false));
        let (begun, looking) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        runtime.spawn({
            let (runtime, over) = (runtime.clone(), Arc::clone(&over));
            let mut begun = Some(begun);
            Box::pin(async move {
                poll_fn(|cx| {
                    if let Some(begun) = begun.take() {
                        begun.send(()).expect("the case waits");
                    }
                    if over.load(Ordering::SeqCst) {
                        return Poll::Ready(());
                    }
                    runtime.wake_after_io(cx.waker());
                    Poll::Pending
                })
                .await;
                end.send(()).expect("the case waits");
            })
        });
        looking.await.expect("the task begins");
        let written = elsewhere(move || writer.write_all(b"x"));
        let mut byte = [0];
        let read = reader.read_exact(&mut byte);
        let (written, read) = join(written, read).await;
        written.expect("there is room");
        read.expect("it is there");
        over.store(true, Ordering::SeqCst);
        ended.await.expect("the task looks again");
    });
}

/// A task that always wakes itself, and works each time it runs, keeps the others from their timers
/// and from what they read for a small number of its turns.
pub fn a_busy_task_lets_timers_and_events_through(run: Run) {
    /// How long each turn is.
    const WORK: Duration = Duration::from_millis(1);
    /// More turns than any runtime lets pass before it looks at its events. Time for another thread
    /// to be given a processor is in it too.
    const TURNS: u32 = 400;
    const ROUNDS: u32 = 4;

    run.case(|runtime| async move {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut reader = descriptors(&runtime)
            .pipe_reader(reader)
            .expect("it can be read");
        let over = Arc::new(AtomicBool::new(false));
        // Turns since what the case waits for has happened; none while that is still to come.
        let turns = Arc::new(AtomicU32::new(0));
        let due = Arc::new(Mutex::new(None::<Instant>));
        let (end, ended) = oneshot::channel();
        runtime.spawn({
            let runtime = runtime.clone();
            let (over, turns, due) = (over.clone(), turns.clone(), due.clone());
            Box::pin(async move {
                poll_fn(|cx| {
                    if over.load(Ordering::SeqCst) {
                        return Poll::Ready(());
                    }
                    let began = runtime.now();
                    if due
                        .lock()
                        .expect("no panic")
                        .is_some_and(|due| due <= began)
                    {
                        turns.fetch_add(1, Ordering::SeqCst);
                    }
                    while runtime.now() < began + WORK {
                        std::hint::spin_loop();
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
                end.send(()).expect("the case waits");
            })
        });
        // Several: the runtime may be about to look just then.
        for _ in 0..ROUNDS {
            let deadline = runtime.now() + 10 * WORK;
            *due.lock().expect("no panic") = Some(deadline);
            expired(&mut runtime.timer(deadline)).await;
            *due.lock().expect("no panic") = None;
        }
        let for_timers = turns.swap(0, Ordering::SeqCst);
        for _ in 0..ROUNDS {
            let mut byte = [0];
            let read = reader.read_exact(&mut byte);
            let write = elsewhere({
                let (runtime, due) = (runtime.clone(), due.clone());
                move || {
                    writer.write_all(b"x").expect("there is room");
                    *due.lock().expect("no panic") = Some(runtime.now());
                    writer
                }
            });
            let (writer_again, read) = join(write, read).await;
            *due.lock().expect("no panic") = None;
            read.expect("it is there");
            writer = writer_again;
        }
        let for_events = turns.load(Ordering::SeqCst);
        over.store(true, Ordering::SeqCst);
        ended.await.expect("the task ends");
        let most = ROUNDS * TURNS;
        assert!(
            for_timers < most,
            "{ROUNDS} timers waited for {for_timers} turns"
        );
        assert!(
            for_events < most,
            "{ROUNDS} events waited for {for_events} turns"
        );
    });
}

/// Also while the runtime sleeps, and when nothing else happens.
pub fn waking_after_io_from_any_thread(run: Run) {
    run.case(|runtime| async move {
        for _ in 0..100 {
            let mut asked = false;
            let woken = Arc::new(AtomicBool::new(false));
            poll_fn(|cx| {
                if !std::mem::replace(&mut asked, true) {
                    let (runtime, waker) = (runtime.clone(), cx.waker().clone());
                    let woken = Arc::clone(&woken);
                    std::thread::spawn(move || {
                        woken.store(true, Ordering::SeqCst);
                        runtime.wake_after_io(&waker);
                    });
                }
                if woken.load(Ordering::SeqCst) {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
        }
    });
}
