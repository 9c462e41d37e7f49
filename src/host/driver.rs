//! The task that lives as long as a plugin's process: it carries out what the host machine of
//! outboard-core asks for and tells it what happened. It decides nothing itself.
//!
//! A plugin without a process, or with one that has no pipes, is one whose driver has those parts
//! empty.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::{mpsc, oneshot};
use futures_core::Stream as _;
use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::handshake::Protocol;
use outboard_core::host::{self as machine, HostAction, HostEvent, HostInput, StartError};
use outboard_core::reattach::{ReattachConfig, Secured};
use outboard_core::rpc::{Status, Transport};
use outboard_core::rt::{AddressTranslator, Joined, SharedRuntime};
use outboard_core::tls::TlsFault;
use outboard_core::turn::Turn;

use super::diagnosis;
use super::figures::StartClock;
use super::lease::Lease;
use super::link::Started;
use super::origin::Origin;
use super::pipes::Pipes;
use super::process::{News, Running};
use super::report::{ExitReason, ExitReport};
use super::security::Secure;
use super::shared::{Shared, Verb};
use super::uplink::Uplink;
use crate::carrier::Carried;
use crate::sys::private::PrivateDir;
use crate::sys::program;
use crate::sys::stale::remove_stale_socket;
use crate::time::Alarm;

/// What is needed to make a [`Driver`].
pub(super) struct DriverParts {
    pub(super) runtime: SharedRuntime,
    pub(super) machine: machine::Host,
    pub(super) process: Running,
    /// What was agreed on with a plugin that runs already, which says no line any more.
    pub(super) attached: Option<(i64, ReattachConfig)>,
    /// How the addresses of such a one are translated.
    pub(super) addresses: Option<Arc<dyn AddressTranslator>>,
    pub(super) pipes: Pipes,
    /// What was launched and where, for explanations.
    pub(super) program: Option<(PathBuf, Option<PathBuf>)>,
    /// Where the sockets are, if the plugin has a directory of its own.
    pub(super) dir: Option<PrivateDir>,
    pub(super) transports: Vec<Arc<dyn Transport>>,
    pub(super) secure: Secure,
    pub(super) shared: Arc<Shared>,
    pub(super) lease: Option<Lease>,
}

pub(super) struct Driver {
    runtime: SharedRuntime,
    machine: machine::Host,
    process: Running,
    attached: Option<(i64, ReattachConfig)>,
    secured: Secured,
    pipes: Pipes,
    uplink: Uplink,
    program: Option<(PathBuf, Option<PathBuf>)>,
    dir: Option<PrivateDir>,
    transports: Vec<Arc<dyn Transport>>,
    secure: Secure,
    shared: Arc<Shared>,
    /// A closed channel means that all handles are gone.
    verbs: Option<mpsc::UnboundedReceiver<Verb>>,
    ready: Option<oneshot::Sender<Result<Started, StartError>>>,
    alarm: Alarm,
    clock: StartClock,
    /// The transport of a plugin on its own pipes, until those are connected.
    over_pipes: Option<Arc<dyn Transport>>,
    /// What such a plugin sent right behind its handshake line.
    after_line: Vec<u8>,
    /// Goes with the driver.
    _lease: Option<Lease>,
}

impl Driver {
    /// `verbs` is what its user wants, and `ready` learns whether the plugin is up.
    pub(super) fn new(
        parts: DriverParts,
        verbs: mpsc::UnboundedReceiver<Verb>,
        ready: oneshot::Sender<Result<Started, StartError>>,
    ) -> Self {
        let mut uplink = Uplink::new(&parts.runtime, Arc::clone(&parts.shared));
        if let Some(addresses) = parts.addresses {
            uplink.translate(addresses);
        }
        Self {
            uplink,
            runtime: parts.runtime,
            machine: parts.machine,
            process: parts.process,
            attached: parts.attached,
            secured: parts.secure.kind(),
            pipes: parts.pipes,
            program: parts.program,
            dir: parts.dir,
            transports: parts.transports,
            secure: parts.secure,
            shared: parts.shared,
            verbs: Some(verbs),
            ready: Some(ready),
            alarm: Alarm::default(),
            clock: StartClock::default(),
            over_pipes: None,
            after_line: Vec::new(),
            _lease: parts.lease,
        }
    }

    fn input(&mut self, input: HostInput<'_>) {
        let now = self.runtime.now();
        self.machine.handle(now, input);
    }

