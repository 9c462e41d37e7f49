//! Taking connections, for the listener of a plugin and for those of brokers.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream as _;
use futures_util::future::{AbortHandle, Abortable, Aborted};
use futures_util::stream::FuturesUnordered;
use outboard_core::acceptor::{self as machine, AcceptorAction, AcceptorConfig, AcceptorInput};
use outboard_core::admission::Stranger;
use outboard_core::rt::{Accepted, BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::turn::Turn;

use super::Opened;
use crate::sys::access;
use crate::sys::reserve::{self, Reserve};
use crate::time::Alarm;

/// What is done with a stream before calls can be served on it, such as a handshake of TLS.
pub(crate) trait Prepare: Send + Sync + fmt::Debug + 'static {
    /// The stream that carries the calls. It may take its time; whoever asked for it does not wait
    /// for ever, and drops it.
    fn prepare(&self, io: BoxByteStream) -> BoxFuture<'static, io::Result<BoxByteStream>>;
}

/// A socket that listens, with its file. Dropping it closes the one and removes the other, and with
/// it what is being prepared.
///
/// How many connections are prepared at once, and for how long, is decided by
/// [`outboard_core::acceptor`]. One that is slow holds up no other.
///
/// Who has connected to a unix socket is looked at before anything is read: a stranger is hung up on, see
/// [`outboard_core::admission`].
///
/// Without a descriptor the system accepts nobody, and leaves who has connected waiting for ever. So
/// one is held in reserve: whoever comes then is hung up on, and this side's log says why.
pub(crate) struct Acceptor {
    runtime: SharedRuntime,
    /// What it takes connections to, for what is logged.
    what: &'static str,
    opened: Opened,
    reserve: Reserve,
    machine: machine::Acceptor,
    alarm: Alarm,
    /// `None`: a stream is ready as it comes.
    prepare: Option<Arc<dyn Prepare>>,
    preparing: FuturesUnordered<Abortable<Preparing>>,
    /// How to give up each of these, by number.
    given_up: BTreeMap<u64, AbortHandle>,
    last_number: u64,
    /// What is taken before other tasks get their turn.
    turn: Turn,
    /// Connections that were taken only to be closed, for want of a descriptor.
    hung_up: u64,
    /// Connections that were closed because they could not be prepared.
    unprepared: u64,
    /// Connections that were closed because nobody has let in who made them.
    strangers: u64,
}

/// A connection being prepared, with its number.
type Preparing = BoxFuture<'static, (u64, io::Result<BoxByteStream>)>;

impl Acceptor {
    pub(crate) fn new(
        runtime: &SharedRuntime,
        what: &'static str,
        opened: Opened,
        prepare: Option<Arc<dyn Prepare>>,
    ) -> Self {
        Self {
            runtime: Arc::clone(runtime),
            what,
            opened,
            reserve: Reserve::keep(),
            machine: machine::Acceptor::new(AcceptorConfig::default()),
            alarm: Alarm::default(),
            prepare,
            preparing: FuturesUnordered::new(),
            given_up: BTreeMap::new(),
            last_number: 0,
            turn: Turn::new(),
            hung_up: 0,
            unprepared: 0,
            strangers: 0,
        }
    }

