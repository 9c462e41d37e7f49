//! What only the smol adapter promises; the conformance suite has the rest.
#![cfg(unix)]

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use async_executor::Executor;
use futures_channel::oneshot;
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
