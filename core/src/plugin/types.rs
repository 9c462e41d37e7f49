//! What a plugin machine is told, what it asks for, and what it reports.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::env::{PluginEnv, PortError, Ports, SocketGroup};
use crate::fault::Fault;
use crate::handshake::{HandshakeLine, Location, Protocol};

/// The kind of socket a plugin prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SocketKind {
    /// A unix socket: go-plugin's choice everywhere but on Windows.
    Unix,
    /// TCP on the loopback address: go-plugin's choice on Windows.
    Tcp,
    /// A socket that the program was given, and listens already. Then only protocols with a socket are
    /// spoken.
    Given,
}

/// How a [`Plugin`](super::Plugin) behaves. Durations of [`Duration::MAX`] mean "no limit".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginConfig {
    /// What the host put into the environment.
    pub env: PluginEnv,
    /// The versions of the interfaces that the plugin has, each with the protocols it can be served
    /// over, best first.
    pub versions: BTreeMap<i64, Vec<Protocol>>,
    /// Where to listen, if the protocol needs a socket.
    pub socket: SocketKind,
    /// The plugin's own certificate, DER, for the handshake line. Announced only to a host that
    /// sent its own: a Go host that did not crashes on one.
    pub certificate: Option<Vec<u8>>,
    /// Whether to print the handshake line and take over stdout and stderr. A plugin served inside
    /// a test does neither: the test learns the address from [`PluginEvent::Serving`].
    pub announce: bool,
    /// How long the end in good order may take, in which calls in flight go on and what they print is
    /// sent: 1.5 s. Hosts kill a plugin 2 s after they asked, and the program's own clean-up comes
    /// after serving, so half a second is left for it.
    pub drain_timeout: Duration,
    /// How long text that the program has printed, and its language's runtime holds back, may take to
    /// be written when the streams are given back. The lock on stdout is all that can hold it up, and
    /// a thread of the program may hold that for ever. 200 ms: far more than any print takes, and a
    /// small part of the time that a host waits for a plugin's end.
    pub flush_patience: Duration,
    /// How long what was aborted may take to be gone: a handler that computes cannot be dropped until
    /// it comes to an end or an await. 200 ms, short beside the grace that hosts give.
    pub abort_patience: Duration,
    /// How long a multiplexing plugin waits for its one connection: 5 s, as go-plugin's. Others
    /// wait for ever.
    pub first_connection: Duration,
    /// Whether to go on serving when the host has died, as go-plugin's plugins do. A plugin that
    /// serves its own stdin and stdout cannot.
    pub outlive_host: bool,
    /// How long a plugin that goes on without the host that launched it, or that none has launched, serves
    /// while no host is connected; then it ends by itself. No limit ([`Duration::MAX`]), as go-plugin's.
    pub alone_limit: Duration,
    /// Whether a host holds the plugin: it has the other ends of the plugin's pipes, gets the same
    /// interrupts (a Ctrl-C reaches both) and decides. A plugin that somebody started by hand is
    /// ended by an interrupt instead, in good order, and by a second one at once.
    pub held: bool,
    /// Whether the driver can multiplex brokered connections. If not, the handshake line says
    /// nothing of it, so that a host that insists refuses the plugin with a clear error.
    pub can_multiplex: bool,
}

impl PluginConfig {
    /// The defaults: sockets of the platform's kind, announced, ending with the host.
    #[must_use]
    pub fn new(env: PluginEnv, versions: BTreeMap<i64, Vec<Protocol>>) -> Self {
        Self {
            env,
            versions,
            socket: if cfg!(windows) {
                SocketKind::Tcp
            } else {
                SocketKind::Unix
            },
            certificate: None,
            announce: true,
            drain_timeout: Duration::from_millis(1500),
            flush_patience: Duration::from_millis(200),
            abort_patience: Duration::from_millis(200),
            first_connection: Duration::from_secs(5),
            outlive_host: false,
            alone_limit: Duration::MAX,
            held: true,
            can_multiplex: true,
        }
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenSpec {
    /// A fresh unix socket with a name of `plugin` and digits, which only the owner may connect to.
    Unix {
        /// Its directory; else the system's directory for temporary files.
        dir: Option<PathBuf>,
        /// The group that may connect as well: change the file's group, and its mode to 0660.
        group: Option<SocketGroup>,
    },
    /// TCP on 127.0.0.1.
    Tcp {
        /// The ports to try, in order.
        ports: Ports,
    },
    /// The socket that the program was given.
    Given,
    /// No socket: the process's own stdin and stdout, claimed before user code can print.
    Stdio,
}

/// What happened outside; see [`Plugin::handle`](super::Plugin::handle).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginInput {
    /// The listener is up, at this address.
    Listening(Location),
    /// There is no listener.
    ListenFailed(Fault),
    /// The handshake line is written and flushed.
    HandshakeWritten,
    /// The handshake line could not be written.
    HandshakeWriteFailed(Fault),
    /// A connection was accepted.
    Accepted,
    /// A connection has ended.
    ConnectionClosed,
    /// The host asked for the end, over the controller service.
    ShutdownCalled,
    /// The host is dead.
    HostGone,
    /// The process got an interrupt (SIGINT, Ctrl-C).
    Interrupted,
    /// The process was told to end (SIGTERM).
    Terminated,
    /// No call is in flight any more; answers [`PluginAction::Drain`].
    CallsIdle,
    /// The streams were given back, and all that was printed on them before is in the output;
    /// answers [`PluginAction::ReleaseStreams`].
    Released,
    /// All of the output is sent, or there is nobody to send it to; answers
    /// [`PluginAction::CloseOutput`].
    OutputSent,
    /// Nothing of what was aborted runs any more, neither a call nor a connection, those included that
    /// were made through a broker; answers [`PluginAction::Abort`].
    AllClosed,
}

/// What the driver is to do; see [`Plugin::poll_action`](super::Plugin::poll_action).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginAction {
    /// Listen, and answer with [`PluginInput::Listening`] or [`PluginInput::ListenFailed`].
    Listen(ListenSpec),
    /// Write these bytes to the real stdout and flush it, and answer with
    /// [`PluginInput::HandshakeWritten`] or [`PluginInput::HandshakeWriteFailed`].
    WriteHandshake(Vec<u8>),
    /// From now on what the program prints on stdout and stderr goes to the host's stdio stream.
    RedirectStdio,
    /// Accept connections and serve them. A multiplexing plugin takes exactly one.
    Serve,
    /// Accept no further connections; close the listener and remove its socket file.
    StopListening,
    /// Take no further calls, let those in flight finish, and answer with
    /// [`PluginInput::CallsIdle`]. The call that asked for the end is not among these.
    Drain,
    /// Give stdout and stderr back to the program, without waiting, and answer with
    /// [`PluginInput::Released`].
    ReleaseStreams,
    /// Give them back although text may be lost that the program's runtime still holds. The answer
    /// is the same.
    ForceRelease,
    /// Nothing is printed any more: end the host's stdio stream once all is sent, and answer with
    /// [`PluginInput::OutputSent`].
    CloseOutput,
    /// End what goes on for as long as the plugin serves: the brokers, and the watching of its
    /// health.
    CloseStanding,
    /// Answer the calls that asked for the end, as far as they have come: go-plugin's hosts close
    /// the connection as soon as they have the answer.
    AnswerShutdown,
    /// Drop whatever is still served, and answer with [`PluginInput::AllClosed`].
    Abort,
    /// All is over. Always the last.
    Finish {
        /// The status for a program that does nothing else.
        code: i32,
        /// Why.
        reason: StopReason,
    },
}

