//! What every transport wraps its calls in: panics and deadlines. Pure combinators, no IO.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{CallHead, Code, Status};
use crate::rt::{Runtime, Timer};

/// The target of the records in which transports tell that a handler panicked. A program that has
/// told of the panic already, from its hook, leaves them out by it.
pub const PANIC_TARGET: &str = "outboard::panic";

/// Code of the user's panicked.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {message}")]
pub struct Panicked {
    /// What the panic said, if it was a text.
    pub message: String,
}

/// Whose code a transport runs for a call. Prints as the subject of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// The handler of the method with this path, or the stream it answers with.
    Handler(&'a str),
    /// The stream of requests that the caller of the method with this path made.
    Requests(&'a str),
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(path) => write!(f, "the handler of {path}"),
            Self::Requests(path) => write!(f, "the caller's stream of requests to {path}"),
        }
    }
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

    /// What the call fails with: `INTERNAL`, and a text that says whose code it was.
    #[must_use]
    pub fn status(&self, whose: Whose<'_>) -> Status {
        Status::internal(format!("{whose} {self}"))
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

/// A future or stream of the user's. Its drop, too, is code of the user's: a panic in it ends there,
/// and not the task that lets go of it.
#[derive(Debug)]
pub struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    /// Guards the drop of `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: ?Sized> Guarded<Pin<Box<T>>> {
    /// What is inside, to poll it within [`catch_panic`].
    pub fn as_mut(&mut self) -> Pin<&mut T> {
        let inner = self.0.as_mut().expect("there until it is dropped");
        inner.as_mut()
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let inner = self.0.take();
        // The hook for panics has told of it, and the call is over.
        let _ = catch_panic(move || drop(inner));
    }
}

/// The time by which a call must be done, if there is one. The timer is made when something first has
/// to wait.
#[derive(Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<dyn Timer>>>,
}

impl Deadline {
    /// A deadline at this time. Without one it is never over, and costs nothing.
    #[must_use]
    pub const fn new(at: Option<Instant>) -> Self {
        Self { at, timer: None }
    }

    /// That of a call which begins now, with this head. The clock is read only if there is a limit.
    #[must_use]
    pub fn of(runtime: &dyn Runtime, head: &CallHead) -> Self {
        if head.timeout.is_none() && head.deadline.is_none() {
            return Self::default();
        }
        Self::new(head.deadline_from(runtime.now()))
    }

    /// The time that is left, if it is limited.
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED` if there is none.
    pub fn left(&self, runtime: &dyn Runtime) -> Result<Option<Duration>, Status> {
        let Some(at) = self.at else {
            return Ok(None);
        };
        match at.saturating_duration_since(runtime.now()) {
            Duration::ZERO => Err(deadline_exceeded()),
            left => Ok(Some(left)),
        }
    }

    /// What the caller is told if the peer ends its call with this: one that keeps the deadline, too,
    /// may be the first to say so, by cancelling.
    #[must_use]
    pub fn explain(&self, runtime: &dyn Runtime, status: Status) -> Status {
        if status.code() == Code::Cancelled && self.has_passed(runtime) {
            return deadline_exceeded();
        }
        status
    }

    /// Ready once the time has passed. Cancel-safe.
    pub fn poll_over(&mut self, runtime: &dyn Runtime, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        // The clock counts, not the timer alone: a timer may fire late under load.
        if runtime.now() >= at {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| runtime.timer(at));
        timer.as_mut().poll_expired(cx)
    }

    /// Whether the time has passed.
    #[must_use]
    pub fn has_passed(&self, runtime: &dyn Runtime) -> bool {
        self.at.is_some_and(|at| runtime.now() >= at)
    }
}

/// The status of a call whose deadline has passed, on either side.
#[must_use]
pub fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("the deadline passed before the call was done")
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("at", &self.at).finish()
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
    fn a_status_says_whose_code_panicked() {
        let panicked = catch_panic(|| panic!("over the edge")).map(|(): ()| ());
        let panicked = panicked.expect_err("it panicked");
        assert_eq!(
            panicked.status(Whose::Handler("/a.B/C")).to_string(),
            "INTERNAL: the handler of /a.B/C panicked: over the edge"
        );
        assert_eq!(
            panicked.status(Whose::Requests("/a.B/C")).to_string(),
            "INTERNAL: the caller's stream of requests to /a.B/C panicked: over the edge"
        );
    }

    #[test]
    fn a_guarded_drop_panics_for_itself() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        drop(Guarded::new(Bomb));
        // Also while another panic unwinds.
        let panicked = catch_panic(|| {
            let _bomb = Guarded::new(Bomb);
            panic!("first");
        });
        assert_eq!(
            panicked.map(|(): ()| ()).expect_err("it panicked").message,
            "first"
        );
    }
}
