//! The task that reads and writes a client connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client;
use outboard_core::rpc::{Explaining, LostHook, Spin, Status};
use outboard_core::rt::Timer;

use super::{Shared, State, closed_here};
use crate::io::{Flusher, Io};
use crate::keepalive::Pinger;
use outboard_core::told::Teller;

type H2Connection = client::Connection<Io, Bytes>;

/// Owns the connection to its end and then settles what everybody is told.
pub(super) struct Driver {
    shared: Arc<Shared>,
    h2: Option<H2Connection>,
    pinger: Option<Pinger>,
    flusher: Flusher,
    /// Nothing can be written any more; what the peer sent before is still read for a while.
    broken: Option<(io::Error, Pin<Box<dyn Timer>>)>,
    lost: Option<LostHook>,
    closed: Teller<Status>,
    spin: Spin,
    heard: bool,
    greeted: bool,
}

/// How long answers are read for after a write has failed. As a rule the end of the stream comes
/// at once; this is for a peer that stopped reading but keeps the connection.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

enum End {
    Aborted(Status),
    Finished(Result<(), h2::Error>),
    /// Nothing can be written any more.
    Broken(io::Error),
    /// The peer does not answer, for this reason.
    Silent(String),
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        h2: Option<H2Connection>,
        pinger: Option<Pinger>,
        flusher: Flusher,
        lost: Option<LostHook>,
        closed: Teller<Status>,
        spin: Spin,
    ) -> Self {
        Self {
            shared,
            h2,
            pinger,
            flusher,
            broken: None,
            lost,
            closed,
            spin,
            heard: false,
            greeted: false,
        }
    }

    pub(super) async fn run(mut self) {
        let end = poll_fn(|cx| {
            let end = self.poll_end(cx);
            if end.is_pending() {
                let runtime = &self.shared.runtime;
                self.flusher.spin(&mut self.spin, runtime, cx);
            }
            end
        })
        .await;
        let Self {
            shared,
            h2,
            flusher,
            lost,
            closed,
            ..
        } = self;
        // A peer that closes first may have cut calls off, which are then told why, also while this
        // side drains.
        let drained = matches!(&end, End::Finished(Ok(())))
            && matches!(&*shared.state(), State::Draining)
            && !flusher.peer_has_ended();
        // Fails what is in flight and closes the stream of bytes.
        drop((h2, flusher));
        // Why it was lost can take a while to learn. Whoever has another connection for the calls
        // begins with it at once.
        if !drained && !matches!(&end, End::Aborted(_)) {
            shared.take_no_more();
        }
        let status = match end {
            End::Aborted(status) => status,
            End::Finished(Ok(())) if drained => closed_here(),
            End::Finished(Ok(())) => explain(&shared, lost, None).await,
            End::Finished(Err(error)) => explain(&shared, lost, Some(error.to_string())).await,
            End::Broken(error) => explain(&shared, lost, Some(error.to_string())).await,
            End::Silent(reason) => explain(&shared, lost, Some(reason)).await,
        };
        tracing::debug!(%status, "connection closed");
        let before = {
            let mut state = shared.state();
            let after = match &*state {
                State::Draining if drained => State::Drained,
                State::Open(_)
                | State::Retired(_)
                | State::Draining
                | State::Drained
                | State::Aborted(_)
                | State::Closed(_) => State::Closed(status.clone()),
            };
            std::mem::replace(&mut *state, after)
        };
        // The sender's drop takes h2's locks; it has no business under ours.
        drop(before);
        // First, for those who wait for one of the others and then want to know why.
        closed.tell(status);
        shared.retiring.tell(());
        shared.heard.tell(());
        shared.greeted.tell(());
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(status) = poll_aborted(&self.shared, cx) {
            return Poll::Ready(End::Aborted(status));
        }
        let Some(h2) = &mut self.h2 else {
            return Poll::Ready(End::Finished(Ok(())));
        };
        if let Poll::Ready(result) = Pin::new(h2).poll(cx) {
            self.flusher.wake_others();
            return Poll::Ready(End::Finished(result));
        }
        if !self.heard && self.flusher.has_heard() {
            self.heard = true;
            self.shared.heard.tell(());
        }
        if !self.greeted
            && let Some(greeted) = self.flusher.take_greeted()
        {
            self.greeted = true;
            if let Some(streams) = greeted.max_streams {
                // A server greets once.
                let _ = self.shared.max_calls.set(streams);
            }
            self.shared.greeted.tell(());
        }
        self.shared.check_retired();
        if let Poll::Ready(Err(error)) = self.flusher.poll_flush(cx) {
            let until = self.shared.runtime.now() + LAST_ANSWERS;
            self.broken = Some((error, self.shared.runtime.timer(until)));
        }
        let Some((_, timer)) = &mut self.broken else {
            let Some(pinger) = &mut self.pinger else {
                return Poll::Pending;
            };
            let heard = self.flusher.take_alive();
            ready!(pinger.poll_silent(heard, &self.shared.runtime, cx));
            return Poll::Ready(End::Silent(pinger.reason()));
        };
        ready!(timer.as_mut().poll_expired(cx));
        let error = self.broken.take().map(|(error, _)| error);
        Poll::Ready(End::Broken(
            error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        ))
    }
}

fn poll_aborted(shared: &Shared, cx: &Context<'_>) -> Option<Status> {
    shared.driver.register(cx.waker());
    match &*shared.state() {
        State::Aborted(status) | State::Closed(status) => Some(status.clone()),
        State::Open(_) | State::Retired(_) | State::Draining | State::Drained => None,
    }
}

/// The status of a connection that the peer ended, with an error or well.
async fn explain(shared: &Shared, lost: Option<LostHook>, error: Option<String>) -> Status {
    let cause = match error {
        None => Status::connection_lost("the peer has closed the connection"),
        Some(error) => Status::connection_lost(format!("the connection was lost: {error}")),
    };
    let mut explaining = Explaining::new(lost, cause);
    poll_fn(|cx| match poll_aborted(shared, cx) {
        Some(status) => Poll::Ready(status),
        None => explaining.poll(cx),
    })
    .await
}
