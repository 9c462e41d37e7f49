//! Calls that are made again when they are lost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use outboard_core::rpc::{CallHead, Connection as _, OutMessage, Reply, Status};
use outboard_core::rt::{BoxFuture, SharedRuntime};
use outboard_core::supervisor::Supervision;

use crate::link::{Stable, limited};

/// A unary call of a method that is marked for it.
pub(super) struct Again {
    stable: Arc<Stable>,
    policy: Arc<Supervision>,
    head: CallHead,
    message: OutMessage,
    /// How often it was made again.
    before: u32,
    /// What it failed with when it had been sent.
    lost: Option<Status>,
    call: BoxFuture<'static, Result<Reply<Bytes>, Status>>,
}

impl Again {
    pub(super) fn new(
        runtime: &SharedRuntime,
        stable: Arc<Stable>,
        policy: Arc<Supervision>,
        head: CallHead,
        message: OutMessage,
    ) -> Self {
        // Its limit does not start over.
        let head = limited(head, runtime);
        Self {
            call: stable.unary(head.clone(), message.clone()),
            stable,
            policy,
            head,
            message,
            before: 0,
            lost: None,
        }
    }
}

impl Future for Again {
    type Output = Result<Reply<Bytes>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let status = match ready!(this.call.as_mut().poll(cx)) {
                Ok(reply) => return Poll::Ready(Ok(reply)),
                Err(status) => status,
            };
            // What was not sent has waited already, or there is nothing to wait for.
            let lost = status.is_connection_lost() && !status.is_unsent();
            let marked = this.head.idempotent;
            if !this.policy.tries_again(marked, this.before, lost) {
                return Poll::Ready(Err(match this.lost.take() {
                    // A process may have seen it all the same, and how that ended is why it failed.
                    Some(before) if status.is_connection_lost() && status.is_unsent() => before,
                    _ if this.before > 0 => status.maybe_sent(),
                    _ => status,
                }));
            }
            this.before += 1;
            this.lost = Some(status);
            this.call = this.stable.unary(this.head.clone(), this.message.clone());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use outboard_core::rpc::Code;

    use super::*;
    use crate::broker::tests::Still;
    use crate::link::tests::{Fake, Next, cut, now};

    fn again(stable: &Arc<Stable>, timeout: Option<Duration>) -> Again {
        let runtime = Arc::new(Still::default()) as SharedRuntime;
        let mut head = CallHead::new("/1");
        head.idempotent = true;
        head.timeout = timeout;
        let policy = Arc::new(Supervision::new());
        Again::new(
            &runtime,
            Arc::clone(stable),
            policy,
            head,
            OutMessage::default(),
        )
    }

    fn one(inside: &Arc<Fake>) -> Arc<Stable> {
        let runtime = Arc::new(Still::default()) as SharedRuntime;
        let stable = Stable::of_processes(&runtime, Duration::MAX);
        stable.replace(Arc::clone(inside) as _);
        stable
    }

    #[test]
    fn a_call_that_was_lost_once_and_then_not_taken_is_one_that_was_sent() {
        let refusals = [Next::Untaken; 9];
        let stable = one(&Fake::new("it", [Next::Cut].into_iter().chain(refusals)));
        let status = now(&mut again(&stable, None)).expect("nothing to wait for");
        let status = status.expect_err("nobody takes it");
        assert!(
            status.is_connection_lost() && !status.is_unsent(),
            "{status}"
        );
        assert_eq!(status, cut(), "why it failed first");
    }

    #[test]
    fn so_is_one_whose_time_is_over_while_it_waits() {
        let inside = Fake::new("it", [Next::Cut]);
        let stable = one(&inside);
        // Whatever comes after the first is for the next connection.
        inside.retire();
        let status = now(&mut again(&stable, Some(Duration::ZERO)));
        let status = status.expect("it is late").expect_err("it is late");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(!status.is_unsent(), "{status}");
        assert_eq!(inside.made(), ["/1"]);
    }

    #[test]
    fn one_that_was_never_sent_says_so() {
        let stable = one(&Fake::new("it", [Next::Untaken; 9]));
        let status = now(&mut again(&stable, None)).expect("nothing to wait for");
        assert!(status.expect_err("nobody takes it").is_unsent());
    }
}
