//! Waiting, on any runtime.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use outboard_core::hclog::UnixTime;
use outboard_core::rt::{SharedRuntime, Timer};
use outboard_core::turn::Turn;

/// The time of day, for records of a log.
pub(crate) fn unix() -> UnixTime {
    // A clock before 1970 is off by more than a log can mend.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime::from(since_epoch.unwrap_or_default())
}

/// Resolves after `duration`. Starts counting at the call.
pub(crate) fn sleep(
    runtime: &SharedRuntime,
    duration: Duration,
) -> impl Future<Output = ()> + Send + Unpin + use<> {
    let now = runtime.now();
    // A time past the end of the clock is as good as never: a century will do.
    let century = Duration::from_secs(3_155_760_000);
    let at = now.checked_add(duration).unwrap_or_else(|| now + century);
    let mut timer = runtime.timer(at);
    poll_fn(move |cx| timer.as_mut().poll_expired(cx))
}

/// What a task takes in a row before other tasks have their turn: [events](Turn::EVENT), messages,
/// say, that a peer may send without end.
#[derive(Debug, Default)]
pub(crate) struct Turns(Turn);

/// How many that are.
#[cfg(test)]
pub(crate) const IN_A_ROW: usize = 32;

impl Turns {
    /// One more; after a turn of them it lets other tasks have theirs.
    pub(crate) async fn step(&mut self) {
        poll_fn(|cx| self.0.poll_step(Turn::EVENT, cx)).await;
    }
}

/// Lets all other tasks have their turn, those too for which events have come.
pub(crate) async fn give_way(runtime: &SharedRuntime) {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        runtime.wake_after_io(cx.waker());
        Poll::Pending
    })
    .await;
}

/// Waits for the next time at which a machine wants to act. The timer is made when there is first
/// something to wait for, and set anew when that changes.
#[derive(Default)]
pub(crate) struct Alarm(Option<(Instant, Pin<Box<dyn Timer>>)>);

impl Alarm {
    /// Ready when `at` has come, with the time to give the machine; pending if there is none.
    pub(crate) fn poll(
        &mut self,
        runtime: &SharedRuntime,
        at: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Instant> {
        let Some(at) = at else {
            self.0 = None;
            return Poll::Pending;
        };
        // Compared before the timer is asked: a runtime may leave an elapsed timer pending.
        if runtime.now() < at {
            let (set, timer) = self.0.get_or_insert_with(|| (at, runtime.timer(at)));
            if *set != at {
                timer.as_mut().reset(at);
                *set = at;
            }
            if timer.as_mut().poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
        // A timer may fire early, by the runtime's grain.
        Poll::Ready(runtime.now().max(at))
    }
}
