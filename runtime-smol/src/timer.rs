//! A resettable timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use outboard_core::rt::Timer;

pub(crate) struct SmolTimer {
    deadline: Instant,
    timer: async_io::Timer,
}

impl SmolTimer {
    pub(crate) fn new(at: Instant) -> Self {
        Self {
            deadline: at,
            timer: async_io::Timer::at(at),
        }
    }
}

impl Timer for SmolTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.deadline = at;
        self.timer.set_at(at);
    }

    fn poll_expired(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // async-io's own forgets that it has fired.
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        Pin::new(&mut self.timer).poll(cx).map(drop)
    }
}
