//! Models of the waker that is left with the stream of bytes, and of the [`gate`], run by loom in every order of steps
//! (`.ci/models`). A wake-up that is lost is a deadlock there, which loom reports.

mod gate;

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::{Condvar, Mutex};
use loom::thread;
use outboard_core::lock::{self, Rank};

use crate::wakers::{IoWaker, Shared};

/// A task on a thread of its own: woken, it looks again.
#[derive(Default)]
struct Task {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Task {
    fn wait(&self) {
        let mut woken = self.woken.lock().expect("no panics");
        while !*woken {
            woken = self.changed.wait(woken).expect("no panics");
        }
        *woken = false;
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().expect("no panics") = true;
        self.changed.notify_one();
    }
}

/// A stream of bytes: who found nothing is woken by the next that come.
#[derive(Default)]
struct Stream(Mutex<(u32, Option<Waker>)>);

impl Stream {
    fn write(&self) {
        let mut stream = self.0.lock().expect("no panics");
        stream.0 += 1;
        let waker = stream.1.take();
        drop(stream);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll_read(&self, waker: Waker) -> u32 {
        let mut stream = self.0.lock().expect("no panics");
        let count = std::mem::take(&mut stream.0);
        if count == 0 {
            stream.1 = Some(waker);
        }
        count
    }
}

/// What there is of a session: its lock, the stream and what came over it.
struct Session {
    received: lock::Mutex<u32>,
    stream: Stream,
    io: Arc<IoWaker>,
    driver: Arc<Shared>,
}

impl Session {
    fn new(driver: &Arc<Task>) -> Arc<Self> {
        let io = Arc::new(IoWaker::default());
        let driver = Shared::new(Waker::from(Arc::clone(driver)));
        assert!(io.set_driver(Arc::clone(&driver)).is_none());
        Arc::new(Self {
            received: lock::Mutex::new(Rank::Session, 0),
            stream: Stream::default(),
            io,
            driver,
        })
    }

    /// Reads as driver and callers do, until nothing is there. Gives how much has come so far.
    fn read(&self) -> u32 {
        let mut received = self.received.lock();
        let caller = self.io.hold();
        loop {
            match self.stream.poll_read(Waker::from(Arc::clone(&self.io))) {
                0 => break,
                count => *received += count,
            }
        }
        let woken = self.io.let_go();
        let old = caller.and_then(|caller| self.io.set_caller(caller));
        let count = *received;
        drop(received);
        drop(old);
        if woken {
            self.driver.inner().wake_by_ref();
        }
        count
    }

    fn drive(&self, task: &Task, until: u32) {
        while self.read() < until {
            task.wait();
        }
    }
}

#[test]
fn the_driver_reads_what_comes_while_it_reads() {
    loom::model(|| {
        let task = Arc::new(Task::default());
        let session = Session::new(&task);
        let peer = {
            let session = Arc::clone(&session);
            thread::spawn(move || {
                session.stream.write();
                session.stream.write();
            })
        };
        session.drive(&task, 2);
        peer.join().expect("no panics");
    });
}

#[test]
fn what_a_caller_finds_out_reaches_the_driver() {
    loom::model(|| {
        let task = Arc::new(Task::default());
        let session = Session::new(&task);
        let peer = {
            let session = Arc::clone(&session);
            thread::spawn(move || session.stream.write())
        };
        let caller = {
            let (session, task) = (Arc::clone(&session), Arc::clone(&task));
            thread::spawn(move || {
                // Who reads tells the driver what is there for it.
                if session.read() > 0 {
                    task.wake();
                }
            })
        };
        session.drive(&task, 1);
        peer.join().expect("no panics");
        caller.join().expect("no panics");
    });
}

#[test]
fn a_waiting_caller_and_the_driver_are_both_woken() {
    loom::model(|| {
        let (task, waiting) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let session = Session::new(&task);
        session.read();
        let earlier = session.io.set_caller(Waker::from(Arc::clone(&waiting)));
        assert!(earlier.is_none());
        let peer = {
            let session = Arc::clone(&session);
            thread::spawn(move || session.stream.write())
        };
        let caller = {
            let session = Arc::clone(&session);
            thread::spawn(move || {
                waiting.wait();
                assert!(session.io.take_caller_woken(), "it is told why");
                session.read()
            })
        };
        task.wait();
        peer.join().expect("no panics");
        assert_eq!(caller.join().expect("no panics"), 1);
        assert_eq!(session.read(), 1);
    });
}
