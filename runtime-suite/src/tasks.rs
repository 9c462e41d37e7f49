//! Background tasks.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use futures_channel::oneshot;
use tracing::Span;

use crate::support::{Run, elsewhere, yield_now};

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
