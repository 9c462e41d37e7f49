//! Asking a quiet peer with PING frames, as [`KeepaliveTimer`] decides.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use h2::{Ping, PingPong};
use outboard_core::rpc::{Keepalive, KeepaliveAction, KeepaliveTimer};
use outboard_core::rt::{SharedRuntime, Timer};

/// What the task of a connection polls after it has read what there is.
pub(crate) struct Pinger {
    config: Keepalive,
    decides: KeepaliveTimer,
    timer: Pin<Box<dyn Timer>>,
    /// What `timer` is set to.
    at: Instant,
    pings: PingPong,
    /// A ping of ours was not answered so far.
    asked: bool,
    /// The time has come, and the runtime was asked to look for events once more before it counts.
    looked: bool,
}

impl Pinger {
    /// `None` if it is off, or if the connection's pings are in other hands.
    pub(crate) fn new(
        config: Option<Keepalive>,
        pings: impl FnOnce() -> Option<PingPong>,
        runtime: &SharedRuntime,
    ) -> Option<Self> {
        let config = config?;
        let decides = KeepaliveTimer::new(config, runtime.now());
        let at = decides.poll_timeout()?;
        let timer = runtime.timer(at);
        Some(Self {
            config,
            decides,
            timer,
            at,
            pings: pings()?,
            asked: false,
            looked: false,
        })
    }

    /// Ready when the peer has been silent for too long. `heard`: bytes have come from it since the
    /// last poll.
    pub(crate) fn poll_silent(
        &mut self,
        heard: bool,
        runtime: &SharedRuntime,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if heard {
            self.decides.heard();
        }
        if self.asked && self.pings.poll_pong(cx).is_ready() {
            self.asked = false;
        }
        self.set_timer();
        while self.timer.as_mut().poll_expired(cx).is_ready() {
            if !self.looked {
                // If this side did not run for a while, the answer may be there and unread.
                self.looked = true;
                runtime.wake_after_io(cx.waker());
                return Poll::Pending;
            }
            self.looked = false;
            match self.decides.handle_timeout(runtime.now()) {
                KeepaliveAction::Wait => {}
                KeepaliveAction::Ping => {
                    // Fails only while an earlier one is unanswered, which then asks as well. The
                    // connection is woken to send it.
                    self.asked |= self.pings.send_ping(Ping::opaque()).is_ok();
                }
                KeepaliveAction::GiveUp => return Poll::Ready(()),
            }
            self.set_timer();
        }
        Poll::Pending
    }

    fn set_timer(&mut self) {
        if let Some(at) = self.decides.poll_timeout()
            && at != self.at
        {
            self.at = at;
            self.timer.as_mut().reset(at);
        }
    }

    /// What a lost connection is explained with.
    pub(crate) fn reason(&self) -> String {
        let Keepalive {
            interval, timeout, ..
        } = self.config;
        format!(
            "nothing has come from the peer for {interval:?}, and nothing within {timeout:?} of a \
             keepalive ping: it is stopped or stuck"
        )
    }
}
