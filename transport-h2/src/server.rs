//! The serving side of a connection.

mod dispatch;
mod stream;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use futures_util::task::AtomicWaker;
use h2::RecvStream;
use h2::server::{Builder, Connection, SendResponse};
use http::Request;
use outboard_core::rpc::{Keepalive, Router, ServerConfig, Serving, SizeLimit, Spin};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::turn::Turn;

use self::dispatch::dispatch;
use crate::H2;
use crate::io::{Flusher, Io, adapt};
use crate::keepalive::Pinger;
use outboard_core::told::{Teller, Told};

/// How many calls are taken up before the first of them is answered: a whole turn of them.
const BATCH: usize = Turn::pieces(Turn::HANDLER);

/// Run on.
const SERVE: u8 = 0;
/// Finish what is in flight.
const DRAIN: u8 = 1;
/// Stop at once.
const ABORT: u8 = 2;

/// What the handle tells the connection's task.
struct Orders {
    order: AtomicU8,
    task: AtomicWaker,
}

impl Orders {
    fn give(&self, order: u8) {
        // An abort is not taken back by a drain.
        self.order.fetch_max(order, Ordering::AcqRel);
        self.task.wake();
    }

    fn current(&self, cx: &Context<'_>) -> u8 {
        self.task.register(cx.waker());
        self.order.load(Ordering::Acquire)
    }
}

/// What all calls of a connection share. The connection is closed when the last of its tasks has
/// dropped this: only then no handler runs any more.
pub(crate) struct Server {
    pub(crate) runtime: SharedRuntime,
    pub(crate) router: Arc<Router>,
    pub(crate) limit: SizeLimit,
    pub(crate) max_header_list: u32,
    /// Its drop resolves [`Serving::closed`].
    _alive: Teller<()>,
}

/// The user's handle.
struct Handle {
    orders: Arc<Orders>,
    closed: Told<()>,
}

type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

pub(crate) fn serve(
    config: &H2,
    runtime: &SharedRuntime,
    io: BoxByteStream,
    router: Arc<Router>,
    server: &ServerConfig,
) -> Arc<dyn Serving> {
    let orders = Arc::new(Orders {
        order: AtomicU8::new(SERVE),
        task: AtomicWaker::new(),
    });
    let alive = Teller::new();
    let closed = alive.told();
    let server = Arc::new(Server {
        runtime: Arc::clone(runtime),
        router,
        limit: SizeLimit::of_server(server.max_message_size),
        max_header_list: config.max_header_list(),
        _alive: alive,
    });
    runtime.spawn(Box::pin(run(
        config.server_builder(),
        adapt(runtime, io, config.max_header_list(), Some(config.filter())),
        Arc::clone(&orders),
        server,
        config.spinner(),
        config.keepalive,
    )));
    Arc::new(Handle { orders, closed })
}

impl Serving for Handle {
    fn drain(&self) {
        self.orders.give(DRAIN);
    }

    fn abort(&self) {
        self.orders.give(ABORT);
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        // Whoever tells is dropped, and says nothing: that is the event.
        Box::pin(self.closed.clone().map(drop))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("H2Serving")
            .field("closed", &self.closed.is_over())
            .finish_non_exhaustive()
    }
}

async fn run(
    builder: Builder,
    io: (Io, Flusher),
    orders: Arc<Orders>,
    server: Arc<Server>,
    spin: Spin,
    keepalive: Option<Keepalive>,
) {
    let (io, flusher) = io;
    let mut handshake = pin!(builder.handshake::<Io, Bytes>(io));
    let connection = poll_fn(|cx| {
        // Nothing is in flight yet, so draining ends here too.
        if orders.current(cx) != SERVE {
            return Poll::Ready(None);
        }
        if let Poll::Ready(connection) = handshake.as_mut().poll(cx) {
            return Poll::Ready(Some(connection));
        }
        // The settings go out first; if that fails, so will reading the preface.
        let _ = flusher.poll_flush(cx);
        Poll::Pending
    })
    .await;
    match connection {
        None => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection ended before its handshake"),
        Some(Ok(mut connection)) => {
            let pinger = Pinger::new(keepalive, || connection.ping_pong(), &server.runtime);
            let accepting = Accepting {
                connection,
                pinger,
                flusher,
                orders,
                server,
                batch: Vec::new(),
                alone: true,
                draining: false,
                spin,
            };
            accepting.await;
        }
    }
}

/// Takes up the calls of a connection until it is closed. Its drop closes the connection, which
/// wakes the handlers that still run, to be dropped.
struct Accepting {
    connection: Connection<Io, Bytes>,
    pinger: Option<Pinger>,
    flusher: Flusher,
    orders: Arc<Orders>,
    server: Arc<Server>,
    batch: Vec<Accepted>,
    /// The last turn found no second call.
    alone: bool,
    draining: bool,
    spin: Spin,
}

impl Future for Accepting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match this.orders.current(cx) {
            ABORT => return Poll::Ready(()),
            DRAIN if !this.draining => {
                this.draining = true;
                this.connection.graceful_shutdown();
            }
            _ => {}
        }
        let open = this.accept(cx);
        if !open {
            return Poll::Ready(());
        }
        match this.flusher.poll_flush(cx) {
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "connection lost");
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => {
                if let Some(pinger) = &mut this.pinger {
                    let heard = this.flusher.take_alive();
                    let silent = pinger.poll_silent(heard, &this.server.runtime, cx);
                    if silent.is_ready() {
                        tracing::debug!(reason = pinger.reason(), "connection lost");
                        return Poll::Ready(());
                    }
                }
                this.flusher.spin(&mut this.spin, &this.server.runtime, cx);
                Poll::Pending
            }
        }
    }
}

impl Accepting {
    /// Takes up and starts the calls that are there. False if the connection is closed.
    fn accept(&mut self, cx: &mut Context<'_>) -> bool {
        let mut turn = Turn::new();
        let mut found = 0;
        while !turn.is_over() {
            // Each accept also reads and writes. Taking all calls that came together before any is
            // answered spares looking for more after each. But a call that comes alone is answered before
            // anybody looks for a second one: its answer has to be looked after anyway.
            let most = if self.alone { 1 } else { BATCH };
            while self.batch.len() < most {
                match pin!(self.connection.accept()).poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(accepted))) => self.batch.push(accepted),
                    Poll::Ready(Some(Err(error))) => {
                        tracing::debug!(%error, "connection lost");
                        return false;
                    }
                    Poll::Ready(None) => return false,
                }
            }
            if self.batch.is_empty() {
                self.alone = found < 2;
                return true;
            }
            found += self.batch.len();
            self.alone = found < 2;
            turn.resume(self.server.runtime.stopwatch());
            for (request, respond) in self.batch.drain(..) {
                dispatch(&self.server, &mut turn, request, respond);
            }
        }
        // What the answers made ready is flushed before the next turn.
        let _pending: Poll<()> = turn.give_way(self.server.runtime.as_ref(), cx);
        true
    }
}
