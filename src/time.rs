//! Waiting, on any runtime.

use std::future::{Future, poll_fn};
use std::time::Duration;

use outboard_core::rt::SharedRuntime;

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
