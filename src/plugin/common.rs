//! The one connection of a plugin that multiplexes.

use std::task::{Context, Poll};

use outboard_core::rt::BoxByteStream;

use crate::carrier::Carrier;

#[cfg(feature = "multiplex")]
pub(super) use self::with_streams::Connection;

/// What all connections of a plugin have in common, if it multiplexes: they are streams of one.
///
/// ```text
///  None ── begin() ──▶ Open ── drain(), and no stream is left; close() ──▶ Closed
///                        └───────────── the host has hung up ───────────────▲
/// ```
#[derive(Default)]
pub(super) struct Common {
    #[cfg(feature = "multiplex")]
    connection: Option<Connection>,
    #[cfg(feature = "multiplex")]
    draining: bool,
}

#[cfg(feature = "multiplex")]
impl Common {
    /// Has the streams of this connection be served.
    pub(super) fn begin(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Whether there is, or was, a connection that others are streams of.
    pub(super) fn is_there(&self) -> bool {
        self.connection.is_some()
    }

    /// Has connections to the other side be streams of this one.
    pub(super) fn carry(&self, carrier: Carrier) -> Carrier {
        match &self.connection {
            Some(connection) => connection.carry(carrier),
            None => carrier,
        }
    }

    /// The next stream to be served.
    pub(super) fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<BoxByteStream> {
        match &mut self.connection {
            Some(connection) if !self.draining => connection.poll_stream(cx),
            _ => Poll::Pending,
        }
    }

    /// Ready once, when it is closed.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.connection {
            Some(connection) => connection.poll_ended(cx),
            None => Poll::Pending,
        }
    }

    /// Whether nothing of it is left.
    pub(super) fn is_closed(&self) -> bool {
        self.connection.as_ref().is_none_or(Connection::has_ended)
    }

    /// No further stream is taken.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// The last stream that was served is closed: nobody waits for anything, if there are to be no
    /// others.
    pub(super) fn idle(&self) {
        if self.draining {
            self.close();
        }
    }

    /// Ends all streams. What was written still goes.
    pub(super) fn close(&self) {
        if let Some(connection) = &self.connection {
            connection.close();
        }
    }
}

#[cfg(not(feature = "multiplex"))]
impl Common {
    pub(super) fn is_there(&self) -> bool {
        false
    }

    pub(super) fn carry(&self, carrier: Carrier) -> Carrier {
        carrier
    }

    pub(super) fn poll_stream(&mut self, _cx: &mut Context<'_>) -> Poll<BoxByteStream> {
        Poll::Pending
    }

    pub(super) fn poll_ended(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    pub(super) fn is_closed(&self) -> bool {
        true
    }

    pub(super) fn drain(&mut self) {}

    pub(super) fn idle(&self) {}

    pub(super) fn close(&self) {}
}

#[cfg(feature = "multiplex")]
mod with_streams {
    use std::future::Future as _;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, ready};

    use outboard_core::endpoint::Endpoint;
    use outboard_core::rt::{BoxByteStream, SharedRuntime};
    use outboard_core::told::Told;

    use crate::carrier::{Acceptor, Carrier, Opened, Prepare, Role, Session, handed};

    /// A connection with streams.
    pub(in super::super) struct Connection {
        session: Session,
        /// Of the streams that are not for what a broker serves.
        acceptor: Acceptor,
        /// None once it is known to have ended.
        over: Option<Told<()>>,
    }

    impl Connection {
        /// Streams of `io`, which came to `endpoint`, are prepared with `prepare`.
        pub(in super::super) fn new(
            runtime: &SharedRuntime,
            io: BoxByteStream,
            endpoint: Endpoint,
            prepare: Option<Arc<dyn Prepare>>,
        ) -> Self {
            let (main, listener) = handed(endpoint.clone());
            let session = Session::begin(runtime, io, Role::Server, endpoint, Some(main));
            let opened = Opened::private(listener);
            let acceptor = Acceptor::new(runtime, "this plugin", opened, prepare);
            Self {
                over: Some(session.over()),
                session,
                acceptor,
            }
        }

        pub(super) fn carry(&self, carrier: Carrier) -> Carrier {
            carrier.within(&self.session)
        }

        pub(super) fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<BoxByteStream> {
            self.acceptor.poll(cx)
        }

        pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let Some(over) = &mut self.over else {
                return Poll::Pending;
            };
            ready!(Pin::new(over).poll(cx));
            self.over = None;
            Poll::Ready(())
        }

        pub(super) fn has_ended(&self) -> bool {
            self.over.is_none()
        }

        pub(super) fn close(&self) {
            self.session.close("the plugin has ended");
        }
    }

    impl Drop for Connection {
        fn drop(&mut self) {
            self.close();
        }
    }
}
