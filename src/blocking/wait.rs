//! A thread that waits for a future.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use outboard_core::rpc::Status;

use crate::serve::context;

/// Whether a thread that is to wait has been woken.
struct Alarm {
    thread: Thread,
    rung: AtomicBool,
}

impl Alarm {
    fn of_this_thread() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            rung: AtomicBool::new(false),
        })
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

/// Tells a handler that nobody waits for its answer any more, and ends what it waits for.
#[derive(Debug, Default)]
pub(super) struct Cancel {
    cancelled: AtomicBool,
    /// The one that runs the handler, once one does.
    thread: OnceLock<Thread>,
}

impl Cancel {
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        // One that comes later looks before it waits.
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

thread_local! {
    /// That of the handler which this thread runs.
    static PRESENT: Cell<Option<Arc<Cancel>>> = const { Cell::new(None) };
    /// Kept for the next time: making one costs more than most waits.
    static ALARM: Cell<Option<Arc<Alarm>>> = const { Cell::new(None) };
}

/// Makes this the thread of a handler until it is dropped.
pub(super) struct Handling {
    before: Option<Arc<Cancel>>,
}

impl Handling {
    pub(super) fn begin(cancel: Arc<Cancel>) -> Self {
        // A job runs on one thread.
        let _first = cancel.thread.set(thread::current());
        Self {
            before: PRESENT.replace(Some(cancel)),
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        PRESENT.set(self.before.take());
    }
}

/// That of the handler that this thread runs, if it runs one.
fn present() -> Option<Arc<Cancel>> {
    let cancel = PRESENT.take();
    PRESENT.set(cancel.clone());
    cancel
}

/// Whether the handler that this thread runs has lost its caller.
pub(super) fn is_cancelled() -> bool {
    present().is_some_and(|cancel| cancel.is_cancelled())
}

/// Panics where a thread that blocks would hold up tasks, among which may be those that it waits for.
#[track_caller]
pub(super) fn assert_may_block() {
    outboard_core::lock::assert_unlocked("a blocking call");
    if outboard_runtime_smol::is_driving() {
        blocked("a thread that runs async tasks");
    }
    #[cfg(feature = "tokio")]
    if crate::Tokio::try_current().is_ok() {
        // Knows its threads that may.
        return outboard_runtime_tokio::assert_may_block();
    }
    if context::is_answering() && present().is_none() {
        blocked("an async handler");
    }
}

#[track_caller]
fn blocked(place: &str) -> ! {
    panic!(
        "a blocking call of outboard in {place} would hold up everything there: use the async client, or \
         make the call on a thread of its own"
    );
}

/// The output of `future`, for which this thread waits however long it takes.
///
/// # Panics
/// In async code.
#[track_caller]
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    assert_may_block();
    let never = wait_until(future, None, None);
    never.unwrap_or_else(|_: Early| unreachable!("neither of the two is set"))
}

/// The same, without looking where it is called: for drops, which must not panic.
pub(super) fn wait_anywhere<F: Future>(future: F) {
    if !outboard_runtime_smol::is_driving() {
        let _output = wait_until(future, None, None);
    }
}

/// The same, if it comes within the time.
///
/// # Panics
/// In async code.
#[track_caller]
pub(super) fn wait_within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    assert_may_block();
    // A limit that no clock can hold is none.
    let until = Instant::now().checked_add(limit);
    wait_until(future, until, None).ok()
}

/// What a call comes to. In a handler whose caller is gone it is over at once.
///
/// # Panics
/// In async code.
#[track_caller]
pub(super) fn wait_for_call<T>(
    future: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    assert_may_block();
    let cancel = present();
    wait_until(future, None, cancel.as_deref()).unwrap_or_else(|_: Early| {
        let text =
            "the handler that waits for this has lost its caller: nobody wants its answer any more";
        Err(Status::cancelled(text))
    })
}

/// The wait was over before the future.
struct Early;

