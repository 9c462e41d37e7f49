//! What the driver needs of an async runtime, as traits without any implementation.
//!
//! A runtime adapter (`outboard-runtime-tokio`, `outboard-runtime-smol`, or your own) is one value
//! that implements [`Runtime`]; everything else in outboard takes it as `Arc<dyn Runtime>`. So no
//! type parameter for the runtime reaches users' clients or servers, and two runtimes can live in
//! one program. Boxes are made only where connections, processes and timers are made, never per
//! call.
//!
//! IO objects are [`futures_io`] streams: the neutral choice, with no dependencies of its own.
//! Reads and writes take `&mut self`, so one task at a time polls an object and one waker per
//! direction is enough.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

use crate::endpoint::Endpoint;
use crate::exit::Exit;

pub use crate::joined::Joined;

/// An owned future, as the traits of this crate return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A two-way stream of bytes: a socket, a stream inside a multiplexer, TLS around either.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An owned [`ByteStream`].
pub type BoxByteStream = Box<dyn ByteStream>;
/// An owned source of bytes.
pub type BoxReader = Box<dyn AsyncRead + Send + Unpin>;
/// An owned sink for bytes.
pub type BoxWriter = Box<dyn AsyncWrite + Send + Unpin>;

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
    /// in the task. When the runtime shuts down, the task is dropped.
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

    /// Starts a process. The call may block for the time of a `fork` and `exec`.
    ///
    /// # Errors
    /// The system's error, unchanged, if the process cannot be started; nothing is left behind.
    fn launch(&self, launch: Launch) -> io::Result<Process>;

    /// Takes over the reading end of a pipe that no other process reads from.
    ///
    /// The adapter may set it non-blocking, which also touches every other descriptor of the same
    /// end: hand over only pipes of one's own making.
    ///
    /// # Errors
    /// The system's error if the pipe cannot be registered with the runtime's reactor.
    fn pipe_reader(&self, pipe: io::PipeReader) -> io::Result<BoxReader>;

    /// Takes over the writing end of a pipe; see [`pipe_reader`](Self::pipe_reader). Closing the
    /// writer closes the descriptor, so that the reader sees the end.
    ///
    /// # Errors
    /// The system's error if the pipe cannot be registered with the runtime's reactor.
    fn pipe_writer(&self, pipe: io::PipeWriter) -> io::Result<BoxWriter>;

    /// Resolves when `fd` becomes readable or its other end is gone (hang-up, error).
    ///
    /// The descriptor's flags stay as they are and nothing is read: this is for descriptors that
    /// are watched and not used, such as a pidfd or the writing end of a pipe whose reader may die.
    ///
    /// # Errors
    /// The system's error if the descriptor cannot be watched (a regular file, for example).
    #[cfg(unix)]
    fn watch(&self, fd: std::os::fd::OwnedFd) -> io::Result<BoxFuture<'static, io::Result<()>>>;
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

    /// The next connection.
    ///
    /// # Errors
    /// An error concerns one attempt (a connection reset while it waited, no descriptors left); the
    /// listener stays usable, and the caller decides whether to go on.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<BoxByteStream>>;
}

/// What a child's standard input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// The parent's own stdin, the same descriptor: terminals keep working. go-plugin's way.
    #[default]
    Inherit,
    /// An empty input.
    Null,
    /// A pipe whose other end is [`Process::stdin`].
    Pipe,
}

/// Everything an adapter needs to start a process. Its stdout and stderr are always pipes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program: a path, or a name to be looked up in `PATH`.
    pub program: OsString,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Its whole environment; nothing is inherited beside this. Names occur once.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; the parent's if not given.
    pub dir: Option<PathBuf>,
    /// Its standard input.
    pub stdin: Stdin,
    /// Whether it goes on when the parent dies. Otherwise the system kills it then, where it can.
    pub outlive_parent: bool,
    /// Whether a kill leaves the processes alone that it has started itself. Otherwise they are
    /// killed with it, where they can be found.
    pub spare_descendants: bool,
}

impl Launch {
    /// A program without arguments and environment, with the parent's stdin, that is to leave nothing
    /// behind.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: Stdin::default(),
            outlive_parent: false,
            spare_descendants: false,
        }
    }
}

/// A started process and the parent's ends of its pipes.
pub struct Process {
    /// The process itself.
    pub child: Box<dyn Child>,
    /// The pipe to its stdin, with [`Stdin::Pipe`] only.
    pub stdin: Option<BoxWriter>,
    /// The pipe from its stdout.
    pub stdout: BoxReader,
    /// The pipe from its stderr.
    pub stderr: BoxReader,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.child.id())
            .finish_non_exhaustive()
    }
}

/// A child process.
///
/// Dropping a child that has not been reaped kills it and reaps it, so that no way out of the
/// parent's code leaves a process or a zombie behind.
pub trait Child: Send {
    /// The process id. After the child was reaped the system may use the number again.
    fn id(&self) -> u32;

    /// Ends the process at once (SIGKILL, `TerminateProcess`). No error if it has ended already.
    ///
    /// # Errors
    /// The system's error, unchanged.
    fn kill(&mut self) -> io::Result<()>;

    /// Ready when the process has ended and was reaped, woken by the system's event, not by
    /// polling. It does not wait for the pipes. Later polls give the same exit again.
    ///
    /// # Errors
    /// The system's error, unchanged.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>>;
}
