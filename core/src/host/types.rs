//! What a host machine is told, what it asks for, and what it reports.

use std::fmt;
use std::time::Duration;

use super::{StageReport, StartError};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::handshake::{Accepted, HostExpectation, Location, Protocol, StrayTolerance};
use crate::link::{LinkConfig, LinkTimer};
use crate::tls::TlsFault;

/// Bytes of stray stdout kept for one event; what comes beyond is counted. go-plugin throws all of
/// it away, so this is for diagnosis only: one pipe buffer of Linux.
pub const MAX_STRAY_STDOUT: usize = 64 * 1024;

/// How a [`Host`](super::Host) behaves. Durations of [`Duration::MAX`] mean "no limit".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostConfig {
    /// What the handshake line must agree with.
    pub expectation: HostExpectation,
    /// How much other output before the line is put up with: none, like go-plugin, unless given.
    pub tolerance: Option<StrayTolerance>,
    /// How long each [`StartPhase`](super::StartPhase) may take. go-plugin: 60 s, for the launch and from zero again
    /// for the line.
    pub start_timeout: Duration,
    /// How long the process may take to exit after it was asked to. go-plugin: 2 s.
    pub shutdown_grace: Duration,
    /// How long a process may take to end after it was told to (SIGTERM), which it is when it has not
    /// ended as asked; zero for no such stage, as in go-plugin. 500 ms: a program that ends by SIGTERM at
    /// all has begun to by then, and a host that shuts down waits a quarter longer at most.
    pub terminate_grace: Duration,
    /// How long a failure waits for the exit that may explain it, and a noticed exit for the last
    /// output, before they are reported without. 100 ms: far more than a system needs to deliver
    /// what has already happened, and little for whoever waits.
    pub evidence_wait: Duration,
    /// How long the pipes of an ended process are read on, since a grandchild may hold them open
    /// for ever; and how long a process that closed its stdout without a line may take to end by
    /// itself. 1 s.
    pub pipe_drain: Duration,
    /// How long a killed process may take to be reaped before it is given up: one that hangs in the
    /// kernel does not die. 10 s.
    pub reap_timeout: Duration,
    /// When a connection that is lost while the process lives is made again, and for how long that
    /// is tried.
    pub link: LinkConfig,
    /// Whether a plugin that cannot be reached again is killed. It is not unless this is set: its
    /// user is told, and decides.
    pub end_unreachable: bool,
    /// Whether what the program prints comes on two pipes of its own, beside those of the handshake
    /// and the log, until [`HostInput::PrintedClosed`]. Not unless this is set.
    pub direct_output: bool,
    /// What becomes of a plugin that is up when its user lets go of it: it is killed unless this says
    /// otherwise.
    pub when_dropped: WhenDropped,
    /// By which means the plugin is ended; all, unless this says otherwise. Where they do not suffice it is
    /// let go of, and reported as [`ExitReason::Released`].
    pub means: Means,
    /// Lines of stderr kept as evidence. 16.
    pub stderr_lines: usize,
    /// Bytes of stderr kept as evidence. 8 KiB.
    pub stderr_bytes: usize,
}

/// What a host may do to end its plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Means {
    /// Ask it to, tell its process, and kill it.
    #[default]
    All,
    /// Ask it to: nothing says which process it is, or none is to be killed.
    Asking,
    /// Nothing: somebody else ends it.
    None,
}

impl HostConfig {
    /// The default times and limits.
    #[must_use]
    pub fn new(expectation: HostExpectation) -> Self {
        Self {
            expectation,
            tolerance: None,
            start_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(2),
            terminate_grace: Duration::from_millis(500),
            evidence_wait: Duration::from_millis(100),
            pipe_drain: Duration::from_secs(1),
            reap_timeout: Duration::from_secs(10),
            link: LinkConfig::default(),
            end_unreachable: false,
            direct_output: false,
            when_dropped: WhenDropped::Kill,
            means: Means::All,
            stderr_lines: 16,
            stderr_bytes: 8 * 1024,
        }
    }
}

/// What becomes of a plugin that is up when its user lets go of it; see
/// [`Host::let_go`](super::Host::let_go).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenDropped {
    /// It is killed.
    #[default]
    Kill,
    /// It runs on, with its sockets; this side forgets it.
    Release,
}

