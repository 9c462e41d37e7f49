//! Closing a connection that was lost, with an explanation.

use std::fmt;
use std::task::{Context, Poll};

use super::guard::{Guarded, catch_panic};
use super::{LostHook, Status};
use crate::rt::BoxFuture;

/// Asks the [`LostHook`] of a connection why it was lost. A hook that panics has nothing to say, and the
/// calls that wait for it fail with what is known without.
pub struct Explaining {
    lost: Status,
    /// None if there is nobody to ask.
    answer: Option<Guarded<BoxFuture<'static, Status>>>,
}

impl Explaining {
    /// Asks about a connection that was lost with this status.
    #[must_use]
    pub fn new(hook: Option<LostHook>, lost: Status) -> Self {
        let answer = hook.and_then(|hook| {
            let answer = catch_panic(|| hook(lost.clone()));
            // It is not ours, and neither is its drop.
            let _ = catch_panic(|| drop(hook));
            answer.ok().map(Guarded::new)
        });
        Self { lost, answer }
    }

    /// Ready with the status that calls are to fail with.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(self.lost.clone());
        };
        catch_panic(|| answer.as_mut().poll(cx)).unwrap_or_else(|_| Poll::Ready(self.lost.clone()))
    }
}

impl fmt::Debug for Explaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explaining")
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};
    use std::sync::Arc;
    use std::task::Waker;

    use super::*;

    fn explained(hook: Option<LostHook>) -> Poll<Status> {
        let mut explaining = Explaining::new(hook, Status::connection_lost("cut"));
        explaining.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_hook_says_it_better() {
        let cut = Status::connection_lost("cut");
        assert_eq!(explained(None), Poll::Ready(cut.clone()));
        let hook: LostHook = Arc::new(|lost| {
            let better = Status::connection_lost(format!("{}, by a storm", lost.message()));
            Box::pin(ready(better))
        });
        let better = Status::connection_lost("cut, by a storm");
        assert_eq!(explained(Some(hook)), Poll::Ready(better));
        let slow: LostHook = Arc::new(|_| Box::pin(std::future::pending()));
        assert_eq!(explained(Some(slow)), Poll::Pending);
        // One that panics has nothing to say.
        let panics: LostHook = Arc::new(|_| panic!("at once"));
        assert_eq!(explained(Some(panics)), Poll::Ready(cut.clone()));
        let panics: LostHook = Arc::new(|_| Box::pin(poll_fn(|_| panic!("later"))));
        assert_eq!(explained(Some(panics)), Poll::Ready(cut));
    }
}
