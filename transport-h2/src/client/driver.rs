//! The task that reads and writes a client connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::oneshot;
use h2::client;
use outboard_core::rpc::{LostHook, Status};

use super::{Shared, State, closed_here};
use crate::io::Io;

type H2Connection = client::Connection<Io, Bytes>;

/// Owns the connection to its end and then settles what everybody is told.
pub(super) struct Driver {
    shared: Arc<Shared>,
    h2: Option<H2Connection>,
    lost: Option<LostHook>,
    closed: oneshot::Sender<Status>,
}

enum End {
    Aborted(Status),
    Finished(Result<(), h2::Error>),
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        h2: Option<H2Connection>,
        lost: Option<LostHook>,
        closed: oneshot::Sender<Status>,
    ) -> Self {
        Self {
            shared,
            h2,
            lost,
            closed,
        }
    }

    pub(super) async fn run(mut self) {
        let end = poll_fn(|cx| self.poll_end(cx)).await;
        let Self {
            shared,
            h2,
            lost,
            closed,
        } = self;
        // Fails what is in flight and closes the stream of bytes.
        drop(h2);
        let status = match end {
            End::Aborted(status) => status,
            End::Finished(result) => explain(&shared, lost, result).await,
        };
        tracing::debug!(%status, "connection closed");
        let before = std::mem::replace(&mut *shared.state(), State::Closed(status.clone()));
        // The sender's drop takes h2's locks; it has no business under ours.
        drop(before);
        // Nobody may be waiting.
        let _ = closed.send(status);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(status) = poll_aborted(&self.shared, cx) {
            return Poll::Ready(End::Aborted(status));
        }
        match &mut self.h2 {
            Some(h2) => Pin::new(h2).poll(cx).map(End::Finished),
            None => Poll::Ready(End::Finished(Ok(()))),
        }
    }
}

fn poll_aborted(shared: &Shared, cx: &Context<'_>) -> Option<Status> {
    shared.driver.register(cx.waker());
    match &*shared.state() {
        State::Aborted(status) | State::Closed(status) => Some(status.clone()),
        State::Open(_) | State::Draining => None,
    }
}

/// The status of a connection that ended by itself.
async fn explain(shared: &Shared, lost: Option<LostHook>, result: Result<(), h2::Error>) -> Status {
    let drained = matches!(&*shared.state(), State::Draining);
    let cause = match result {
        Ok(()) if drained => return closed_here(),
        Ok(()) => Status::connection_lost("the peer has closed the connection"),
        Err(error) => Status::connection_lost(format!("the connection was lost: {error}")),
    };
    let Some(lost) = lost else {
        return cause;
    };
    let mut explained = lost(cause);
    poll_fn(|cx| match poll_aborted(shared, cx) {
        Some(status) => Poll::Ready(status),
        None => explained.as_mut().poll(cx),
    })
    .await
}
