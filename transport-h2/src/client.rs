//! The calling side of a connection.

mod driver;
mod receiving;
mod sending;
mod streaming;
mod unary;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use futures_util::task::AtomicWaker;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{
    Call, CallFailure, CallHead, Connection, ConnectionConfig, MessageStream, OutMessage, Reply,
    SizeLimit, Status, Untaken,
};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};

use self::driver::Driver;
use self::unary::{TryUnary, unary};
use crate::H2;
use crate::call::{Failure, not_taken};
use crate::headers::RequestTemplate;
use crate::io::adapt;
use crate::keepalive::Pinger;
use outboard_core::told::{Teller, Told};

/// Resolves with the connection's closing status; with none if the runtime dropped the driver.
type Closing = Told<Status>;

/// What the handle, the driver and all calls of a connection share.
pub(crate) struct Shared {
    runtime: SharedRuntime,
    limit: SizeLimit,
    max_header_list: u32,
    last_stream: u32,
    template: Option<RequestTemplate>,
    state: Mutex<State>,
    /// Woken when `state` asks the driver to stop.
    driver: AtomicWaker,
    closing: Closing,
    /// Signalled once the connection takes no more calls.
    retiring: Signal,
    /// Signalled once something has come from the peer.
    heard: Signal,
    /// How many calls the peer takes at once, if it says so.
    max_calls: OnceLock<u32>,
    /// Signalled once that is known.
    greeted: Signal,
}

/// Something that happens once, at the latest with the end of the connection.
type Signal = Teller<()>;

fn wait(signal: &Signal) -> BoxFuture<'static, ()> {
    Box::pin(signal.told().map(drop))
}

/// `Open` -> `Retired` -> `Draining` -> `Drained`, where a state may be left out, or from anywhere to
/// `Aborted` -> `Closed`.
enum State {
    /// Calls can be made.
    Open(Open),
    /// Calls in flight go on; more are not to be had of this connection, and fail with the status,
    /// or with that of its end where there is none.
    Retired(Option<Status>),
    /// Calls in flight go on, and this side wants no more.
    Draining,
    /// The driver is to stop. Later calls fail with the status.
    Aborted(Status),
    /// The driver has stopped after a drain; an abort can still say why to later calls.
    Drained,
    /// The driver has stopped.
    Closed(Status),
}

struct Open {
    sender: SendRequest<Bytes>,
    /// Whether the number of streams was limited when the last call was started.
    limited: bool,
}

/// The user's handle. Calls in flight hold `Shared` only, so dropping the last handle is seen.
struct Handle(Arc<Shared>);

