//! The one task of a session: it reads, keeps the time, and writes what nobody else wrote.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use outboard_core::rt::Timer;
use outboard_core::turn::Turn;

use crate::error::SessionError;
use crate::shared::{Shared, State};

/// How long what is left to write may take when the session is over.
const LINGER: Duration = Duration::from_secs(1);

/// How much is read at once. Streams keep parts of it until they are read.
const READ: usize = 64 * 1024;
/// How many buffers are kept to be used again.
const BUFFERS: usize = 4;

/// Memory to read into. What was read is passed on without being copied, and once nobody has it any
/// more, the memory is used again.
#[derive(Debug, Default)]
struct Buffers {
    next: BytesMut,
    used: VecDeque<Bytes>,
}

impl Buffers {
    fn space(&mut self) -> &mut [u8] {
        if self.next.is_empty() {
            for _ in 0..self.used.len() {
                let Some(used) = self.used.pop_front() else {
                    break;
                };
                match used.try_into_mut() {
                    Ok(free) => {
                        self.next = free;
                        break;
                    }
                    Err(used) => self.used.push_back(used),
                }
            }
        }
        if self.next.is_empty() {
            self.next = BytesMut::zeroed(READ);
        }
        &mut self.next
    }

    fn take(&mut self, count: usize) -> Bytes {
        let whole = std::mem::take(&mut self.next).freeze();
        let bytes = whole.slice(..count.min(whole.len()));
        if self.used.len() >= BUFFERS {
            self.used.pop_front();
        }
        self.used.push_back(whole);
        bytes
    }
}

/// What a step of the driver led to.
enum Step {
    Again,
    Wait(Option<Instant>),
    Over,
}

/// What drives a session. It is to be spawned, and is done when the session is over or all handles are
/// gone.
#[must_use = "nothing happens before it is polled"]
pub struct Driver {
    shared: Arc<Shared>,
    buffers: Buffers,
    timer: Option<(Instant, Pin<Box<dyn Timer>>)>,
    /// When to stop writing what is left.
    gives_up: Option<Instant>,
    /// No more is written.
    closed: bool,
    done: bool,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            buffers: Buffers::default(),
            timer: None,
            gives_up: None,
            closed: false,
            done: false,
        }
    }

    fn step(&mut self, turn: &mut Turn) -> Step {
        let (buffers, gives_up, closed) = (&mut self.buffers, &mut self.gives_up, &mut self.closed);
        self.shared.with(|state| {
            state.driver_begins();
            if state.users == 0 {
                let all = "all handles of the yamux session were dropped";
                state.machine.end(SessionError::ended(all));
            }
            let mut again = state.machine.ended().is_none() && read(state, buffers, turn);
            if state.machine.ended().is_none() {
                // After what there was to read: a sign of life may have waited for this side.
                if !again {
                    state.machine.handle_timeout(state.now);
                }
                again |= state.flush_some(turn);
            }
            if state.machine.ended().is_some() {
                return finish(state, turn, buffers, gives_up, closed);
            }
            if again {
                return Step::Again;
            }
            let alarm = state.machine.poll_timeout();
            state.driver_waits(alarm);
            Step::Wait(alarm)
        })
    }

    /// Whether the time has come already.
    fn wait_until(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let runtime = &self.shared.runtime;
        let (set, timer) = self.timer.get_or_insert_with(|| (at, runtime.timer(at)));
        if *set != at {
            *set = at;
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll_expired(cx).is_ready()
    }
}

/// Reads once. Whether there may be more.
fn read(state: &mut State, buffers: &mut Buffers, turn: &mut Turn) -> bool {
    match state.poll_read(buffers.space()) {
        Poll::Pending => {
            // All has been read that came before.
            if let Some(broken) = state.broken() {
                state.machine.end(broken);
            }
            return false;
        }
        Poll::Ready(Ok(0)) => state.machine.handle_end(),
        Poll::Ready(Ok(count)) => {
            turn.spend_bytes(count);
            turn.spend(Turn::FRAME);
            state.received(buffers.take(count));
        }
        Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
            turn.spend(Turn::FRAME);
        }
        Poll::Ready(Err(error)) => {
            let error = state.broken().unwrap_or_else(|| error.into());
            state.machine.end(error);
        }
    }
    true
}

/// Writes what is left and closes the connection, for as long as that may take.
fn finish(
    state: &mut State,
    turn: &mut Turn,
    buffers: &mut Buffers,
    gives_up: &mut Option<Instant>,
    closed: &mut bool,
) -> Step {
    let limit = *gives_up.get_or_insert(state.now + LINGER);
    if state.now >= limit || !state.is_writable() {
        return Step::Over;
    }
    if !*closed {
        if state.flush_some(turn) {
            return Step::Again;
        }
        *closed = state.is_flushed() && state.poll_close().is_ready();
    }
    if *closed {
        // A socket that is closed with something left to read resets the connection, and the peer
        // may lose what it has not read yet.
        match state.poll_read(buffers.space()) {
            Poll::Ready(Ok(0) | Err(_)) => return Step::Over,
            Poll::Ready(Ok(count)) => {
                turn.spend_bytes(count);
                return Step::Again;
            }
            Poll::Pending => {}
        }
    } else if !state.is_writable() {
        return Step::Over;
    }
    state.driver_waits(Some(limit));
    Step::Wait(Some(limit))
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(());
        }
        this.shared.driver_is(cx.waker());
        let mut turn = Turn::new();
        while !turn.is_over() {
            match this.step(&mut turn) {
                Step::Again => {}
                Step::Wait(None) => return Poll::Pending,
                Step::Wait(Some(at)) if !this.wait_until(at, cx) => return Poll::Pending,
                Step::Wait(Some(_)) => turn.spend(Turn::EVENT),
                Step::Over => {
                    this.done = true;
                    this.shared.driver_gone();
                    return Poll::Ready(());
                }
            }
        }
        turn.give_way(this.shared.runtime.as_ref(), cx)
    }
}

/// A driver is dropped before its end when its runtime shuts down, and when it panics, as a stream of
/// bytes may.
impl Drop for Driver {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let why = if std::thread::panicking() {
            "the task that drove the yamux session panicked"
        } else {
            "the yamux session is over: the async runtime that drove it was shut down"
        };
        self.shared
            .with(|state| state.machine.end(SessionError::ended(why)));
        self.shared.driver_gone();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}
