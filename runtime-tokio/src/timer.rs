//! A resettable timer on tokio's clock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use outboard_core::rt::Timer;
use tokio::runtime::Handle;
use tokio::time::Sleep;

pub(crate) struct TokioTimer {
    handle: Handle,
    sleep: Pin<Box<Sleep>>,
}

impl TokioTimer {
    pub(crate) fn new(handle: Handle, at: Instant) -> Self {
        let sleep = {
            let _context = handle.enter();
            Box::pin(tokio::time::sleep_until(at.into()))
        };
        Self { handle, sleep }
    }
}

impl Timer for TokioTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.sleep.as_mut().reset(at.into());
    }

    fn poll_expired(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { handle, sleep } = self.get_mut();
        let _context = handle.enter();
        // Not left to `Sleep` alone: one that has elapsed stays pending while the task is out of
        // tokio's cooperative budget.
        if tokio::time::Instant::now() >= sleep.deadline() {
            return Poll::Ready(());
        }
        sleep.as_mut().poll(cx)
    }
}
