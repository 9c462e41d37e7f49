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

    /// It waits no more, for now.
    pub(super) fn rest(&mut self) {
        if self.until.is_some() {
            *self = Self::default();
        }
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