/// What happened outside; see [`Host::handle`](super::Host::handle).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostInput<'a> {
    /// The process was made.
    Launched {
        /// What it is called where it runs, if that has a name: the number of a process, the name of
        /// a container.
        id: Option<String>,
    },
    /// The process could not be made.
    LaunchFailed(Fault),
    /// Bytes came from its stdout, in any split.
    Stdout(&'a [u8]),
    /// Its stdout reached the end, or reading it failed.
    StdoutClosed,
    /// Bytes came from its stderr, in any split. Kept as evidence only: log records are made of
    /// them elsewhere.
    Stderr(&'a [u8]),
    /// Its stderr reached the end, or reading it failed.
    StderrClosed,
    /// Bytes that the program printed came, on a pipe of their own (see
    /// [`HostConfig::direct_output`]) or over the connection. Those of stderr are kept as evidence.
    Printed {
        /// Where it printed them.
        on: Printed,
        /// The bytes, in any split.
        bytes: &'a [u8],
    },
    /// Both such pipes reached the end, or reading them failed.
    PrintedClosed,
    /// The first connection is there, and host and plugin are about to agree on how it is secured: the
    /// phase [`StartPhase::Tls`](super::StartPhase::Tls). Left out where nothing is to be secured.
    Reached,
    /// The connection is up: the first, or one that was asked for again. The latter is better
    /// reported only once the peer has sent something on it, since a process that is about to end
    /// still accepts.
    Connected,
    /// The connection could not be made.
    ConnectFailed(Fault),
    /// The connection was made, and could not be secured as it was to be. Otherwise as
    /// [`ConnectFailed`](Self::ConnectFailed).
    SecureFailed(TlsFault),
    /// The connection that was asked for again could not be made and never can be, since the plugin
    /// takes no other: what carried all its streams is gone.
    ConnectionGone(Fault),
    /// The plugin takes no further calls on the connection, which goes on with those it has.
    ConnectionRetiring,
    /// The connection is gone. Of no interest for one that has been replaced by another.
    ConnectionLost,
    /// The call to shut down is over: the plugin may die before it answers, so any outcome but that
    /// of [`ShutdownUnsupported`](Self::ShutdownUnsupported) means "asked".
    ShutdownAnswered,
    /// The call to shut down was answered with UNIMPLEMENTED: the plugin has no controller that
    /// could be asked.
    ShutdownUnsupported,
    /// The process cannot be told to end; answers [`HostAction::Terminate`].
    TerminateFailed,
    /// The process has ended and was reaped.
    Exited(Exit),
}

/// Where a program printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Printed {
    /// Its descriptor 1.
    Stdout,
    /// Its descriptor 2.
    Stderr,
}

/// What the driver is to do; see [`Host::poll_action`](super::Host::poll_action).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostAction {
    /// Start the process, read its pipes for ever, wait for its exit.
    Launch,
    /// Connect, and answer with [`HostInput::Connected`] or [`HostInput::ConnectFailed`]. A
    /// multiplexing plugin waits only 5 s for it. Asked for again when the connection was lost or
    /// is retiring; then it is the successor of the present one, and new calls wait for it.
    Connect {
        /// Where to, as the plugin knows it: a host that sees other addresses (a container's)
        /// translates it first.
        location: Location,
        /// What to speak there.
        protocol: Protocol,
    },
    /// With a protocol on the process's own pipes only: these bytes of its stdout came after the
    /// handshake line and are the transport's. The driver reads on for the transport itself, or
    /// goes on handing stdout to the machine and gets it back here in order.
    TransportBytes(Vec<u8>),
    /// Stop the servers and dials of the broker.
    CloseBroker,
    /// Call the plugin's controller to shut down, and answer with
    /// [`HostInput::ShutdownUnsupported`] if it has none, otherwise with
    /// [`HostInput::ShutdownAnswered`], however the call ends.
    CallShutdown,
    /// Give up the attempt to connect again; a retiring connection may go on with its calls.
    Abandon,
    /// Drop the connection and the attempt to make one.
    Disconnect,
    /// Tell the process to end (SIGTERM), as its own business. No answer but [`HostInput::Exited`], or
    /// [`HostInput::TerminateFailed`] if whoever runs it cannot do that.
    Terminate,
    /// Kill the process; if it has not been made yet, give up making it. No answer but
    /// [`HostInput::Exited`] (or [`HostInput::LaunchFailed`]).
    Kill,
    /// Leave the process and all that is its own: nobody here waits for it any more. No answer.
    Release,
    /// The process is gone, was never made, or refuses to die: remove what was made for it. Comes
    /// exactly once, unless it was released.
    Cleanup,
}