/// What a plugin machine waits for; see [`Plugin::poll_timeout`](super::Plugin::poll_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PluginTimer {
    /// The host must have connected.
    FirstConnection,
    /// Some host must have connected.
    Alone,
    /// The end in good order must be over.
    Drain,
    /// What the program's runtime holds of its output must have been written.
    Flush,
    /// What was aborted must be gone.
    Abort,
}

/// A phrase that completes "waiting for …".
impl fmt::Display for PluginTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstConnection => "the host to connect",
            Self::Alone => "another host to connect",
            Self::Drain => "calls in flight to finish",
            Self::Flush => "printed text to be written",
            Self::Abort => "aborted calls to be gone",
        })
    }
}

/// Why a plugin stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The host asked for it.
    Shutdown,
    /// The host died, or hung up on the plugin's stdin.
    HostGone,
    /// A multiplexing plugin lost its one connection.
    Disconnected,
    /// A multiplexing plugin was not connected to in time.
    NobodyConnected,
    /// No host was connected for as long as it serves without one.
    Alone,
    /// An interrupt came before the plugin was announced, or to one that no host holds.
    Interrupted,
    /// The process was told to end (SIGTERM).
    Terminated,
    /// The program itself wanted it.
    Requested,
    /// The plugin could not start.
    Failed(PluginError),
}

impl StopReason {
    /// The exit status that fits: 1 for a failure, where go-plugin gives 0, which hides it; 130
    /// for an interrupt and 143 for a SIGTERM, as shells count (128 and the signal's number); else 0.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Shutdown
            | Self::HostGone
            | Self::Disconnected
            | Self::NobodyConnected
            | Self::Alone
            | Self::Requested => 0,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Failed(_) => 1,
        }
    }
}

/// What the program learns; see [`Plugin::poll_event`](super::Plugin::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginEvent {
    /// Connections are being accepted.
    Serving(HandshakeLine),
    /// An interrupt was ignored: the host gets it too, and decides.
    Interrupted {
        /// How many there were so far.
        count: u64,
    },
    /// The end has begun.
    Stopping(StopReason),
}

/// Why a plugin cannot start. The text is meant for stderr.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// There is nothing to serve: a mistake of the plugin's author.
    #[error("the plugin provides no interfaces; tell its author")]
    NothingToServe,
    /// Each protocol of the chosen version needs an offer that the host did not make.
    #[error(
        "version {version} of the plugin can only be served over its stdin and stdout, \
         which the host did not offer; this program's host is too old, or not outboard"
    )]
    NoCommonProtocol {
        /// The chosen version.
        version: i64,
    },
    /// It was given a socket to listen on, and has no protocol that uses one.
    #[error(
        "version {version} of the plugin can only be served over its stdin and stdout: the listener that \
         it was given is of no use; give it a transport with sockets, or no listener"
    )]
    NoUseForListener {
        /// The chosen version.
        version: i64,
    },
    /// The host's port range is unusable.
    #[error("the plugin cannot choose a port: {0}")]
    Ports(PortError),
    /// No listener.
    #[error("the plugin cannot listen for its host: {0}")]
    Listen(Fault),
    /// The listener's address cannot stand in a handshake line.
    #[error(
        "the address {address:?} cannot be told to the host, since it holds '|' or a control \
         character; set TMPDIR or PLUGIN_UNIX_SOCKET_DIR to another directory"
    )]
    UnprintableAddress {
        /// The address.
        address: String,
    },
    /// The handshake line could not be written: the host has gone already.
    #[error("the handshake line could not be written to stdout: {0}")]
    Handshake(Fault),
}
