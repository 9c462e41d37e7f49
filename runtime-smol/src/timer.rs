//! A resettable timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use outboard_core::rt::Timer;

use crate::fd::Home;

pub(crate) fn timer(home: &Home, at: Instant) -> Pin<Box<dyn Timer>> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(reactor) = &home.reactor {
        let number = reactor.timer();
        return Box::pin(own::OwnTimer::new(reactor.clone(), (at, number)));
    }
    let _ = home;
    Box::pin(SmolTimer::new(at))
}

/// On async-io.
struct SmolTimer {
    deadline: Instant,
    timer: async_io::Timer,
}

impl SmolTimer {
    fn new(at: Instant) -> Self {
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

#[cfg(any(target_os = "linux", target_os = "android"))]
mod own {
    use std::sync::Arc;

    use super::{Context, Instant, Pin, Poll, SmolTimer, Timer};
    use crate::reactor::Reactor;

    /// In the reactor of a `Smol::block_on`, while somebody waits for it.
    pub(super) struct OwnTimer {
        reactor: Arc<Reactor>,
        key: (Instant, u64),
        /// Instead, once the `Smol::block_on` has ended: time goes on without it.
        after: Option<SmolTimer>,
    }

    impl OwnTimer {
        pub(super) const fn new(reactor: Arc<Reactor>, key: (Instant, u64)) -> Self {
            Self {
                reactor,
                key,
                after: None,
            }
        }
    }

    impl Timer for OwnTimer {
        fn reset(mut self: Pin<&mut Self>, at: Instant) {
            let waker = self.reactor.remove_timer(self.key);
            self.key.0 = at;
            if let Some(after) = &mut self.after {
                return Pin::new(after).reset(at);
            }
            if let Some(waker) = waker {
                self.reactor.set_timer(self.key, waker.clone());
                if self.reactor.is_closed() {
                    // Whoever waits is to ask again.
                    waker.wake();
                }
            }
        }

        fn poll_expired(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if self.after.is_none() {
                if self.reactor.now() >= self.key.0 {
                    return Poll::Ready(());
                }
                self.reactor.set_timer(self.key, cx.waker().clone());
                if !self.reactor.is_closed() {
                    return Poll::Pending;
                }
                self.reactor.remove_timer(self.key);
            }
            let at = self.key.0;
            let after = self.after.get_or_insert_with(|| SmolTimer::new(at));
            Pin::new(after).poll_expired(cx)
        }
    }

    impl Drop for OwnTimer {
        fn drop(&mut self) {
            self.reactor.remove_timer(self.key);
        }
    }
}
