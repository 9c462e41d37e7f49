//! Models of the reactor, run by loom in every order of steps (`.ci/models`). A wake-up that is lost
//! is a deadlock there, which loom reports.

use std::future::poll_fn;
use std::io::{ErrorKind, PipeReader, Result};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use outboard_core::rt::Timer;
use rustix::event::epoll::EventFlags;

use crate::direction::{Direction, Interest};
use crate::fd::Home;
use crate::reactor::Reactor;
use crate::registered::Registered;

fn reactor() -> Arc<Reactor> {
    Reactor::new().expect("a model has no descriptors to run out of")
}

/// Becomes set, without an order of its own: who sees it may not see anything else by that.
#[derive(Default)]
struct Flag(AtomicU32);

impl Flag {
    fn set(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// What `block_on` runs: done once the flag is set this often.
    async fn reaches(&self, count: u32) {
        poll_fn(|_| {
            if self.count() >= count {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// Sets a flag and passes the wake-up on.
struct Told {
    flag: Arc<Flag>,
    next: Waker,
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.flag.set();
        self.next.wake_by_ref();
    }
}

fn told(flag: &Arc<Flag>, next: Waker) -> Waker {
    let flag = Arc::clone(flag);
    Waker::from(Arc::new(Told { flag, next }))
}

/// A thread that waits for its waker, other than the reactor's.
#[derive(Default)]
struct Parked {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().expect("no panics") = true;
        self.changed.notify_one();
    }
}

fn wait_for<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let parked = Arc::new(Parked::default());
    let waker = Waker::from(Arc::clone(&parked));
    loop {
        if let Poll::Ready(output) = poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut woken = parked.woken.lock().expect("no panics");
        while !*woken {
            woken = parked.changed.wait(woken).expect("no panics");
        }
        *woken = false;
    }
}

#[test]
fn a_wake_up_reaches_the_future_and_brings_what_was_done_before_it() {
    loom::model(|| {
        let (reactor, flag) = (reactor(), Arc::new(Flag::default()));
        let threads = [(); 2].map(|()| {
            let (waker, flag) = (Waker::from(Arc::clone(&reactor)), Arc::clone(&flag));
            thread::spawn(move || {
                flag.set();
                waker.wake();
            })
        });
        reactor.block_on(flag.reaches(2));
        for thread in threads {
            thread.join().expect("no panics");
        }
    });
}

#[test]
fn a_timer_of_another_thread_fires() {
    loom::model(|| {
        let (reactor, flag) = (reactor(), Arc::new(Flag::default()));
        let key = (reactor.now() + Duration::from_millis(5), reactor.timer());
        let thread = {
            let waker = told(&flag, Waker::from(Arc::clone(&reactor)));
            let reactor = Arc::clone(&reactor);
            thread::spawn(move || reactor.set_timer(key, waker))
        };
        reactor.block_on(flag.reaches(1));
        assert!(reactor.now() >= key.0, "not before its time");
        thread.join().expect("no panics");
    });
}

#[test]
fn who_waits_for_the_end_of_a_turn_is_woken() {
    loom::model(|| {
        let (reactor, flag) = (reactor(), Arc::new(Flag::default()));
        let thread = {
            let waker = told(&flag, Waker::from(Arc::clone(&reactor)));
            let reactor = Arc::clone(&reactor);
            thread::spawn(move || reactor.wake_after_turn(&waker))
        };
        reactor.block_on(flag.reaches(1));
        thread.join().expect("no panics");
    });
}

#[test]
fn the_end_of_the_reactor_reaches_whoever_waits() {
    loom::model(|| {
        let (reactor, flag) = (reactor(), Arc::new(Flag::default()));
        let key = (reactor.now() + Duration::from_millis(5), reactor.timer());
        let thread = {
            let (reactor, flag) = (Arc::clone(&reactor), Arc::clone(&flag));
            thread::spawn(move || {
                reactor.wake_after_turn(&told(&flag, Waker::noop().clone()));
                let fired = Arc::new(Flag::default());
                reactor.set_timer(key, told(&fired, Waker::noop().clone()));
                // As a timer does: it goes on elsewhere then.
                (reactor.is_closed(), fired)
            })
        };
        reactor.block_on(async {});
        let (noticed, fired) = thread.join().expect("no panics");
        assert_eq!(flag.count(), 1, "the end of a turn");
        assert!(noticed || fired.count() > 0, "a timer is left behind");
    });
}

/// A pipe of the model: what is written is counted, and told as an edge.
struct Pipe {
    fd: Registered<PipeReader>,
    bytes: Mutex<usize>,
}

impl Pipe {
    fn new(reactor: &Arc<Reactor>) -> Arc<Self> {
        let (reader, _) = std::io::pipe().expect("a descriptor");
        let fd = Registered::new(reactor, reader, Interest::Read, true).expect("a model");
        let bytes = Mutex::new(0);
        Arc::new(Self { fd, bytes })
    }

    /// The first descriptor of a reactor has the key 0.
    fn write(&self, reactor: &Reactor) {
        *self.bytes.lock().expect("no panics") += 1;
        reactor.poller.post(0, EventFlags::IN);
    }

    fn poll_read(&self, cx: &mut Context<'_>, length: usize) -> Poll<Result<usize>> {
        self.fd.poll_read(cx, length, |_| {
            let mut bytes = self.bytes.lock().expect("no panics");
            match (*bytes).min(length) {
                0 => Err(ErrorKind::WouldBlock.into()),
                count => {
                    *bytes -= count;
                    Ok(count)
                }
            }
        })
    }
}

#[test]
fn what_is_written_while_it_is_read_is_read() {
    loom::model(|| {
        let reactor = reactor();
        let pipe = Pipe::new(&reactor);
        let thread = {
            let (reactor, pipe) = (Arc::clone(&reactor), Arc::clone(&pipe));
            thread::spawn(move || {
                pipe.write(&reactor);
                pipe.write(&reactor);
            })
        };
        reactor.block_on(async {
            let mut read = 0;
            while read < 2 {
                read += poll_fn(|cx| pipe.poll_read(cx, 10)).await.expect("open");
            }
        });
        thread.join().expect("no panics");
    });
}

#[test]
fn a_reader_on_another_thread_gets_the_bytes_or_the_end() {
    loom::model(|| {
        let reactor = reactor();
        let pipe = Pipe::new(&reactor);
        let done = Arc::new(Flag::default());
        let reading = {
            let (pipe, done) = (Arc::clone(&pipe), Arc::clone(&done));
            let waker = Waker::from(Arc::clone(&reactor));
            thread::spawn(move || {
                let read = wait_for(|cx| pipe.poll_read(cx, 10));
                done.set();
                waker.wake();
                read
            })
        };
        pipe.write(&reactor);
        reactor.block_on(done.reaches(1));
        let read = reading.join().expect("no panics");
        assert_eq!(read.expect("open"), 1);

        // Nobody drives the reactor any more.
        let error = wait_for(|cx| pipe.fd.poll_ready(Direction::Read, cx));
        assert_eq!(error.expect_err("the end").kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_reader_is_not_left_waiting_at_the_end() {
    loom::model(|| {
        let reactor = reactor();
        let pipe = Pipe::new(&reactor);
        let reading = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || wait_for(|cx| pipe.poll_read(cx, 10)))
        };
        reactor.block_on(async {});
        let error = reading.join().expect("no panics").expect_err("the end");
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_timer_can_be_waited_for_in_the_reactor() {
    loom::model(|| {
        let reactor = reactor();
        let home = Home {
            reactor: Some(Arc::clone(&reactor)),
        };
        let at = reactor.now() + Duration::from_millis(5);
        let mut timer = crate::timer::timer(&home, at);
        let thread = {
            let waker = Waker::from(Arc::clone(&reactor));
            thread::spawn(move || waker.wake())
        };
        timer.as_mut().reset(at + Duration::from_millis(1));
        reactor.block_on(poll_fn(|cx| Timer::poll_expired(timer.as_mut(), cx)));
        assert!(reactor.now() > at);
        thread.join().expect("no panics");
    });
}
