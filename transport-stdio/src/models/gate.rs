//! The gate: who waits until it is shut and nothing runs behind it is woken by whichever of that comes
//! last.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::thread;

use super::Task;
use crate::gate::{Gate, Running};

/// As a serving waits for its end.
fn wait_until_idle(gate: &Gate) {
    let task = Arc::new(Task::default());
    let waker = Waker::from(Arc::clone(&task));
    while gate.poll_idle(&Context::from_waker(&waker)).is_pending() {
        task.wait();
    }
}

#[test]
fn the_last_of_the_stop_and_the_handlers_wakes_who_waits() {
    loom::model(|| {
        let gate = Arc::new(Gate::default());
        let handlers = [(); 2].map(|()| {
            let running = Running::new(&gate);
            thread::spawn(move || drop(running))
        });
        let stop = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.stop(false))
        };
        wait_until_idle(&gate);
        assert_eq!(gate.running(), 0);
        for thread in handlers.into_iter().chain([stop]) {
            thread.join().expect("no panics");
        }
    });
}

#[test]
fn all_who_wait_are_woken() {
    loom::model(|| {
        let gate = Arc::new(Gate::default());
        let running = Running::new(&gate);
        let waiting = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || wait_until_idle(&gate))
        };
        let handler = thread::spawn(move || drop(running));
        gate.stop(true);
        wait_until_idle(&gate);
        for thread in [waiting, handler] {
            thread.join().expect("no panics");
        }
    });
}

#[test]
fn who_is_idle_has_seen_the_abort() {
    loom::model(|| {
        let gate = Arc::new(Gate::default());
        let stop = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.stop(true))
        };
        if let Poll::Ready(()) = gate.poll_idle(&Context::from_waker(Waker::noop())) {
            assert!(gate.is_aborted(), "it was stopped by that");
        }
        stop.join().expect("no panics");
    });
}