pub(crate) fn connect(
    config: &H2,
    runtime: &SharedRuntime,
    io: BoxByteStream,
    connection: ConnectionConfig,
) -> Arc<dyn Connection> {
    let closed = Teller::new();
    let template = RequestTemplate::new(connection.secure, &connection.authority);
    let (io, flusher) = adapt(runtime, io, config.max_header_list(), None);
    // `Io` keeps the preface back, so the handshake has nothing to wait for.
    let handshake =
        pin!(config.client_builder().handshake(io)).poll(&mut Context::from_waker(Waker::noop()));
    let (state, template, h2) = match (template, handshake) {
        (Ok(template), Poll::Ready(Ok((sender, h2)))) => {
            let limited = true;
            let open = Open { sender, limited };
            (State::Open(open), Some(template), Some(h2))
        }
        (Err(status), _) => (State::Aborted(status), None, None),
        (Ok(_), Poll::Ready(Err(error))) => (
            State::Aborted(Status::connection_lost(format!("HTTP/2: {error}"))),
            None,
            None,
        ),
        (Ok(_), Poll::Pending) => (
            State::Aborted(Status::internal("HTTP/2: the handshake waits for the peer")),
            None,
            None,
        ),
    };
    let shared = Arc::new(Shared {
        runtime: Arc::clone(runtime),
        limit: SizeLimit::of_caller(connection.max_message_size),
        max_header_list: config.max_header_list(),
        last_stream: config.last_stream,
        template,
        state: Mutex::new(Rank::Session, state),
        driver: AtomicWaker::new(),
        closing: closed.told(),
        retiring: Signal::new(),
        heard: Signal::new(),
        max_calls: OnceLock::new(),
        greeted: Signal::new(),
    });
    let spin = config.spinner();
    let mut h2 = h2;
    let pings = || h2.as_mut().and_then(h2::client::Connection::ping_pong);
    let pinger = Pinger::new(config.keepalive, pings, runtime);
    let driver = Driver::new(
        Arc::clone(&shared),
        h2,
        pinger,
        flusher,
        connection.lost,
        closed,
        spin,
    );
    runtime.spawn(Box::pin(driver.run()));
    Arc::new(Handle(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Queues the HEADERS of a call that has this much time left, if that is limited.
    fn start(
        &self,
        head: &CallHead,
        left: Option<Duration>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
        let mut state = self.state();
        let open = match &mut *state {
            State::Open(open) => open,
            State::Draining | State::Drained => return Err(Failure::Untaken(closed_here())),
            State::Retired(None) => return Err(Failure::Connection),
            State::Retired(Some(status)) | State::Aborted(status) | State::Closed(status) => {
                return Err(Failure::Untaken(status.clone()));
            }
        };
        let Some(template) = &self.template else {
            return Err(Failure::Connection);
        };
        let request = template.request(head, left).map_err(Failure::Call)?;
        let sender = &mut open.sender;
        let started = sender
            .send_request(request, false)
            .map_err(|error| Failure::from_h2(&error));
        // Where the peer allows so many streams and no more, the call may have to wait, and this
        // sender would look after it: refuse further calls, and whenever it is asked whether it is
        // ready take the place of whoever waits to send the call's messages. A clone knows of no
        // call. It queues the next one behind; the callers are what bounds that queue.
        // The limit may have come or gone with SETTINGS that another thread has read meanwhile.
        let limited = sender.current_max_send_streams() != usize::MAX;
        if std::mem::replace(&mut open.limited, limited) || limited {
            *sender = sender.clone();
        }
        let retired = match &started {
            Ok((response, _)) if response.stream_id().as_u32() >= self.last_stream => {
                Some(used_up())
            }
            Err(Failure::Untaken(status)) => Some(status.clone()),
            Err(Failure::Connection) => None,
            Ok(_) | Err(Failure::Call(_)) => return started,
        };
        self.retire(state, retired);
        started
    }

    /// Looks whether the peer takes no more calls, which `h2` tells only those who ask.
    fn check_retired(&self) {
        let mut state = self.state();
        let State::Open(open) = &mut *state else {
            return;
        };
        let ready = open
            .sender
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Err(error)) = ready
            && error.is_go_away()
            && error.is_remote()
        {
            self.retire(state, Some(not_taken(&error.to_string())));
        }
    }

    /// Takes no more calls, and does not know yet what to tell those who make one.
    fn take_no_more(&self) {
        let state = self.state();
        if matches!(&*state, State::Open(_)) {
            self.retire(state, None);
        }
    }

    /// Takes no more calls from now on.
    fn retire(&self, mut state: MutexGuard<'_, State>, status: Option<Status>) {
        // h2 closes the connection once neither this sender nor a call refers to it.
        let before = std::mem::replace(&mut *state, State::Retired(status));
        drop(state);
        // The sender's drop takes h2's locks; it has no business under ours.
        drop(before);
        self.retiring.tell(());
    }

    /// Closes with this status unless it is closed already.
    fn abort(&self, status: Status) {
        let mut state = self.state();
        let before = match &*state {
            State::Open(_) | State::Retired(_) | State::Draining => {
                std::mem::replace(&mut *state, State::Aborted(status))
            }
            State::Drained => {
                *state = State::Closed(status);
                return;
            }
            State::Aborted(_) | State::Closed(_) => return,
        };
        drop(state);
        // The sender wakes in its drop: without the lock.
        drop(before);
        self.retiring.tell(());
        self.driver.wake();
    }
}

impl Connection for Handle {
    fn unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        Box::pin(unary(Arc::clone(&self.0), head, message))
    }

    fn gives_back(&self) -> bool {
        true
    }

    fn try_unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, CallFailure<OutMessage>>> {
        Box::pin(TryUnary::new(Arc::clone(&self.0), head, message))
    }

    fn open(&self, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
        streaming::open(&self.0, head, messages)
    }

    fn try_open(
        &self,
        head: CallHead,
        messages: MessageStream,
    ) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
        streaming::try_open(&self.0, head, messages)
    }

    fn is_retiring(&self) -> bool {
        !matches!(&*self.0.state(), State::Open(_))
    }

    fn retiring(&self) -> BoxFuture<'static, ()> {
        wait(&self.0.retiring)
    }

    fn heard(&self) -> BoxFuture<'static, ()> {
        wait(&self.0.heard)
    }

    fn max_calls(&self) -> BoxFuture<'static, Option<u32>> {
        let shared = Arc::clone(&self.0);
        let greeted = wait(&shared.greeted);
        Box::pin(greeted.map(move |()| shared.max_calls.get().copied()))
    }

    fn drain(&self) {
        let mut state = self.0.state();
        if let State::Open(_) | State::Retired(_) = &*state {
            // h2 closes the connection once neither this sender nor a call refers to it.
            let before = std::mem::replace(&mut *state, State::Draining);
            drop(state);
            drop(before);
            self.0.retiring.tell(());
        }
    }

    fn abort(&self, status: Status) {
        self.0.abort(status);
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        Box::pin(self.0.closing.clone().map(closing_status))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abort(closed_here());
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.state() {
            State::Open(_) => "open",
            State::Retired(_) => "retired",
            State::Draining => "draining",
            State::Drained => "drained",
            State::Aborted(_) => "aborted",
            State::Closed(_) => "closed",
        };
        f.debug_struct("H2Connection")
            .field("state", &state)
            .finish()
    }
}

fn closing_status(closed: Option<Status>) -> Status {
    closed.unwrap_or_else(|| {
        Status::connection_lost(
            "the connection is lost: the async runtime that drove it was shut down",
        )
    })
}

fn closed_here() -> Status {
    Status::connection_lost("this side has closed the connection")
}

fn used_up() -> Status {
    Status::connection_lost(
        "the connection has carried 2^30 calls, the most that HTTP/2 allows: it takes a new one",
    )
}