/// How it came that a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was asked to shut down, and did within the grace period.
    Shutdown,
    /// It was asked to shut down and did not within the grace period, so it was ended by force; how is in
    /// the stages.
    GraceExpired,
    /// It has no controller that could be asked to shut down, and did not end by itself within the
    /// grace period, so it was ended by force.
    NoController,
    /// It could not be reached within the grace period to be asked to shut down, so it was ended by
    /// force.
    NotAsked,
    /// It was killed on request.
    Killed,
    /// It lived but could not be reached again after the connection was lost, so it was killed; see
    /// [`HostConfig::end_unreachable`].
    Unreachable,
    /// It did not end: it was left running.
    Released,
    /// It ended without having been asked: a crash, a signal, or an early exit.
    Crashed,
}

/// What the host's user learns; see [`Host::poll_event`](super::Host::poll_event).
///
/// A run gives `Negotiated` and `Ready` at most once each, then exactly one of `Failed` (never
/// ready) and `Exited` (was ready), then `Finished`, after which nothing comes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEvent {
    /// The handshake line came and was accepted.
    Negotiated(Accepted),
    /// The connection is up.
    Ready,
    /// The plugin printed something else than its handshake line on the real stdout.
    StrayStdout {
        /// What it printed, at most [`MAX_STRAY_STDOUT`] bytes.
        bytes: Vec<u8>,
        /// How many more bytes there were.
        lost: u64,
    },
    /// The connection is lost, or takes no more calls, and is being made again. Followed by
    /// `Restored`, `Disconnected` or the end.
    Interrupted,
    /// The connection is there again.
    Restored,
    /// The connection is gone for good and the process still lives: it can only be shut down or
    /// killed. A connection lost because the process ended gives [`Exited`](Self::Exited) instead.
    Disconnected {
        /// What the last attempt to connect again failed with, if any was made and got an answer.
        fault: Option<Fault>,
    },
    /// The plugin did not start. Nothing runs any more.
    Failed(StartError),
    /// The process of a started plugin has ended. Its pipes may still be read for a moment.
    Exited {
        /// How it ended; [`Exit::Unknown`] if it was killed and could not be reaped in time.
        exit: Exit,
        /// How that came.
        reason: ExitReason,
        /// The stages of the end that this side has brought about, in their order; none of a crash.
        stages: Vec<StageReport>,
        /// What its last panic said, if there was one and little was logged since; one line.
        panic: Option<String>,
        /// Its last lines on stderr, bounded, oldest first; before them how its last panic began,
        /// if the stack behind that would have pushed it out.
        stderr: Vec<String>,
    },
    /// All is over: the process is gone, and its pipes ended or were given up. Always the last.
    Finished,
}

/// What a host machine waits for; see [`Host::poll_timeout`](super::Host::poll_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HostTimer {
    /// The current phase of starting must be over.
    Start,
    /// The process's exit, which may explain what has just gone wrong, must have come.
    Evidence,
    /// A process that was asked to exit must have done so.
    ShutdownGrace,
    /// A process that was told to end must have done so.
    TerminateGrace,
    /// A killed process must have been reaped.
    Reap,
    /// The last output of an ended process must have come, or the exit is reported without.
    LastOutput,
    /// Something printed must have come from an ended process, or the pipes of that are given up.
    Silence,
    /// The pipes of an ended process must have reached their end.
    PipeDrain,
    /// A lost connection is to be made again.
    Link(LinkTimer),
}

/// A phrase that completes "waiting for …".
impl fmt::Display for HostTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "the plugin to start",
            Self::Evidence => "an exit that explains a failure",
            Self::ShutdownGrace => "the plugin to exit as asked",
            Self::TerminateGrace => "the plugin to end as told",
            Self::Reap => "a killed plugin to be gone",
            Self::LastOutput => "the last output of an ended plugin",
            Self::Silence => "more that an ended plugin printed",
            Self::PipeDrain => "the end of an ended plugin's pipes",
            Self::Link(link) => return link.fmt(f),
        })
    }
}
