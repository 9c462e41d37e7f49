//! What the watching thread tells the plugin's task.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use outboard_core::hclog::Level;

use super::output::Output;
use crate::sys::stdio::{Events, Stream};

/// The bridge from the watching thread to the plugin's task.
#[derive(Debug, Default)]
pub(crate) struct PluginEvents {
    pub(crate) output: Arc<Output>,
    host: Mutex<Host>,
}

#[derive(Debug, Default)]
struct Host {
    gone: bool,
    waker: Option<Waker>,
}

impl PluginEvents {
    /// Ready, for ever, once the host is gone. Wakes the task that asked last.
    pub(crate) fn poll_host_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if host.gone {
            return Poll::Ready(());
        }
        host.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Events for PluginEvents {
    fn printed(&self, stream: Stream, bytes: &[u8]) {
        if let Some(lost) = self.output.push(stream, bytes) {
            // Once per doubling: a program that prints without end must not flood the log too.
            let before = lost - bytes.len() as u64;
            if before == 0 || before.ilog2() != lost.ilog2() {
                crate::log::write(
                    Level::Warn,
                    "outboard",
                    &format!(
                        "nobody reads what this plugin prints: {lost} bytes of its output were \
                         dropped so far"
                    ),
                );
            }
        }
    }

    fn host_gone(&self) {
        let waker = {
            let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
            host.gone = true;
            host.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
