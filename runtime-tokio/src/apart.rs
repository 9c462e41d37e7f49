//! What tokio's threads do while a task keeps one of them: turns that were given away, and tasks that
//! wait until nobody on their thread has one to come.
//!
//! A thread of tokio keeps the tasks that have yielded to itself, until it has looked at its events.
//! While another task keeps that thread, they stand still, and no other thread can take them. So such
//! a task waits until its thread keeps nobody, and while it waits, the thread keeps nobody anew.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::LocalKey;

use outboard_core::rt::BoxFuture;

/// How many there are of something of this thread. Shared, since they may be dropped on another.
type Count = LocalKey<Arc<AtomicUsize>>;

thread_local! {
    /// Wakers that this thread keeps.
    static KEPT: Arc<AtomicUsize> = Arc::default();
    /// Tasks that wait to begin.
    static WAITING: Arc<AtomicUsize> = Arc::default();
}

/// Also of a thread that ends, whose destructors may have come to what drops or wakes here.
fn is_zero(count: &'static Count) -> bool {
    count
        .try_with(|count| count.load(Ordering::Relaxed))
        .unwrap_or(0)
        == 0
}

/// One that counts until it is dropped, unless the thread is about to end.
struct Counted(Option<Arc<AtomicUsize>>);

impl Counted {
    fn new(count: &'static Count) -> Self {
        let count = count.try_with(Arc::clone).ok();
        if let Some(count) = &count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A waker that its thread keeps.
struct Kept {
    waker: Waker,
    _counted: Counted,
}

impl Wake for Kept {
    fn wake(self: Arc<Self>) {
        self.waker.wake_by_ref();
    }
}

/// Has `waker` woken by the scheduler after its next look at the events; outside a runtime at once.
pub(crate) fn wake_after_events(waker: &Waker) {
    // Yielding leaves the waker to the scheduler; the future has nothing to do after that.
    let yielding = pin!(tokio::task::yield_now());
    let _pending = yielding.poll(&mut Context::from_waker(waker));
}

/// As [`wake_after_events`], but at once where a task [`Apart`] waits to begin, behind which it is
/// queued then: other threads can take it from there.
pub(crate) fn wake_before_others(waker: &Waker) {
    if !is_zero(&WAITING) {
        return waker.wake_by_ref();
    }
    let kept = Kept {
        waker: waker.clone(),
        _counted: Counted::new(&KEPT),
    };
    wake_after_events(&Waker::from(Arc::new(kept)));
}

/// A task that may keep its thread, and begins when that thread keeps nobody.
pub(crate) struct Apart {
    task: BoxFuture<'static, ()>,
    stage: Stage,
}

enum Stage {
    New,
    Waits { _counted: Counted },
    Begun,
}

impl Apart {
    pub(crate) const fn new(task: BoxFuture<'static, ()>) -> Self {
        let stage = Stage::New;
        Self { task, stage }
    }

    fn poll_begin(&mut self, cx: &Context<'_>) -> Poll<()> {
        if matches!(self.stage, Stage::Begun) {
            return Poll::Ready(());
        }
        if is_zero(&KEPT) {
            self.stage = Stage::Begun;
            return Poll::Ready(());
        }
        // The thread wakes this one together with what it keeps, and another thread with it, since
        // it has more than one task then.
        self.stage = Stage::Waits {
            _counted: Counted::new(&WAITING),
        };
        wake_after_events(cx.waker());
        Poll::Pending
    }
}

impl Future for Apart {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_begin(cx));
        self.task.as_mut().poll(cx)
    }
}
