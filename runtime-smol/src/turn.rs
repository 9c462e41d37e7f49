//! How much is done in a row before others get their turn.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
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
/// its timers for as long. And `main` is polled when it was woken itself: a main future that makes
/// calls would else be polled for each task of its connection, too.
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
    let mut woken = Woken::new(Waker::noop());
    poll_fn(|cx| {
        if !woken.by.next.will_wake(cx.waker()) {
            woken = Woken::new(cx.waker());
        }
        if woken.by.take()
            && let Poll::Ready(output) = main.as_mut().poll(&mut woken.context())
        {
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

/// Tells whether a future was woken, among others that share a task with it.
struct Woken {
    by: Arc<Noted>,
    waker: Waker,
}

impl Woken {
    /// It counts as woken, as it has to be polled with this waker once.
    fn new(task: &Waker) -> Self {
        let by = Arc::new(Noted {
            woken: AtomicBool::new(true),
            next: task.clone(),
        });
        let waker = Waker::from(Arc::clone(&by));
        Self { by, waker }
    }

    fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

/// Notes a wake-up, and passes it to the task.
struct Noted {
    woken: AtomicBool,
    next: Waker,
}

impl Noted {
    fn take(&self) -> bool {
        // What was done before the wake-up is seen by who finds it noted.
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Noted already, the task has been woken for it and not yet looked.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.next.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;

    use async_io::block_on;

    use super::*;

    #[test]
    fn the_main_future_is_polled_when_it_was_woken_and_not_for_tasks() {
        let executor = Executor::new();
        let (polls, steps) = (Cell::new(0), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&steps);
        let mut task = Some(executor.spawn(async move {
            for _ in 0..50 {
                yield_now().await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }));
        block_on(run(
            &executor,
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                let mut done = pin!(task.as_mut().expect("it is kept"));
                done.as_mut().poll(cx)
            }),
        ));
        assert_eq!(steps.load(Ordering::Relaxed), 50);
        assert_eq!(polls.get(), 2, "at first, and when the task was done");
    }

    #[test]
    fn a_wake_up_during_its_own_poll_is_not_lost() {
        let executor = Executor::new();
        let mut left = 3;
        block_on(run(
            &executor,
            poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }),
        ));
    }

    #[test]
    fn a_task_that_changes_its_waker_is_woken_by_the_new_one() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let executor = Executor::new();
        let kept = Cell::new(None::<Waker>);
        let mut running = pin!(run(
            &executor,
            poll_fn(|cx| {
                kept.set(Some(cx.waker().clone()));
                Poll::<()>::Pending
            }),
        ));
        let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            assert!(
                running
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            let before = count.0.load(Ordering::Relaxed);
            kept.take().expect("it was polled").wake();
            assert_eq!(count.0.load(Ordering::Relaxed), before + 1);
        }
    }
}
