//! How long a call waits for the next connection.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use outboard_core::rpc::Status;

use super::{Kind, Shared};
use crate::time::Alarm;

/// The limits of one that waits: its own deadline, and that of all.
#[derive(Default)]
pub(super) struct Patience {
    alarm: Alarm,
    /// When that of all is over; known once it waits.
    until: Option<Instant>,
}

impl Patience {
    /// Ready when it has waited too long, with the status that it fails with.
    pub(super) fn poll(
        &mut self,
        shared: &Shared,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Status> {
        let runtime = &shared.runtime;
        let limit = shared.kind.patience();
        if self.until.is_none()
            && let Some(limit) = limit
        {
            self.until = runtime.now().checked_add(limit);
        }
        let first = [deadline, self.until].into_iter().flatten().min();
        let over = self.alarm.poll(runtime, first, cx);
        over.map(|_| match limit {
            Some(limit) if deadline.is_none() || deadline > first => no_process(limit),
            _ => too_late(),
        })
    }

    /// It waits no more, for now. What it has waited counts: connections that come and go without taking the
    /// call do not have it wait for longer than all do.
    pub(super) fn rest(&mut self) {
        self.alarm = Alarm::default();
    }
}

impl Kind {
    fn patience(self) -> Option<Duration> {
        match self {
            Self::OfPeer | Self::OfProcesses(Duration::MAX) => None,
            Self::OfProcesses(limit) => Some(limit),
        }
    }
}

fn too_late() -> Status {
    let text = "the deadline passed while the call waited for a lost connection to come back";
    Status::deadline_exceeded(text).unsent()
}

fn no_process(limit: Duration) -> Status {
    let text = format!(
        "the call waited {limit:?} for a process of the plugin to be there, which is as long as \
         Supervision::waiting lets it"
    );
    Status::connection_lost(text).unsent()
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::Arc;

    use futures_util::task::noop_waker_ref;
    use outboard_core::rt::SharedRuntime;

    use super::*;
    use crate::broker::tests::Still;
    use crate::link::Stable;

    #[test]
    fn connections_that_take_nothing_do_not_have_a_call_wait_for_longer() {
        let runtime = Arc::new(Still::default()) as SharedRuntime;
        let limit = Duration::from_secs(30);
        let stable = Stable::of_processes(&runtime, limit);
        let mut patience = Patience::default();
        let mut cx = Context::from_waker(noop_waker_ref());
        assert!(patience.poll(&stable.0, None, &mut cx).is_pending());
        let until = patience.until;
        assert!(until.is_some_and(|until| until <= runtime.now() + limit));
        // It found one, which did not take it.
        patience.rest();
        assert!(patience.poll(&stable.0, None, &mut cx).is_pending());
        assert_eq!(patience.until, until);
    }
}