fn wait_until<F: Future>(
    future: F,
    until: Option<Instant>,
    cancel: Option<&Cancel>,
) -> Result<F::Output, Early> {
    let mut future = pin!(future);
    // One that waits within a wait finds none here, and makes its own.
    let alarm = ALARM.take().unwrap_or_else(Alarm::of_this_thread);
    let waker = Waker::from(Arc::clone(&alarm));
    let mut cx = Context::from_waker(&waker);
    let output = loop {
        // Before the poll: what rings meanwhile is for the next.
        alarm.rung.store(false, Ordering::SeqCst);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            break Ok(output);
        }
        if !sleep(&alarm, until, cancel) {
            break Err(Early);
        }
    };
    ALARM.set(Some(alarm));
    output
}

/// Waits for the alarm. False if something else has ended that.
fn sleep(alarm: &Alarm, until: Option<Instant>, cancel: Option<&Cancel>) -> bool {
    // The park may end for any other reason.
    while !alarm.rung.load(Ordering::SeqCst) {
        if cancel.is_some_and(Cancel::is_cancelled) {
            return false;
        }
        let Some(until) = until else {
            thread::park();
            continue;
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::park_timeout(left);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;

    use futures_channel::oneshot;

    use super::*;

    fn panic_of(work: impl FnOnce()) -> String {
        let panicked = catch_unwind(AssertUnwindSafe(work)).expect_err("it panics");
        let text = panicked.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| (*panicked.downcast_ref::<&str>().expect("a text")).to_owned())
    }

    #[test]
    fn what_comes_from_another_thread_ends_the_wait() {
        let (sender, receiver) = oneshot::channel();
        let (begun, begins) = mpsc::channel();
        let other = thread::spawn(move || {
            begins.recv().expect("it waits");
            sender.send(7).expect("it still waits");
        });
        let waiting = async {
            begun.send(()).expect("there");
            receiver.await
        };
        assert_eq!(wait(waiting), Ok(7));
        other.join().expect("it ends");
    }

    #[test]
    fn a_wake_up_during_the_poll_is_not_lost_nor_one_within_another_wait() {
        let mut polls = 0;
        let twice = poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            // Uses up what a thread can note of being woken.
            wait_until(ready(()), None, None).ok();
            thread::park_timeout(Duration::from_millis(1));
            Poll::Pending
        });
        wait(twice);
        assert_eq!(polls, 2);
    }

    #[test]
    fn a_wait_has_an_end_if_it_is_given_one() {
        assert_eq!(wait_within(Duration::from_millis(1), pending::<()>()), None);
        assert_eq!(wait_within(Duration::MAX, ready(1)), Some(1));
    }

    #[test]
    fn what_a_handler_waits_for_ends_with_its_caller_before_and_during_the_wait() {
        let cancel = Arc::new(Cancel::default());
        let _handling = Handling::begin(Arc::clone(&cancel));
        assert!(!is_cancelled());
        let waited = wait_for_call(async {
            let other = Arc::clone(&cancel);
            thread::spawn(move || other.cancel());
            pending::<Result<(), Status>>().await
        });
        let code = waited.expect_err("it is cancelled").code();
        assert_eq!(code, crate::Code::Cancelled);
        assert!(is_cancelled());
        let again = wait_for_call(pending::<Result<(), Status>>());
        assert_eq!(
            again.expect_err("it still is").code(),
            crate::Code::Cancelled
        );
        assert_eq!(wait_for_call(ready(Ok(3))), Ok(3), "what is there is there");
    }

    #[test]
    fn in_async_code_it_panics_instead() {
        let text = panic_of(|| crate::Smol::block_on(|_| async { wait(ready(())) }));
        assert!(text.contains("use the async client"), "{text}");
        assert!(!outboard_runtime_smol::is_driving(), "afterwards it may");
        wait(ready(()));
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn in_a_task_of_tokio_it_panics_and_on_its_threads_for_blocking_it_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let text = panic_of(|| runtime.block_on(async { wait(ready(())) }));
        assert!(text.contains("within a runtime"), "{text}");
        let elsewhere = async { tokio::task::spawn_blocking(|| wait(ready(5))).await };
        assert_eq!(runtime.block_on(elsewhere).expect("it ends"), 5);
    }
}