    /// The next connection that is ready for calls.
    ///
    /// What fails is logged and costs only its own connection. After a number of connections it is
    /// pending once, with the waker woken: a peer that connects without end must not keep the thread
    /// from others.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<BoxByteStream> {
        loop {
            if let Poll::Ready(io) = self.poll_prepared(cx) {
                return Poll::Ready(io);
            }
            if !self.machine.takes_more() {
                // The timer, or the end of one that is being prepared, wakes the task.
                return Poll::Pending;
            }
            let io = ready!(self.poll_accept(cx));
            let Some(io) = io else { continue };
            match &self.prepare {
                None => return Poll::Ready(io),
                Some(prepare) => {
                    let prepared = prepare.prepare(io);
                    self.begin(prepared);
                }
            }
        }
    }

    fn begin(&mut self, prepared: BoxFuture<'static, io::Result<BoxByteStream>>) {
        self.last_number += 1;
        let number = self.last_number;
        let (handle, registration) = AbortHandle::new_pair();
        let preparing: Preparing = Box::pin(async move { (number, prepared.await) });
        self.preparing.push(Abortable::new(preparing, registration));
        self.given_up.insert(number, handle);
        self.input(AcceptorInput::Begun(number));
    }

    fn input(&mut self, input: AcceptorInput) {
        let now = self.runtime.now();
        self.machine.handle(now, input);
    }

    /// What has become ready. Gives up what takes too long, and looks whether a pause is over.
    fn poll_prepared(&mut self, cx: &mut Context<'_>) -> Poll<BoxByteStream> {
        loop {
            let wanted = self.machine.poll_timeout().map(|(at, _)| at);
            if let Poll::Ready(now) = self.alarm.poll(&self.runtime, wanted, cx) {
                self.machine.handle_timeout(now);
                while let Some(AcceptorAction::GiveUp(number)) = self.machine.poll_action() {
                    if let Some(handle) = self.given_up.remove(&number) {
                        handle.abort();
                    }
                    self.note_unprepared(&"its time is over");
                }
                continue;
            }
            match ready!(Pin::new(&mut self.preparing).poll_next(cx)) {
                // None is being prepared.
                None => return Poll::Pending,
                Some(Err(Aborted)) => {}
                Some(Ok((number, prepared))) => {
                    self.given_up.remove(&number);
                    self.input(AcceptorInput::Ended(number));
                    match prepared {
                        Ok(io) => return Poll::Ready(io),
                        Err(error) => self.note_unprepared(&error),
                    }
                }
            }
        }
    }

    /// The next connection that the system gives; `None` if it gave something else and is to be asked
    /// again.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<BoxByteStream>> {
        let Self {
            opened,
            turn,
            runtime,
            ..
        } = self;
        let accept = |cx: &mut Context<'_>| opened.listener.poll_accept(cx);
        let accepted = turn.poll_next(Turn::ROUND, cx, || runtime.stopwatch(), accept);
        let error = match ready!(accepted) {
            Ok(accepted) => return Poll::Ready(self.admit(accepted)),
            // It was gone before it was accepted.
            Err(error) if concerns_one(&error) => return Poll::Ready(None),
            Err(error) => error,
        };
        if reserve::is_used_up(&error) {
            // The system says so before it looks whether there is a connection.
            match ready!(self.hang_up(cx)) {
                Ok(()) => {
                    self.note_hung_up(&error);
                    return Poll::Ready(None);
                }
                Err(error) => self.note_failed(&error),
            }
        } else {
            self.note_failed(&error);
        }
        self.input(AcceptorInput::AcceptFailed);
        Poll::Ready(None)
    }

    /// The connection, unless it is a stranger's.
    fn admit(&mut self, accepted: Accepted) -> Option<BoxByteStream> {
        let Accepted { io, peer, .. } = accepted;
        if let Some(admission) = &self.opened.admission
            && let Some(peer) = &peer
            && let Some(own) = access::own_user()
            && let Err(stranger) = admission.check(own, peer)
        {
            self.note_stranger(&stranger);
            return None;
        }
        Some(io)
    }

    /// Closes the connection that waits longest.
    fn hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            opened, reserve, ..
        } = self;
        // The connection is closed before the reserve is taken back.
        reserve.lend(|| opened.listener.poll_accept(cx).map_ok(drop))
    }
}

/// What is logged, once per doubling where a peer decides how often it happens: whoever connects again
/// and again must not flood the log.
impl Acceptor {
    fn note_hung_up(&mut self, error: &io::Error) {
        self.hung_up += 1;
        if self.hung_up.is_power_of_two() {
            tracing::error!(
                target: "outboard",
                %error,
                so_far = self.hung_up,
                "no file descriptor is left for a connection to {}, which was closed; \
                 raise the limit of open files (ulimit -n), or find out what holds so many",
                self.what
            );
        }
    }

    fn note_unprepared(&mut self, why: &dyn fmt::Display) {
        self.unprepared += 1;
        if self.unprepared.is_power_of_two() {
            tracing::warn!(
                target: "outboard",
                error = %why,
                so_far = self.unprepared,
                "a connection to {} was closed before it could carry calls",
                self.what
            );
        }
    }

    fn note_stranger(&mut self, stranger: &Stranger) {
        self.strangers += 1;
        if self.strangers.is_power_of_two() {
            tracing::warn!(
                target: "outboard",
                error = %stranger,
                user = stranger.user,
                pid = stranger.pid,
                so_far = self.strangers,
                "a connection to {} was closed: it is a stranger's",
                self.what
            );
        }
    }

    fn note_failed(&self, error: &io::Error) {
        let what = self.what;
        tracing::warn!(target: "outboard", %error, "a connection to {what} could not be accepted");
    }
}

/// Whether the error is one of the connection that was to be accepted, and not of the listener.
fn concerns_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(all(test, unix))]
mod tests;