    /// Carries out everything the machine asks for now. True once it has nothing more to say.
    fn drain(&mut self) -> bool {
        loop {
            if let Some(action) = self.machine.poll_action() {
                self.act(action);
            } else if let Some(event) = self.machine.poll_event() {
                self.report(event);
            } else if let Some(transport) = self.over_pipes.take() {
                // Only now that the bytes behind the line, which the machine gives one by one with
                // its other verbs, are all here.
                self.connect_pipes(transport);
            } else {
                return self.machine.is_finished();
            }
        }
    }

    /// Has connections be multiplexed and secured as was agreed on. Of the first one's the others are as well.
    fn secure(&mut self, protocol: Protocol) -> Result<(), TlsFault> {
        if self.uplink.link().is_none() {
            self.uplink.speak(protocol);
            let accepted = self.machine.handshake();
            #[cfg(feature = "multiplex")]
            if accepted.is_some_and(|accepted| accepted.multiplexing) {
                self.uplink.multiplex();
            }
            let recorded = self.attached.as_ref();
            let recorded = recorded.and_then(|(_, record)| record.certificate.as_deref());
            let told = accepted.and_then(|accepted| accepted.line.certificate());
            let certificate = told.or(recorded);
            let security = self.secure.with(certificate)?;
            self.uplink.secure(security);
            self.secure = Secure::Clear;
        }
        Ok(())
    }

    fn act(&mut self, action: HostAction) {
        match action {
            HostAction::Launch => {
                self.clock.launch(self.runtime.now());
                self.process.launch(&self.runtime);
            }
            HostAction::Connect { location, protocol } => {
                self.clock.connect(self.runtime.now());
                let transport = self.transports.iter().find(|t| t.protocol() == protocol);
                match (location.endpoint(), transport) {
                    (None, Some(transport)) if !protocol.has_socket() => {
                        self.over_pipes = Some(Arc::clone(transport));
                    }
                    (Some(endpoint), Some(transport)) => {
                        let transport = Arc::clone(transport);
                        match self.secure(protocol) {
                            Ok(()) => self.uplink.connect(endpoint.clone(), transport),
                            Err(fault) => self.input(HostInput::SecureFailed(fault)),
                        }
                    }
                    // The machine accepts only what it was told this host can do.
                    (None, _) | (_, None) => {
                        let fault = Fault::other(format!("this host does not speak {protocol:?}"));
                        self.input(HostInput::ConnectFailed(fault));
                    }
                }
            }
            HostAction::TransportBytes(bytes) => self.after_line.extend_from_slice(&bytes),
            HostAction::CloseBroker => {
                // What a process takes along that has ended is told how it has, once that is known.
                if !self.process.is_reaped() {
                    self.uplink.close_broker();
                }
            }
            HostAction::CallShutdown => {
                self.process.begin_end();
                self.uplink.call_shutdown();
            }
            HostAction::Abandon => self.uplink.abandon(),
            HostAction::Disconnect => {
                // The watch stays, though nothing follows from its news any more: what a crash cuts
                // off waits for how the process ended.
                self.uplink.abandon();
                // Drained, not cut: what the plugin still prints while it ends comes this way. Once
                // its process is gone the connection ends by itself, and what it then tells callers
                // is how that came, not that this side let go.
                if let Some(link) = self.uplink.link().filter(|_| !self.process.is_reaped()) {
                    link.connection.drain();
                }
            }
            HostAction::Terminate => self.process.terminate(),
            HostAction::Kill => {
                if let Some(given_up) = self.process.kill() {
                    self.input(given_up);
                }
            }
            HostAction::Release => {
                // First: if this host is killed in between, nobody is to remove what it has let go of.
                if let Some(dir) = self.dir.take() {
                    dir.leave();
                }
                self.process.release();
                self.shared.set_process(None);
            }
            HostAction::Cleanup => self.clean_up(),
        }
    }

