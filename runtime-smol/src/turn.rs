//! How much is done in a row before others get their turn.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_executor::Executor;
use outboard_core::turn::Turn;

/// How long polls may follow each other before the thread looks at timers and events again. A task
/// that is in the middle of a poll is waited for, of course. (A choice: rare enough to cost nothing
/// beside the work, and some 20 wake-ups of a processor long.)
const TIME: Duration = Duration::from_micros(500);

/// So many tasks are run even if they take no time. (async-executor's own number.)
const TASKS: usize = 200;

/// A turn of this many tasks or polls.
pub(crate) const fn of(steps: usize) -> Turn {
    Turn::of(steps, TIME)
}

/// Runs tasks until `main` is done, as [`Executor::run`] does, but counts their time and not only
/// their number: a poll of 200 tasks that work for a millisecond each would keep the caller from
/// its timers for as long.
pub(crate) async fn run<T>(executor: &Executor<'_>, main: impl Future<Output = T>) -> T {
    let tasks = async {
        loop {
            let mut turn = of(TASKS);
            loop {
                executor.tick().await;
                if turn.step(1, Instant::now) {
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
