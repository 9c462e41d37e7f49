//! The task that lives as long as a plugin's process: it carries out what the host machine of
//! outboard-core asks for and tells it what happened. It decides nothing itself.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_core::Stream as _;
use futures_io::AsyncRead as _;
use outboard_core::endpoint::Endpoint;
use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::handshake::{HandshakeLine, Protocol};
use outboard_core::host::{self as machine, HostAction, HostEvent, HostInput, Printed, StartError};
use outboard_core::rpc::{Status, Transport};
use outboard_core::rt::{
    BoxByteStream, BoxFuture, BoxReader, Joined, Launch, Process, SharedRuntime,
};

use super::link::{Inside, Link, Watch};
use super::logs::LogPump;
use super::printed::Reading;
use super::running::{ExitReason, ExitReport, Shared};
use crate::sys::files::remove_stale_socket;
use crate::sys::private::PrivateDir;
use crate::sys::program;
use crate::time::{self, Alarm};

/// What a handle asks of the driver. A closed channel means that all handles are gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    Shutdown,
    Kill,
}

/// What a successful start gives.
pub(super) struct Started {
    pub(super) line: HandshakeLine,
    pub(super) link: Link,
}

/// Reads handled in one poll before other tasks get their turn, and the time after which they do all
/// the same: what is read may be lines of one byte, each of which is looked at.
const READS_PER_POLL: usize = 4;
const TURN: Duration = Duration::from_micros(500);

/// How often a launch is tried again while the program's file is still open for writing ("text
/// file busy"), and the pause before the first of these tries; each later one is longer by as
/// much. Together about a second, the time an installer may take to let go. (A choice.)
const BUSY_LAUNCHES: u32 = 14;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Bytes read at a time. Small: a plugin that logs much is read more often.
const READ_SIZE: usize = 16 * 1024;

/// A connection being made, and what will be spoken over it.
type Connecting = (
    BoxFuture<'static, io::Result<BoxByteStream>>,
    Arc<dyn Transport>,
);

pub(super) struct Driver {
    runtime: SharedRuntime,
    machine: machine::Host,
    launch: Option<Launch>,
    /// Where the sockets are, if the plugin has a directory of its own.
    dir: Option<PrivateDir>,
    program: PathBuf,
    working_dir: Option<PathBuf>,
    transports: Vec<Arc<dyn Transport>>,
    shared: Arc<Shared>,
    requests: mpsc::UnboundedReceiver<Request>,
    handles_gone: bool,
    ready: Option<oneshot::Sender<Result<Started, StartError>>>,
    logs: LogPump,
    launch_again: Option<BoxFuture<'static, ()>>,
    busy_launches: u32,
    process: Option<Process>,
    reaped: bool,
    stdout: Option<BoxReader>,
    stderr: Option<BoxReader>,
    printed: Option<Reading>,
    alarm: Alarm,
    connecting: Option<Connecting>,
    /// The transport of a plugin on its own pipes, until those are connected.
    over_pipes: Option<Arc<dyn Transport>>,
    /// What such a plugin sent right behind its handshake line.
    after_line: Vec<u8>,
    link: Option<Link>,
    /// Another connection, until the plugin has said something on it.
    proving: Option<(Inside, BoxFuture<'static, ()>)>,
    watch: Option<Watch>,
    shutdown_call: Option<BoxFuture<'static, HostInput<'static>>>,
    buffer: Vec<u8>,
}

/// What is needed to make a [`Driver`].
pub(super) struct DriverParts {
    pub(super) runtime: SharedRuntime,
    pub(super) machine: machine::Host,
    pub(super) launch: Launch,
    pub(super) dir: Option<PrivateDir>,
    /// The pipes for what the plugin prints, if it has some of its own.
    pub(super) printed: Option<Reading>,
    pub(super) transports: Vec<Arc<dyn Transport>>,
    pub(super) shared: Arc<Shared>,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    pub(super) ready: oneshot::Sender<Result<Started, StartError>>,
    pub(super) logs: LogPump,
}

impl Driver {
    pub(super) fn new(parts: DriverParts) -> Self {
        Self {
            runtime: parts.runtime,
            machine: parts.machine,
            program: PathBuf::from(&parts.launch.program),
            working_dir: parts.launch.dir.clone(),
            launch: Some(parts.launch),
            dir: parts.dir,
            transports: parts.transports,
            shared: parts.shared,
            requests: parts.requests,
            handles_gone: false,
            ready: Some(parts.ready),
            logs: parts.logs,
            launch_again: None,
            busy_launches: 0,
            process: None,
            reaped: false,
            stdout: None,
            stderr: None,
            printed: parts.printed,
            alarm: Alarm::default(),
            connecting: None,
            over_pipes: None,
            after_line: Vec::new(),
            link: None,
            proving: None,
            watch: None,
            shutdown_call: None,
            buffer: vec![0; READ_SIZE],
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
                // its other requests, are all here.
                self.connect_pipes(transport);
            } else {
                return self.machine.is_finished();
            }
        }
    }

