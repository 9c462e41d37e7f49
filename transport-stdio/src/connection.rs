//! The handles that the driver of outboard holds: connections, servers, channels.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use outboard_core::rpc::{
    Call, CallFailure, CallHead, Channel, Connection, ConnectionConfig, DispenseFailure,
    MessageStream, OutMessage, Reply, Router, Serving, Status, SubChannels, Untaken,
};
use outboard_core::rt::BoxFuture;

use crate::Session;
use crate::client::{self, Target};
use crate::gate::Gate;
use crate::session::{Drain, MAIN, drop_foreign, own};
use crate::wakers::Clones;

/// The calling side: of the session itself, or of one channel that the peer serves.
pub(crate) struct StdioConnection {
    target: Target,
}

impl StdioConnection {
    pub(crate) fn main(session: Arc<Session>) -> Self {
        Self {
            target: Target {
                session,
                connection: MAIN,
                channel: 0,
            },
        }
    }

    fn is_main(&self) -> bool {
        self.target.connection == MAIN
    }
}

impl fmt::Debug for StdioConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioConnection")
            .field("channel", &self.target.channel)
            .finish_non_exhaustive()
    }
}

impl Connection for StdioConnection {
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        Box::pin(client::unary(self.target.clone(), head, message))
    }

    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
        client::open(self.target.clone(), &head, messages)
    }

    fn gives_back(&self) -> bool {
        true
    }

    fn try_unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, CallFailure<OutMessage>>> {
        Box::pin(client::try_unary(self.target.clone(), head, message))
    }

    fn try_open(
        &self,
        head: CallHead,
        messages: MessageStream,
    ) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
        match self.target.not_taken() {
            Some(status) => Err(Box::new(Untaken::new(status, head, messages))),
            None => Ok(self.open(head, messages)),
        }
    }

    fn is_retiring(&self) -> bool {
        let mut waker = Clones::two(Waker::noop());
        let retiring = self
            .target
            .session
            .with(|state| state.poll_retiring(self.target.connection, &mut waker));
        retiring.is_ready()
    }

    fn retiring(&self) -> BoxFuture<'static, ()> {
        let target = self.target.clone();
        Box::pin(poll_fn(move |cx| {
            let mut waker = Clones::two(cx.waker());
            target
                .session
                .with(|state| state.poll_retiring(target.connection, &mut waker))
        }))
    }

    fn drain(&self) {
        let connection = self.target.connection;
        self.target
            .session
            .with(|state| state.drain_calls(connection));
    }

    fn abort(&self, status: Status) {
        let connection = self.target.connection;
        let status = own(&status);
        self.target.session.with(|state| {
            if connection == MAIN {
                state.close(status);
            } else {
                state.abort_calls(connection, &status);
            }
        });
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        let target = self.target.clone();
        Box::pin(poll_fn(move |cx| {
            let mut waker = Clones::two(cx.waker());
            target
                .session
                .with(|state| state.poll_calls_closed(target.connection, &mut waker))
        }))
    }

    /// The names that are told are those of the main channel: a brokered one has none.
    fn dispense(&self, name: &str) -> BoxFuture<'static, Result<Option<Channel>, DispenseFailure>> {
        if !self.is_main() {
            return Box::pin(std::future::ready(Ok(None)));
        }
        let (session, name) = (Arc::clone(&self.target.session), name.to_owned());
        Box::pin(poll_fn(move |cx| {
            let mut waker = Clones::one(cx.waker());
            let provided = session.with(|state| state.poll_provided(&name, &mut waker));
            provided.map_ok(|()| None)
        }))
    }

    fn sub_channels(&self) -> Option<Arc<dyn SubChannels>> {
        self.is_main().then(|| {
            let channels: Arc<dyn SubChannels> =
                Arc::new(StdioChannels(Arc::clone(&self.target.session)));
            channels
        })
    }
}

impl Drop for StdioConnection {
    fn drop(&mut self) {
        let gone = Status::connection_lost("the connection was dropped");
        let connection = self.target.connection;
        self.target.session.with(|state| {
            if connection == MAIN {
                state.close(gone);
            } else {
                state.abort_calls(connection, &gone);
                state.remove_connection(connection);
            }
        });
    }
}

/// The serving side: of the session itself, or of one channel of this side.
pub(crate) struct StdioServing {
    session: Arc<Session>,
    channel: u32,
    gate: Arc<Gate>,
}

impl StdioServing {
    pub(crate) fn new(session: Arc<Session>, channel: u32, gate: Arc<Gate>) -> Self {
        Self {
            session,
            channel,
            gate,
        }
    }

    fn stop(&self, abort: bool) {
        // The server is dropped outside the lock: it holds code of the user.
        let (channel, gate) = (self.channel, &self.gate);
        let server = self
            .session
            .with(|state| state.serving.remove(channel, gate));
        drop_foreign(server);
        self.gate.stop(abort);
        if abort {
            self.session.with(|state| state.wake_handlers());
        }
    }
}

impl fmt::Debug for StdioServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioServing")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl Serving for StdioServing {
    fn drain(&self) {
        if self.channel != 0 {
            self.stop(false);
            return;
        }
        self.session.with(|state| {
            state.mux.go_away("draining");
            state.drain.get_or_insert(Drain::Theirs);
            state.wake_driver();
        });
    }

    fn abort(&self) {
        if self.channel != 0 {
            self.stop(true);
            return;
        }
        self.session.with(|state| {
            state.close(Status::connection_lost("this side stopped serving"));
        });
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let (session, gate) = (Arc::clone(&self.session), Arc::clone(&self.gate));
        let main = self.channel == 0;
        Box::pin(poll_fn(move |cx| {
            let mut waker = Clones::one(cx.waker());
            if main
                && session
                    .with(|state| state.poll_closed(&mut waker))
                    .is_pending()
            {
                return Poll::Pending;
            }
            gate.poll_idle(cx)
        }))
    }

    fn sub_channels(&self) -> Option<Arc<dyn SubChannels>> {
        (self.channel == 0).then(|| {
            let channels: Arc<dyn SubChannels> = Arc::new(StdioChannels(Arc::clone(&self.session)));
            channels
        })
    }
}

/// The channels inside a session.
struct StdioChannels(Arc<Session>);

impl fmt::Debug for StdioChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StdioChannels")
    }
}

impl SubChannels for StdioChannels {
    fn accept(&self, id: u32, router: Arc<Router>) -> Result<Arc<dyn Serving>, Status> {
        if id == 0 {
            return Err(Status::invalid_argument(
                "channel 0 is the connection itself; broker ids begin at 1",
            ));
        }
        let gate = self.0.serve(id, router)?;
        Ok(Arc::new(StdioServing::new(Arc::clone(&self.0), id, gate)))
    }

    fn dial(&self, id: u32, config: ConnectionConfig) -> Arc<dyn Connection> {
        // Outside, so that a hook that is not needed is dropped after the lock.
        let mut lost = config.lost;
        let connection = self.0.with(|state| {
            if state.hook.is_none() {
                state.hook = lost.take();
            }
            state.add_connection()
        });
        drop_foreign(lost);
        Arc::new(StdioConnection {
            target: Target {
                session: Arc::clone(&self.0),
                connection,
                channel: id,
            },
        })
    }
}
