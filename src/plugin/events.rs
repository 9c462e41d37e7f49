//! What the watching thread tells the plugin's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use outboard_core::hclog::Level;
use outboard_core::lock::{Mutex, Rank};

use crate::services::output::{Dropped, Output};
use crate::sys::events::{Events, Stream};
use crate::sys::stdio;
use crate::sys::{cleanup, files};

/// How long after the host's death the process may take to end by itself. A guess: long enough
/// for the plugin's own drain and clean-up, short enough that nobody meets an orphan.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// The bridge from the watching thread to the plugin's task.
#[derive(Debug, Default)]
pub(crate) struct PluginEvents {
    pub(crate) output: Arc<Output>,
    outlive_host: AtomicBool,
    only_serves: AtomicBool,
    host_gone: Flag,
    released: Flag,
}

impl PluginEvents {
    /// Whether the process lives on without its host.
    pub(crate) fn set_outlive_host(&self, outlive: bool) {
        self.outlive_host.store(outlive, Ordering::Relaxed);
    }

    /// Says that the process has nothing else to do after serving, so that it may be ended then.
    pub(crate) fn set_only_serves(&self) {
        self.only_serves.store(true, Ordering::Relaxed);
    }

    /// Ready, for ever, once the host is gone. Wakes the task that asked last.
    pub(crate) fn poll_host_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.host_gone.poll(cx)
    }

    /// Ready, for ever, once the streams were given back and all that was printed before is in
    /// [`output`](Self::output). Wakes the task that asked last.
    pub(crate) fn poll_released(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.released.poll(cx)
    }
}

/// Something that happens once, and a task that waits for it.
#[derive(Debug)]
struct Flag(Mutex<(bool, Option<Waker>)>);

impl Default for Flag {
    fn default() -> Self {
        Self(Mutex::new(Rank::Driver, (false, None)))
    }
}

impl Flag {
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.0 {
            return Poll::Ready(());
        }
        let earlier = state.1.replace(cx.waker().clone());
        drop(state);
        // It may be the last of a task.
        drop(earlier);
        Poll::Pending
    }
}

impl Events for PluginEvents {
    fn printed(&self, stream: Stream, bytes: &[u8]) {
        if let Some(Dropped { now, in_all }) = self.output.push(stream, bytes) {
            // Once per doubling: a program that prints without end must not flood the log too.
            let before = in_all - now;
            if before == 0 || before.ilog2() != in_all.ilog2() {
                crate::log::write(
                    Level::Warn,
                    "outboard",
                    &format!(
                        "nobody reads what this plugin prints: {in_all} bytes of its output were \
                         dropped so far"
                    ),
                );
            }
        }
    }

    fn host_gone(&self) -> Option<Duration> {
        self.host_gone.set();
        let outlives = self.outlive_host.load(Ordering::Relaxed);
        if outlives {
            // What the log's pipe holds comes before the news of what is missing.
            stdio::log_is_unread();
            self.output.leave();
        }
        (!outlives).then_some(ORPHAN_GRACE)
    }

    fn orphaned(&self) {
        // Whatever holds the process up, nobody is left to ask it for anything.
        files::try_remove_all();
        cleanup::end_now(1);
    }

    fn released(&self) -> bool {
        self.released.set();
        self.only_serves.load(Ordering::Relaxed) && !self.outlive_host.load(Ordering::Relaxed)
    }

    fn unsent_stderr(&self) -> Vec<u8> {
        self.output.take_unsent()
    }

    fn keeps_log(&self) -> bool {
        self.outlive_host.load(Ordering::Relaxed)
    }

    fn log(&self, line: &[u8]) -> Option<Waker> {
        self.output.log(line)
    }

    fn log_before_all(&self, lines: &[u8]) -> Option<Waker> {
        self.output.log_before_all(lines)
    }

    fn first_logged(&self) -> Option<(Option<String>, i64, Bytes)> {
        self.output.first_logged()
    }

    fn told_logged(&self) {
        self.output.told_logged();
    }

    fn logged(&self, number: i64) {
        self.output.logged(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plugin_that_goes_with_its_host_is_given_a_limit() {
        let events = PluginEvents::default();
        assert_eq!(events.host_gone(), Some(ORPHAN_GRACE));
        events.set_outlive_host(true);
        assert_eq!(events.host_gone(), None);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(events.poll_host_gone(&mut cx).is_ready());
        assert!(events.poll_released(&mut cx).is_pending());
    }

    #[test]
    fn after_serving_the_host_matters_only_to_a_plugin_that_only_serves() {
        let events = PluginEvents::default();
        assert!(!events.released(), "it may have other things to do");
        events.set_only_serves();
        assert!(events.released());
        events.set_outlive_host(true);
        assert!(!events.released());
        events.set_outlive_host(false);
        assert!(events.released());
    }
}