    fn act(&mut self, action: HostAction) {
        match action {
            HostAction::Launch => self.launch(),
            HostAction::Connect { location, protocol } => {
                let transport = self.transports.iter().find(|t| t.protocol() == protocol);
                match (location.endpoint(), transport) {
                    (None, Some(transport)) if protocol == Protocol::Stdio => {
                        self.over_pipes = Some(Arc::clone(transport));
                    }
                    (Some(endpoint), Some(transport)) => {
                        let transport = Arc::clone(transport);
                        self.connecting = Some((self.runtime.connect(endpoint), transport));
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
                if let Some(link) = &self.link {
                    link.broker.close();
                }
            }
            HostAction::CallShutdown => {
                if let Some(link) = &self.link {
                    link.settle();
                    self.shutdown_call = Some(link.call_shutdown());
                }
            }
            HostAction::Abandon => self.abandon(),
            HostAction::Disconnect => {
                // The watch stays, though nothing follows from its news any more: what a crash cuts
                // off waits for how the process ended.
                self.abandon();
                // Drained, not cut: what the plugin still prints while it ends comes this way. Once
                // its process is gone the connection ends by itself, and what it then tells callers
                // is how that came, not that this side let go.
                if let Some(link) = self.link.as_ref().filter(|_| !self.reaped) {
                    link.connection.drain();
                }
            }
            HostAction::Kill if self.launch_again.take().is_some() => {
                let fault = Fault::other("the launch was given up");
                self.input(HostInput::LaunchFailed(fault));
            }
            HostAction::Kill => {
                // If the system refuses, the machine's own deadline ends the wait.
                if let Some(process) = &mut self.process
                    && let Err(error) = process.child.kill()
                {
                    let (plugin, pid) = (self.shared.name(), process.child.id());
                    tracing::warn!(plugin, pid, %error, "the plugin cannot be killed and may go on running");
                }
            }
            HostAction::Cleanup => self.clean_up(),
        }
    }

    /// Gives up the attempt to connect.
    fn abandon(&mut self) {
        self.connecting = None;
        self.proving = None;
    }

    fn launch(&mut self) {
        let Some(launch) = self.launch.take() else {
            return;
        };
        match self.runtime.launch(launch.clone()) {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy
                    && self.busy_launches < BUSY_LAUNCHES =>
            {
                // Whoever has just written the file, or forked while it was open for writing, is
                // about to close it.
                self.busy_launches += 1;
                self.launch = Some(launch);
                let pause = time::sleep(&self.runtime, BUSY_PAUSE * self.busy_launches);
                self.launch_again = Some(Box::pin(pause));
            }
            Ok(mut process) => {
                let pid = process.child.id();
                self.shared.set_pid(Some(pid));
                let nothing = || Box::new(futures_util::io::empty()) as BoxReader;
                self.stdout = Some(std::mem::replace(&mut process.stdout, nothing()));
                self.stderr = Some(std::mem::replace(&mut process.stderr, nothing()));
                self.process = Some(process);
                self.input(HostInput::Launched { pid: Some(pid) });
            }
            Err(error) => self.input(HostInput::LaunchFailed(error.into())),
        }
    }

    fn report(&mut self, event: HostEvent) {
        match event {
            HostEvent::Negotiated(_) => {
                if let Some(printed) = &mut self.printed {
                    printed.opened();
                }
            }
            HostEvent::Ready => {
                let line = self
                    .machine
                    .handshake()
                    .map(|accepted| accepted.line.clone());
                if let (Some(ready), Some(line), Some(link)) =
                    (self.ready.take(), line, self.link.clone())
                {
                    // If nobody waits any more, the closed channel says so soon enough.
                    let _unwanted = ready.send(Ok(Started { line, link }));
                }
            }
            HostEvent::StrayStdout { bytes, lost } => self.logs.stray_stdout(&bytes, lost),
            HostEvent::Interrupted => {
                // Most likely the process is ending, which is told when it has.
                tracing::debug!(
                    target: "outboard",
                    plugin = self.shared.name(),
                    "the connection is lost or takes no more calls; connecting again"
                );
                if let Some(link) = &self.link {
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
                self.watch = None;
                self.shared.set_disconnected();
                let status = self.unreachable(fault.as_ref());
                tracing::error!(target: "outboard", plugin = self.shared.name(), %status);
                if let Some(link) = &self.link {
                    link.give_up(status);
                }
            }
            HostEvent::Failed(mut error) => {
                if error.failure.may_be_no_plugin() {
                    error.explain(program::notes(&self.program, self.working_dir.as_deref()));
                }
                if let Some(ready) = self.ready.take() {
                    let _unwanted = ready.send(Err(error));
                }
            }
            HostEvent::Exited {
                exit,
                reason,
                panic,
                stderr,
            } => {
                let report = ExitReport {
                    exit,
                    reason,
                    panic,
                    stderr,
                };
                self.logs.exited(&report);
                if let Some(link) = &self.link {
                    link.ended(&self.runtime, &self.shared, &report);
                    link.broker.close();
                }
                self.shared.set_exited(report);
            }
            HostEvent::Finished => {
                self.logs.finish(self.runtime.now());
                self.shared.set_log_ended();
            }
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
        self.shared.set_pid(None);
        if let Some(link) = &self.link {
            link.broker.remove_stale_files();
        }
        // A plugin that was killed could not do it itself.
        if let Some(file) = self.machine.announced().and_then(Endpoint::socket_file) {
            remove_stale_socket(file);
        }
        if let Some(dir) = &self.dir {
            dir.remove();
        }
    }

    fn poll_requests(&mut self, cx: &mut Context<'_>) -> bool {
        if self.handles_gone {
            return false;
        }
        let Poll::Ready(request) = Pin::new(&mut self.requests).poll_next(cx) else {
            return false;
        };
        let now = self.runtime.now();
        match request {
            Some(Request::Shutdown) => self.machine.shutdown(now),
            Some(Request::Kill) => self.machine.kill(now),
            None => {
                self.handles_gone = true;
                self.machine.kill(now);
            }
        }
        true
    }

    fn poll_stdout(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stdout) = &mut self.stdout else {
            return false;
        };
        let now = self.runtime.now();
        match Pin::new(stdout).poll_read(cx, &mut self.buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok(count)) if count > 0 => {
                self.machine
                    .handle(now, HostInput::Stdout(&self.buffer[..count]));
                true
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => true,
            Poll::Ready(_) => {
                self.stdout = None;
                self.machine.handle(now, HostInput::StdoutClosed);
                true
            }
        }
    }

    fn poll_stderr(&mut self, cx: &mut Context<'_>) -> bool {
        if self.logs.is_busy() {
            self.logs.turn(self.runtime.now());
            return true;
        }
        let Some(stderr) = &mut self.stderr else {
            return false;
        };
        let now = self.runtime.now();
        match Pin::new(stderr).poll_read(cx, &mut self.buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok(count)) if count > 0 => {
                let bytes = &self.buffer[..count];
                self.machine.handle(now, HostInput::Stderr(bytes));
                self.logs.stderr(now, bytes);
                true
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => true,
            Poll::Ready(_) => {
                self.stderr = None;
                self.machine.handle(now, HostInput::StderrClosed);
                true
            }
        }
    }

    fn poll_printed(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Poll::Ready(bytes) = self.shared.said.poll(cx) {
            let on = Printed::Stderr;
            self.input(HostInput::Printed { on, bytes: &bytes });
            progress = true;
        }
        let Some(printed) = &mut self.printed else {
            return progress;
        };
        // Until it serves, what it says on stderr is in the log, too.
        let starting = self.ready.is_some();
        for on in [Printed::Stdout, Printed::Stderr] {
            if on == Printed::Stderr && starting && self.logs.is_busy() {
                continue;
            }
            let Poll::Ready(count) = printed.poll_read(on, cx, &mut self.buffer) else {
                continue;
            };
            progress = true;
            let (now, bytes) = (self.runtime.now(), &self.buffer[..count]);
            self.machine.handle(now, HostInput::Printed { on, bytes });
            if on == Printed::Stderr && starting {
                self.logs.early(now, bytes);
            }
        }
        if printed.is_over() {
            self.printed = None;
            self.input(HostInput::PrintedClosed);
        }
        progress
    }

    fn poll_launch(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(pause) = &mut self.launch_again else {
            return false;
        };
        if pause.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.launch_again = None;
        self.launch();
        true
    }

    fn poll_exit(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        if self.reaped {
            return false;
        }
        match process.child.poll_wait(cx) {
            Poll::Pending => false,
            Poll::Ready(exit) => {
                self.reaped = true;
                if let Some(printed) = &mut self.printed {
                    printed.process_ended();
                }
                let exit = exit.unwrap_or_else(|error| {
                    let (plugin, pid) = (self.shared.name(), process.child.id());
                    tracing::warn!(
                        plugin, pid, %error,
                        "the plugin's end cannot be waited for: it may go on running, or stay as a \
                         zombie; it counts as ended"
                    );
                    Exit::Unknown
                });
                self.input(HostInput::Exited(exit));
                true
            }
        }
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Some((connecting, transport)) = &mut self.connecting
            && let Poll::Ready(outcome) = connecting.as_mut().poll(cx)
        {
            let transport = Arc::clone(transport);
            self.connecting = None;
            match outcome {
                Ok(io) => self.connected(transport, io),
                Err(error) => {
                    let fault = match self.machine.announced() {
                        Some(endpoint) => endpoint.connect_fault(error),
                        None => error.into(),
                    };
                    self.input(HostInput::ConnectFailed(fault));
                }
            }
            progress = true;
        }
        if let Some((_, heard)) = &mut self.proving
            && heard.as_mut().poll(cx).is_ready()
            && let Some((inside, _)) = self.proving.take()
        {
            self.connected_again(inside);
            progress = true;
        }
        if let Some(watch) = &mut self.watch
            && let Poll::Ready(news) = watch.poll(cx)
        {
            self.input(news);
            progress = true;
        }
        if let Some(call) = &mut self.shutdown_call
            && let Poll::Ready(outcome) = call.as_mut().poll(cx)
        {
            self.shutdown_call = None;
            self.input(outcome);
            progress = true;
        }
        progress
    }

    fn connected(&mut self, transport: Arc<dyn Transport>, io: BoxByteStream) {
        if let Some(link) = &self.link {
            // A process that is about to end takes connections to the last. So this one counts once
            // something has come over it.
            let inside = link.prepare(&self.runtime, io, &self.shared);
            let heard = inside.connection.heard();
            self.proving = Some((inside, heard));
            return;
        }
        let endpoint = self.machine.announced().cloned();
        self.establish(transport, io, endpoint);
    }

    fn establish(
        &mut self,
        transport: Arc<dyn Transport>,
        io: BoxByteStream,
        endpoint: Option<Endpoint>,
    ) {
        let (link, inside) = Link::establish(&self.runtime, transport, io, endpoint, &self.shared);
        self.watch = Some(inside.watch());
        self.link = Some(link);
        self.input(HostInput::Connected);
    }

    fn connected_again(&mut self, inside: Inside) {
        if inside.connection.is_retiring() {
            let fault = Fault::other("the connection ended before the plugin said anything");
            return self.input(HostInput::ConnectFailed(fault));
        }
        if let Some(link) = &self.link {
            link.replace(&inside);
        }
        self.watch = Some(inside.watch());
        self.input(HostInput::Connected);
    }

    /// Makes the plugin's own stdin and stdout the connection.
    fn connect_pipes(&mut self, transport: Arc<dyn Transport>) {
        let stdin = self
            .process
            .as_mut()
            .and_then(|process| process.stdin.take());
        let (Some(stdin), Some(stdout)) = (stdin, self.stdout.take()) else {
            let fault = Fault::other("the plugin's pipes are closed");
            return self.input(HostInput::ConnectFailed(fault));
        };
        let before = std::mem::take(&mut self.after_line);
        self.establish(
            transport,
            Box::new(Joined::new(stdout, stdin).behind(before)),
            None,
        );
        // It is the transport's from now on.
        self.input(HostInput::StdoutClosed);
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let wanted = self.machine.poll_timeout().map(|(at, _)| at);
        let wanted = [wanted, self.logs.deadline()].into_iter().flatten().min();
        let Poll::Ready(now) = self.alarm.poll(&self.runtime, wanted, cx) else {
            return false;
        };
        self.machine.handle_timeout(now);
        self.logs.handle_timeout(now);
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let began = this.runtime.stopwatch();
        for _ in 0..READS_PER_POLL {
            if this.drain() {
                return Poll::Ready(());
            }
            // Each of these must be polled in each round, so that all have seen the waker.
            let progress = [
                this.poll_requests(cx),
                this.poll_launch(cx),
                this.poll_stdout(cx),
                this.poll_stderr(cx),
                this.poll_printed(cx),
                this.poll_exit(cx),
                this.poll_connection(cx),
                this.poll_timer(cx),
            ];
            // Without an input the machine has nothing new to say.
            if !progress.contains(&true) {
                return Poll::Pending;
            }
            let spent = this.runtime.stopwatch();
            if spent.saturating_duration_since(began) >= TURN {
                break;
            }
        }
        // Others first: a plugin that prints without end must not keep the thread.
        this.runtime.wake_after_io(cx.waker());
        Poll::Pending
    }
}

/// Dropped before its end with the runtime, or when a hook of the user panicked: then nobody drives
/// the plugin any more.
impl Drop for Driver {
    fn drop(&mut self) {
        if self.machine.is_finished() {
            return;
        }
        // Kills and reaps.
        self.process = None;
        self.clean_up();
        let report = ExitReport {
            exit: Exit::Unknown,
            reason: ExitReason::Killed,
            panic: None,
            stderr: Vec::new(),
        };
        if let Some(link) = &self.link {
            // As every transport says it, whichever of the tasks was dropped first.
            let name = self.shared.name();
            let why = if std::thread::panicking() {
                "the task that drove it panicked"
            } else {
                "the async runtime that drove it was shut down"
            };
            let status = Status::connection_lost(format!("the plugin {name} was killed: {why}"));
            link.connection.abort(status);
            link.broker.close();
        }
        self.shared.set_exited(report);
        self.shared.set_stdio_ended();
        self.shared.set_link_ended();
        self.shared.set_log_ended();
    }
}
