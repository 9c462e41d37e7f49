//! The host's side of a plugin's life, from launch to cleanup.

mod ending;
mod error;
mod hint;
mod linking;
mod stages;
mod starting;
mod tail;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod types;

use std::collections::VecDeque;
use std::time::Instant;

use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::handshake::{Accepted, HandshakeReader, Location, Protocol};
use crate::link::Link;
use crate::timer::Timers;
use crate::tls::TlsFault;

use stages::Stages;
use tail::Tail;

pub use error::{Evidence, StartError, StartFailure, StartPhase};
pub use hint::Hint;
pub use stages::{EndStage, StageOutcome, StageReport};
pub use types::{
    ExitReason, HostAction, HostConfig, HostEvent, HostInput, HostTimer, MAX_STRAY_STDOUT, Means,
    Printed, WhenDropped,
};

/// The host's side of one plugin process: launch, handshake, connection, shutdown, cleanup.
///
/// Its methods are getters, `handle*` for what comes from outside, the verbs
/// [`shutdown`](Self::shutdown) and [`kill`](Self::kill) for what the user wants, and `poll_*` for
/// what goes outside. The crate's documentation says in which order to use them. No input in any
/// order makes it panic; inputs that make no sense in a state are ignored.
///
/// ```text
///   Launching ────────── LaunchFailed ───────────────┐
///       │ Launched                                   │
///       ▼             ┌──▶ Explaining ──┐            │
///  Handshaking ───────┤  (stdout ended, │            │
///       │ good line   │   no connection)│            │
///       ▼             │                 │            │
///   Connecting ───────┤                 │            │
///       │ Connected   │ bad line,       │ no exit    │
///       │             │ time is up,     │ soon       │
///       ▼             ▼ kill()          ▼            │
///     Ready ─kill()─▶ Killed ◀──────────┘            │
///       │             ▲ │  │                         │
///       │ shutdown()  │ │  └─ not reaped in time ────┤
///       ▼             │ │ Exited                     │
///     Asked           │ │                            │
///       │ grace       │ │                            │
///       ▼             │ ▼                            ▼
///  Terminating ─ grace┘ Draining ── pipes ended ──▶ Finished
///       └─ Exited ──────▲
/// ```
///
/// Each of `Asked`, `Terminating` and `Killed` is a stage of the end with a limit of its own, and what
/// came of it is reported ([`StageReport`]). Where the process cannot be told to end, or no time is given
/// for that, `Terminating` is left out.
///
/// A connection that is lost in `Ready` is made again as a [`Link`] says; in `Asked` too, as long as
/// there was none to ask over.
///
/// [`let_go`](Host::let_go) is `kill()`, or leads from `Ready` to `Finished` where the plugin is to be
/// left running.
///
/// From every state `Exited` leads to `Draining`, where the pipes are read until both have ended or
/// [`HostConfig::pipe_drain`] is over.
#[derive(Debug)]
pub struct Host {
    config: HostConfig,
    state: State,
    timers: Timers<HostTimer>,
    actions: VecDeque<HostAction>,
    events: VecDeque<HostEvent>,
    /// Present until the handshake line was seen or the start failed.
    reader: Option<HandshakeReader>,
    announced: Option<Endpoint>,
    handshake: Option<Accepted>,
    /// Where to connect, and what to speak there.
    target: Option<(Location, Protocol)>,
    /// Whether a process was made.
    launched: bool,
    /// Whether somebody else has made it.
    attached: bool,
    id: Option<String>,
    wire: Wire,
    /// Present while there is a connection that could be made again.
    link: Option<Link>,
    /// Why there will be no other connection, until it is known whether the process is ending.
    gone: Option<Fault>,
    /// Whether the plugin was called to shut down.
    called: bool,
    /// Whether it has a controller, as far as is known: the call tells.
    has_controller: bool,
    stdout: Pipe,
    stderr: Pipe,
    /// What the program prints, where that has pipes of its own.
    printed: Pipe,
    tail: Tail,
    /// Why the start failed, once it has.
    failure: Option<StartFailure>,
    /// Present once the plugin was ready: why it ended, or [`ExitReason::Crashed`] until then.
    reason: Option<ExitReason>,
    exit: Option<Exit>,
    /// What was done to end it once it was ready.
    stages: Stages,
    killed: bool,
    cleaned: bool,
    reported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Launching,
    Handshaking,
    Connecting,
    /// The start has failed in a way that the process's own exit may explain.
    Explaining,
    Ready,
    /// Asked to shut down.
    Asked,
    /// Its process was told to end.
    Terminating,
    /// A kill was asked for; the process has not been reaped.
    Killed,
    /// Reaped; the pipes may hold more.
    Draining,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// Not asked for yet, or dropped, or lost for good.
    Down,
    /// Being made, for the first time or again.
    Connecting,
    /// The first is there, and is being secured.
    Securing,
    Up,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pipe {
    Open,
    Closed,
}

impl Host {
    /// A plugin about to be launched: the first action is [`HostAction::Launch`].
    #[must_use]
    pub fn new(config: HostConfig, now: Instant) -> Self {
        let mut host = Self::blank(config, State::Launching);
        let mut reader = HandshakeReader::new();
        if let Some(tolerance) = host.config.tolerance {
            reader = reader.tolerate(tolerance);
        }
        host.reader = Some(reader);
        if host.config.direct_output {
            host.printed = Pipe::Open;
        }
        host.actions.push_back(HostAction::Launch);
        host.arm_start(now);
        host
    }

