//! Timers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use crate::support::{Run, block_on, elsewhere, expired, once};

const SOON: Duration = Duration::from_millis(10);
const LATER: Duration = Duration::from_millis(50);
const NEVER: Duration = Duration::from_secs(86_400);

/// A timer is never early by the runtime's own clock.
pub fn fires_not_before_its_deadline(run: Run) {
    run.case(|runtime| async move {
        let deadline = runtime.now() + SOON;
        expired(&mut runtime.timer(deadline)).await;
        assert!(runtime.now() >= deadline);
    });
}

/// Also on the first poll.
pub fn past_deadline_fires_at_once(run: Run) {
    run.case(|runtime| async move {
        let mut now = runtime.timer(runtime.now());
        assert!(once(|cx| now.as_mut().poll_expired(cx)).await.is_ready());
        let past = runtime.now().checked_sub(Duration::from_millis(1));
        let mut past = runtime.timer(past.expect("the clock is not at its start"));
        assert!(once(|cx| past.as_mut().poll_expired(cx)).await.is_ready());
    });
}

/// A reset moves the deadline back while the timer is armed.
pub fn reset_to_later(run: Run) {
    run.case(|runtime| async move {
        let start = runtime.now();
        let mut timer = runtime.timer(start + SOON);
        let _ = once(|cx| timer.as_mut().poll_expired(cx)).await;
        timer.as_mut().reset(start + LATER);
        expired(&mut timer).await;
        assert!(runtime.now() >= start + LATER);
    });
}

/// A reset moves the deadline forwards while the timer is armed.
pub fn reset_to_earlier(run: Run) {
    run.case(|runtime| async move {
        let start = runtime.now();
        let mut timer = runtime.timer(start + NEVER);
        assert!(
            once(|cx| timer.as_mut().poll_expired(cx))
                .await
                .is_pending()
        );
        timer.as_mut().reset(start + SOON);
        expired(&mut timer).await;
        assert!(runtime.now() >= start + SOON);
    });
}

/// As for a new timer, a past deadline means at once.
pub fn reset_to_the_past(run: Run) {
    run.case(|runtime| async move {
        let mut timer = runtime.timer(runtime.now() + NEVER);
        assert!(
            once(|cx| timer.as_mut().poll_expired(cx))
                .await
                .is_pending()
        );
        timer.as_mut().reset(runtime.now());
        assert!(once(|cx| timer.as_mut().poll_expired(cx)).await.is_ready());
    });
}

/// A fired timer is ready on every poll, and usable again after a reset.
pub fn stays_ready_until_reset(run: Run) {
    run.case(|runtime| async move {
        let mut timer = runtime.timer(runtime.now() + SOON);
        for _ in 0..2 {
            expired(&mut timer).await;
            for _ in 0..3 {
                assert!(once(|cx| timer.as_mut().poll_expired(cx)).await.is_ready());
            }
            timer.as_mut().reset(runtime.now() + NEVER);
            assert!(
                once(|cx| timer.as_mut().poll_expired(cx))
                    .await
                    .is_pending()
            );
            timer.as_mut().reset(runtime.now() + SOON);
        }
    });
}

/// A dropped timer wakes nobody.
pub fn drop_disarms(run: Run) {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    run.case(|runtime| async move {
        let start = runtime.now();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut timer = runtime.timer(start + LATER);
        let mut kept = runtime.timer(start + LATER);
        for timer in [&mut timer, &mut kept] {
            let poll = timer
                .as_mut()
                .poll_expired(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
        drop(timer);
        // A wake of this case's own proves that the runtime went past the deadline.
        expired(&mut runtime.timer(start + 2 * LATER)).await;
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    });
}

/// A thread that knows no runtime can make, reset and await timers.
pub fn works_from_any_thread(run: Run) {
    run.case(|runtime| async move {
        elsewhere(move || {
            let mut timer = runtime.timer(runtime.now() + NEVER);
            timer.as_mut().reset(runtime.now() + SOON);
            block_on(expired(&mut timer));
        })
        .await;
    });
}
