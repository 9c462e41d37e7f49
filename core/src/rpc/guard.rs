//! What every transport wraps its calls in: panics and deadlines. Pure combinators, no IO.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::rt::{Runtime, Timer};

/// The target of the records in which transports tell that a handler panicked. A program that has
/// told of the panic already, from its hook, leaves them out by it.
pub const PANIC_TARGET: &str = "outboard::panic";

/// A handler panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {message}")]
pub struct Panicked {
    /// What the panic said, if it was a text.
    pub message: String,
}

impl Panicked {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self {
            message: message.unwrap_or_else(|| "(no text)".to_owned()),
        }
    }
}

/// Runs `work` and catches its panic.
///
/// Whatever `work` holds must not be used after a panic: it may be half changed. Transports drop
/// the handler then.
///
/// # Errors
/// [`Panicked`]
///
/// # Panics
/// With debug assertions, if this thread holds a [lock](crate::lock) of outboard: `work` is code of
/// others.
#[track_caller]
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    crate::lock::assert_unlocked("code whose panics are caught");
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked::new(payload.as_ref()))
}

/// The time by which a call must be done, if there is one.
#[derive(Default)]
pub struct Deadline {
    timer: Option<Pin<Box<dyn Timer>>>,
}

impl Deadline {
    /// A deadline at this time. Without one it is never over, and costs nothing.
    #[must_use]
    pub fn new(runtime: &dyn Runtime, at: Option<Instant>) -> Self {
        Self {
            timer: at.map(|at| runtime.timer(at)),
        }
    }

    /// Ready once the time has passed. Cancel-safe.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll_expired(cx),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("set", &self.timer.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_text() {
        let text = catch_panic(|| panic!("no {}", 1)).map(|(): ()| ());
        assert_eq!(text.expect_err("it panicked").message, "no 1");
        assert_eq!(catch_panic(|| 1), Ok(1));
    }

    #[test]
    fn no_deadline_is_never_over() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Deadline::default().poll_over(&mut cx).is_pending());
    }
}