    /// A plugin that runs already and whose pipes belong to someone else: the first action is
    /// [`HostAction::Connect`]. There is no handshake and no evidence from stderr.
    ///
    /// The driver watches the process by its id and reports [`HostInput::Exited`], with
    /// [`Exit::Unknown`] as only a parent learns more. One that could not be connected to is left alone:
    /// nothing says that it is the plugin. A plugin that is not to be ended at all, such as one in test
    /// mode or in the same process, is configured with other [`HostConfig::means`].
    #[must_use]
    pub fn attach(
        config: HostConfig,
        now: Instant,
        id: Option<String>,
        endpoint: Endpoint,
        protocol: Protocol,
    ) -> Self {
        let mut host = Self::blank(config, State::Connecting);
        host.launched = true;
        host.attached = true;
        host.announced = Some(endpoint.clone());
        host.id = id;
        host.stdout = Pipe::Closed;
        host.stderr = Pipe::Closed;
        host.connect(now, Location::Endpoint(endpoint), protocol);
        host
    }

    /// Takes note of what happened outside. What went wrong comes out as an event.
    pub fn handle(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Launched { id } => self.on_launched(now, id),
            HostInput::LaunchFailed(fault) => self.on_launch_failed(fault),
            HostInput::Stdout(bytes) => self.on_stdout(now, bytes),
            HostInput::StdoutClosed => self.on_stdout_closed(now),
            HostInput::Stderr(bytes) => {
                if self.stderr == Pipe::Open && self.state != State::Finished {
                    self.tail.push(bytes);
                }
            }
            HostInput::StderrClosed => {
                self.stderr = Pipe::Closed;
                self.finish_when_drained();
            }
            HostInput::Printed { on, bytes } => self.on_printed(now, on, bytes),
            HostInput::PrintedClosed => {
                self.printed = Pipe::Closed;
                self.finish_when_drained();
            }
            HostInput::Reached => self.on_reached(now),
            HostInput::Connected => self.on_connected(now),
            HostInput::ConnectFailed(fault) => {
                self.on_connect_failed(now, fault, |location, fault| StartFailure::Connect {
                    location,
                    fault,
                });
            }
            HostInput::SecureFailed(TlsFault { reason, fault }) => {
                self.on_connect_failed(now, fault, |location, fault| StartFailure::Tls {
                    location,
                    reason,
                    fault,
                });
            }
            HostInput::ConnectionGone(fault) => self.on_connection_gone(now, fault),
            HostInput::ConnectionRetiring => self.on_connection_retiring(now),
            HostInput::ConnectionLost => self.on_connection_lost(now),
            HostInput::ShutdownAnswered => self.on_shutdown_answered(true),
            HostInput::ShutdownUnsupported => self.on_shutdown_answered(false),
            HostInput::TerminateFailed => self.on_terminate_failed(now),
            HostInput::Exited(exit) => self.on_exited(now, exit),
        }
    }