    fn report(&mut self, event: HostEvent) {
        match event {
            HostEvent::Negotiated(_) => {
                if let Some(printed) = &mut self.pipes.printed {
                    printed.opened();
                }
            }
            HostEvent::Ready => {
                self.pipes.starting = false;
                let line = self.machine.handshake().map(|accepted| &accepted.line);
                let agreed = line.map(|line| (line.app_version(), line.protocol()));
                let (agreed, origin) = match self.attached.take() {
                    Some((version, record)) => {
                        (Some((version, record.protocol)), Origin::Attached(record))
                    }
                    None => (agreed, self.origin()),
                };
                let link = self.uplink.link().cloned();
                if let (Some(ready), Some((version, protocol)), Some(link)) =
                    (self.ready.take(), agreed, link)
                {
                    // If nobody waits any more, the closed channel says so soon enough.
                    let _unwanted = ready.send(Ok(Started {
                        version,
                        protocol,
                        origin,
                        link,
                        times: self.clock.times(self.runtime.now()),
                    }));
                }
            }
            HostEvent::StrayStdout { bytes, lost } => self.pipes.logs.stray_stdout(&bytes, lost),
            HostEvent::Interrupted => {
                // Most likely the process is ending, which is told when it has.
                tracing::debug!(
                    target: "outboard",
                    plugin = self.shared.name(),
                    "the connection is lost or takes no more calls; connecting again"
                );
                if let Some(link) = self.uplink.link() {
                    link.interrupt();
                }
            }
            HostEvent::Restored => {
                tracing::info!(
                    target: "outboard",
                    plugin = self.shared.name(),
                    "connected to the plugin again"
                );
            }
            HostEvent::Disconnected { fault } => {
                self.shared.set_disconnected();
                let status = self.unreachable(fault.as_ref());
                tracing::error!(target: "outboard", plugin = self.shared.name(), %status);
                self.uplink.give_up(status);
            }
            HostEvent::Failed(mut error) => {
                if error.failure.may_be_no_plugin()
                    && let Some((program, dir)) = &self.program
                {
                    error.explain(program::notes(program, dir.as_deref()));
                }
                if let Some(ready) = self.ready.take() {
                    diagnosis::fail(&self.runtime, self.process.diagnose(), error, ready);
                }
            }
            HostEvent::Exited {
                exit,
                reason,
                stages,
                panic,
                stderr,
            } => {
                let report = ExitReport {
                    exit,
                    reason,
                    stages,
                    panic,
                    stderr,
                };
                self.pipes.logs.exited(&report);
                self.uplink.ended(&report);
                self.shared.set_exited(report);
            }
            HostEvent::Finished => {
                self.pipes.logs.finish(self.runtime.now());
                self.shared.set_log_ended();
            }
            // News that nothing here depends on.
            _ => {}
        }
    }

    /// What a record of the plugin says beside what was agreed on.
    fn origin(&self) -> Origin {
        let handshake = self.machine.handshake();
        let location = handshake.and_then(|accepted| accepted.line.location().endpoint());
        if self.runtime.own_addresses().is_some() {
            return Origin::Memory;
        }
        Origin::Launched {
            endpoint: location.and_then(|endpoint| self.uplink.here(endpoint)),
            multiplexes: handshake.is_some_and(|accepted| accepted.multiplexing),
            secured: self.secured,
            certificate: handshake
                .and_then(|accepted| accepted.line.certificate())
                .filter(|_| self.secured == Secured::AutoMtls)
                .map(<[u8]>::to_vec),
        }
    }

    /// The status of calls to a plugin that lives and cannot be reached.
    fn unreachable(&self, fault: Option<&Fault>) -> Status {
        let name = self.shared.name();
        let why = fault.map_or_else(String::new, |fault| format!(" ({fault})"));
        Status::connection_lost(format!(
            "the connection to the plugin {name} was lost and could not be made again{why}; the \
             process lives, and can be killed"
        ))
    }

    fn clean_up(&self) {
        self.shared.set_process(None);
        if let Some(link) = self.uplink.link() {
            link.broker.clear_up();
        }
        // A plugin that was killed could not do it itself.
        let announced = self.machine.announced();
        if let Some(file) = announced.and_then(|at| self.uplink.socket_file(at)) {
            remove_stale_socket(&file);
        }
        if let Some(dir) = &self.dir {
            dir.remove();
        }
    }

