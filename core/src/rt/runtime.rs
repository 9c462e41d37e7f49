//! Time, tasks, connections and listeners.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{BoxByteStream, BoxFuture, Descriptors};
use crate::admission::Credentials;
use crate::endpoint::Endpoint;

/// A runtime, cheap to clone, as the driver and the transports hold it.
pub type SharedRuntime = Arc<dyn Runtime>;

/// The operating system's handle of a socket made outside the runtime.
#[cfg(unix)]
pub type OsSocket = std::os::fd::OwnedFd;
/// The operating system's handle of a socket made outside the runtime.
#[cfg(windows)]
pub type OsSocket = std::os::windows::io::OwnedSocket;

/// The services of an async runtime.
///
/// All methods may be called from any thread, inside or outside the runtime's own threads, for as
/// long as the runtime lives.
pub trait Runtime: Send + Sync + fmt::Debug + 'static {
    /// The current time on the clock that [`timer`](Self::timer) counts by. A runtime with a
    /// pausable clock returns that clock, so that tests under paused time work.
    fn now(&self) -> Instant;

    /// A clock to measure with how long code takes: the same as [`now`](Self::now) unless another is
    /// cheaper. Where that can be paused, this need not stand still with it.
    fn stopwatch(&self) -> Instant {
        self.now()
    }

    /// A timer that fires once at `at`, at once if `at` is past. Dropping it disarms it.
    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>>;

    /// Runs `task` to its end in the background. The tracing span that is current here is current
    /// in the task, unless it is [left](super::SpanLeft) here. When the runtime shuts down, the task is dropped.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// As [`spawn`](Self::spawn), for a task whose code may keep its thread for a while before it
    /// first waits: where there are other threads, they go on with everything else meanwhile,
    /// events of IO included. It costs more than `spawn`, to which it falls back by default.
    fn spawn_apart(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }

    /// Wakes `waker` once the runtime has looked for events of IO without waiting for any. This is
    /// for a task of this runtime that would rather look again than let the thread sleep; see
    /// [`Spin`](crate::rpc::Spin).
    ///
    /// By default it wakes at once, which is correct with any runtime, but may find nothing new.
    fn wake_after_io(&self, waker: &Waker) {
        waker.wake_by_ref();
    }

    /// Connects to `to`, resolving a host name if there is one. Dropping the future gives up the
    /// attempt.
    ///
    /// # Errors
    /// The system's error, unchanged.
    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>>;

    /// Takes over a listening stream socket. `local` is the address it listens on and tells its
    /// family. The adapter may set the socket non-blocking: nobody else uses it.
    ///
    /// # Errors
    /// The system's error if the socket cannot be registered with the runtime's reactor.
    fn listener(&self, socket: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>>;

    /// Addresses of this runtime's own, for one whose connections are no sockets of the system, but in
    /// memory, say. No socket is made then for hosts and plugins on it. `None`, as by default, where there
    /// are only the system's.
    fn own_addresses(&self) -> Option<&dyn OwnAddresses> {
        None
    }

    /// What this runtime does with descriptors of the system that others have made: pipes, for one.
    /// None of it by default: a host in memory, or one that reaches plugins over sockets alone, needs
    /// none.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it takes over none.
    fn descriptors(&self) -> io::Result<&dyn Descriptors> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this runtime takes over no pipes and watches no processes; the adapters of outboard do",
        ))
    }
}

/// Addresses that only a runtime of its own kind knows; [`connect`](Runtime::connect) reaches them.
pub trait OwnAddresses: Send + Sync {
    /// Listens at an address that nobody else has.
    ///
    /// # Errors
    /// If there can be no further one.
    fn listen(&self) -> io::Result<Box<dyn Listener>>;
}

/// A resettable timer.
pub trait Timer: Send {
    /// Moves the deadline, forwards or back, whether or not the timer has fired.
    fn reset(self: Pin<&mut Self>, at: Instant);

    /// Ready once the deadline has passed, and on every later poll until [`reset`](Self::reset).
    fn poll_expired(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A listening socket.
///
/// Dropping it closes the socket. It does not remove a unix socket's file: whoever made the file
/// removes it.
pub trait Listener: Send {
    /// The address given when it was made.
    fn local(&self) -> &Endpoint;

    /// The next connection, and who has made it.
    ///
    /// # Errors
    /// An error concerns one attempt (a connection reset while it waited, no descriptors left); the
    /// listener stays usable, and the caller decides whether to go on.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>>;
}

/// A connection that a [`Listener`] gives.
#[non_exhaustive]
pub struct Accepted {
    /// The connection.
    pub io: BoxByteStream,
    /// Who has made it. Present for unix sockets where the system tells it, and then a driver hangs up
    /// on strangers; without it there is nothing to check.
    pub peer: Option<Credentials>,
}

impl Accepted {
    /// A connection of nobody knows whom.
    #[must_use]
    pub fn new(io: BoxByteStream) -> Self {
        Self { io, peer: None }
    }

    /// The same, made by these.
    #[must_use]
    pub fn by(mut self, peer: Option<Credentials>) -> Self {
        self.peer = peer;
        self
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