    /// Acts on the timers that have expired by `now`. Afterwards
    /// [`poll_timeout`](Self::poll_timeout) is later than `now`, or there is none.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kind) = self.timers.pop_expired(now) {
            self.on_timer(now, kind);
        }
        self.on_link_timeout(now);
    }

    /// The next thing for the driver to do, if any.
    pub fn poll_action(&mut self) -> Option<HostAction> {
        self.actions.pop_front()
    }

    /// The next thing for the user to know, if any.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, HostTimer)> {
        let of_link = self.link.as_ref().and_then(Link::poll_timeout);
        let of_link = of_link.map(|(at, kind)| (at, HostTimer::Link(kind)));
        [self.timers.next(), of_link].into_iter().flatten().min()
    }

    /// Ends the plugin in good order: the broker is closed and the plugin is asked to exit. If it has not
    /// within [`HostConfig::shutdown_grace`], its process is told to end, and killed after
    /// [`HostConfig::terminate_grace`]. A plugin that is not ready yet is killed at once: there is no
    /// connection to ask over.
    ///
    /// May be called at any time and repeatedly.
    pub fn shutdown(&mut self, now: Instant) {
        match self.state {
            State::Launching | State::Handshaking | State::Connecting | State::Explaining => {
                self.kill(now);
            }
            State::Ready if self.config.means == Means::None => self.release(now),
            State::Ready => {
                self.state = State::Asked;
                self.timers.clear();
                self.stages.begin(now, EndStage::Asked);
                self.reason = Some(ExitReason::Shutdown);
                self.actions.push_back(HostAction::CloseBroker);
                // Without a connection there is nothing to ask over. The grace is given all the
                // same: a plugin that dropped its connection may be on its way out, or take another.
                self.call_shutdown(now);
                let grace = self.config.shutdown_grace;
                self.timers.arm(HostTimer::ShutdownGrace, now, grace);
            }
            State::Asked
            | State::Terminating
            | State::Killed
            | State::Draining
            | State::Finished => {}
        }
    }

    /// Kills the plugin at once, whatever it is doing. May be called at any time and repeatedly.
    pub fn kill(&mut self, now: Instant) {
        match self.state {
            State::Launching if self.actions.front() == Some(&HostAction::Launch) => {
                // Nobody has seen the request yet: nothing exists that could be killed.
                self.actions.clear();
                self.fail(StartFailure::Cancelled);
                self.finish();
            }
            State::Launching | State::Handshaking | State::Connecting | State::Explaining => {
                self.fail(StartFailure::Cancelled);
                self.start_killing(now);
            }
            State::Ready | State::Asked | State::Terminating => {
                self.reason = Some(ExitReason::Killed);
                self.start_killing(now);
            }
            State::Killed | State::Draining | State::Finished => {}
        }
    }

    /// Takes note that the user has let go of the plugin, as
    /// [`HostConfig::when_dropped`] says: it is killed, or left running if it was up. One that has
    /// been asked to end is left to that then. May be called at any time and repeatedly.
    pub fn let_go(&mut self, now: Instant) {
        match self.config.when_dropped {
            WhenDropped::Release => self.detach(now),
            WhenDropped::Kill => self.kill(now),
        }
    }

    /// Leaves the plugin running, if it is up; one that is not yet is given up. One that has been asked
    /// to end is left to that. May be called at any time and repeatedly.
    pub fn detach(&mut self, now: Instant) {
        match self.state {
            State::Ready => self.release(now),
            State::Asked | State::Terminating => {}
            _ => self.kill(now),
        }
    }

    /// Whether a plugin whose driver is dropped now is to be left running, instead of being killed.
    #[must_use]
    pub fn outlives_its_driver(&self) -> bool {
        let up = matches!(self.state, State::Ready | State::Asked | State::Terminating);
        up && (self.config.means != Means::All || self.config.when_dropped == WhenDropped::Release)
    }

    /// The id of the process while it lives, as far as the machine knows.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Where the plugin said it listens, even if its line was refused: a plugin that is killed
    /// leaves its socket file behind for the host to remove.
    #[must_use]
    pub fn announced(&self) -> Option<&Endpoint> {
        self.announced.as_ref()
    }

    /// The accepted handshake line, and whether connections are multiplexed.
    #[must_use]
    pub fn handshake(&self) -> Option<&Accepted> {
        self.handshake.as_ref()
    }

    /// How the process ended, once it was reaped.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// The last lines of stderr so far, bounded, oldest first.
    #[must_use]
    pub fn stderr_tail(&self) -> Vec<String> {
        self.tail.lines()
    }

    /// Whether the plugin came up and has not been asked to end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether [`HostEvent::Finished`] has been queued: no input changes anything any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }
}