    /// Makes the plugin's own stdin and stdout the connection.
    fn connect_pipes(&mut self, transport: Arc<dyn Transport>) {
        let pipes = (self.process.take_stdin(), self.pipes.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else {
            let fault = Fault::other("the plugin's pipes are closed");
            return self.input(HostInput::ConnectFailed(fault));
        };
        let before = std::mem::take(&mut self.after_line);
        let io = Box::new(Joined::new(stdout, stdin).behind(before));
        let connected = self.uplink.establish(transport, Carried::private(io), None);
        self.input(connected);
        // It is the transport's from now on.
        self.input(HostInput::StdoutClosed);
    }

    fn poll_verbs(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(verbs) = &mut self.verbs else {
            return false;
        };
        let Poll::Ready(verb) = Pin::new(verbs).poll_next(cx) else {
            return false;
        };
        let now = self.runtime.now();
        match verb {
            Some(Verb::Shutdown) => self.machine.shutdown(now),
            Some(Verb::Kill) => self.machine.kill(now),
            Some(Verb::Detach) => self.machine.detach(now),
            None => {
                self.verbs = None;
                self.machine.let_go(now);
            }
        }
        true
    }

    fn poll_process(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(news) = self.process.poll(&self.shared, cx) else {
            return false;
        };
        match news {
            News::Launched(launched) => {
                if let Some(feeding) = self.process.take_feeding() {
                    self.runtime.spawn(feeding);
                }
                let id = self.process.id().map(str::to_owned);
                self.clock.launched(self.runtime.now());
                self.input(HostInput::Launched { id });
                let now = self.runtime.now();
                let pipes = [launched.stdout, launched.stderr];
                self.pipes.opened(now, &mut self.machine, pipes);
                if let Some(addresses) = launched.addresses {
                    self.uplink.translate(addresses);
                }
            }
            News::LaunchFailed(fault) => self.input(HostInput::LaunchFailed(fault)),
            News::TerminateFailed => self.input(HostInput::TerminateFailed),
            News::Exited(exit) => {
                self.pipes.process_ended();
                self.input(HostInput::Exited(exit));
            }
        }
        true
    }

    fn poll_pipes(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.runtime.now();
        self.pipes.poll(now, &mut self.machine, &self.shared, cx)
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        // All that there is: later polls of what is ready again see the waker.
        while let Poll::Ready(news) = self.uplink.poll(cx) {
            self.input(news);
            progress = true;
        }
        progress
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let wanted = self.machine.poll_timeout().map(|(at, _)| at);
        let wanted = [wanted, self.pipes.logs.deadline()]
            .into_iter()
            .flatten()
            .min();
        let Poll::Ready(now) = self.alarm.poll(&self.runtime, wanted, cx) else {
            return false;
        };
        self.machine.handle_timeout(now);
        self.pipes.logs.handle_timeout(now);
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut turn = Turn::new();
        turn.resume(this.runtime.stopwatch());
        loop {
            if this.drain() {
                return Poll::Ready(());
            }
            // Each of these must be polled in each round, so that all have seen the waker.
            let progress = [
                this.poll_verbs(cx),
                this.poll_process(cx),
                this.poll_pipes(cx),
                this.poll_connection(cx),
                this.poll_timer(cx),
            ];
            // Without an input the machine has nothing new to say.
            if !progress.contains(&true) {
                return Poll::Pending;
            }
            if turn.step(Turn::READ, || this.runtime.stopwatch()) {
                // A plugin that prints without end must not keep the thread.
                return turn.give_way(this.runtime.as_ref(), cx);
            }
        }
    }
}

/// Dropped before its end with the runtime, or when a hook of the user panicked: then nobody drives
/// the plugin any more.
impl Drop for Driver {
    fn drop(&mut self) {
        if self.machine.is_finished() {
            return;
        }
        let (reason, why) = if self.machine.outlives_its_driver() {
            if let Some(dir) = self.dir.take() {
                dir.leave();
            }
            self.process.release();
            (ExitReason::Released, "left")
        } else {
            // Kills and reaps.
            self.process.drop_now();
            self.clean_up();
            (ExitReason::Killed, "killed")
        };
        let report = ExitReport::new(Exit::Unknown, reason);
        if let Some(link) = self.uplink.link() {
            // As every transport says it, whichever of the tasks was dropped first.
            let name = self.shared.name();
            let by = if std::thread::panicking() {
                "the task that drove it panicked"
            } else {
                "the async runtime that drove it was shut down"
            };
            let status = Status::connection_lost(format!("the plugin {name} was {why}: {by}"));
            link.connection.abort(status.clone());
            link.broker.over(status.message());
            self.uplink.close(status.message());
        }
        self.shared.set_exited(report);
        self.shared.set_stdio_ended();
        self.shared.set_link_ended();
        self.shared.set_log_ended();
    }
}
