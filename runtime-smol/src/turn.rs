//! How much is done in a row before others get their turn.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_executor::Executor;

/// How long polls may follow each other before the thread looks at timers and events again. A task
/// that is in the middle of a poll is waited for, of course. (A choice: rare enough to cost nothing
/// beside the work, and some 20 wake-ups of a processor long.)
const TIME: Duration = Duration::from_micros(500);

/// So many tasks are run even if they take no time. (async-executor's own number.)
const TASKS: u32 = 200;

/// What has been done since others had their turn.
pub(crate) struct Turn {
    left: u32,
    end: Option<Instant>,
}

impl Turn {
    /// At most `steps`, and no more after 500 us.
    pub(crate) const fn new(steps: u32) -> Self {
        Self {
            left: steps,
            end: None,
        }
    }

    /// A step was done. Whether it was the last. The first costs no look at the clock: most turns
    /// are so short that it would be the dearest part.
    pub(crate) fn is_over(&mut self, now: impl FnOnce() -> Instant) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return true;
        }
        let now = now();
        now >= *self.end.get_or_insert(now + TIME)
    }
}

/// Runs tasks until `main` is done, as [`Executor::run`] does, but counts their time and not only
/// their number: a poll of 200 tasks that work for a millisecond each would keep the caller from
/// its timers for as long.
pub(crate) async fn run<T>(executor: &Executor<'_>, main: impl Future<Output = T>) -> T {
    let tasks = async {
        loop {
            let mut turn = Turn::new(TASKS);
            loop {
                executor.tick().await;
                if turn.is_over(Instant::now) {
                    break;
                }
            }
            yield_now().await;
        }
    };
    let (mut main, mut tasks) = (pin!(main), pin!(tasks));
    poll_fn(|cx| {
        if let Poll::Ready(output) = main.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        match tasks.as_mut().poll(cx) {
            Poll::Ready(never) => never,
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many steps of this length are done in a turn.
    fn steps(length: Duration) -> u32 {
        let mut now = Instant::now();
        let mut turn = Turn::new(TASKS);
        for done in 1.. {
            now += length;
            if turn.is_over(|| now) {
                return done;
            }
        }
        unreachable!("a turn without end")
    }

    #[test]
    fn a_turn_ends_by_number_or_by_time() {
        assert_eq!(steps(Duration::ZERO), TASKS);
        assert_eq!(steps(Duration::from_micros(1)), TASKS);
        assert_eq!(steps(Duration::from_micros(50)), 11);
        assert_eq!(steps(Duration::from_millis(10)), 2);
        assert!(Turn::new(1).is_over(|| unreachable!("one step")));
    }
}
