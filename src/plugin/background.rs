//! A plugin that serves in a task of its own, inside a program that does other things as well.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use futures_util::future::{AbortHandle, Abortable};
use outboard_core::plugin::StopReason;
use outboard_core::rt::SharedRuntime;

use super::ServeError;
use super::driver::Driver;

/// Such a plugin. Dropping this ends it at once.
pub(crate) struct Background {
    abort: AbortHandle,
    outcome: oneshot::Receiver<Result<StopReason, ServeError>>,
}

impl Background {
    /// Has it serve.
    pub(super) fn begin(runtime: &SharedRuntime, driver: Driver) -> Self {
        let (abort, registration) = AbortHandle::new_pair();
        let (tell, outcome) = oneshot::channel();
        runtime.spawn(Box::pin(async move {
            // What it holds is gone before anybody is told.
            let ended = Abortable::new(driver, registration).await;
            if let Ok(ended) = ended {
                let _unwanted = tell.send(ended);
            }
        }));
        Self { abort, outcome }
    }

    /// Has it go on without this.
    pub(crate) fn leave(mut self) {
        self.abort = AbortHandle::new_pair().0;
    }

    /// Ends it at once. What runs of it is gone when [`poll`](Self::poll) is ready.
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }

    /// How it ended, once; `None` if it was ended by [`abort`](Self::abort), or its runtime is gone.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<StopReason, ServeError>>> {
        Pin::new(&mut self.outcome).poll(cx).map(Result::ok)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.abort();
    }
}
