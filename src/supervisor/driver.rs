//! The task that keeps a plugin up: it carries out what the supervisor of outboard-core asks for and tells
//! it what happened. It decides nothing itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_channel::mpsc;
use futures_core::Stream as _;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::SharedRuntime;
use outboard_core::supervisor::{
    Cause, Change, Refusal, Supervisor, SupervisorAction, SupervisorEvent, SupervisorInput,
    SupervisorPhase,
};
use outboard_core::turn::Turn;

use super::board::Board;
use super::error::refused;
use super::limit::StartLimit;
use super::process::{News, Process, Queue};
use super::usage::Usage;
use crate::Status;
use crate::host::{Host, RunningPlugin, ShutdownError};
use crate::link::Stable;
use crate::time::Alarm;

/// What a handle asks for. A closed channel means that all handles are gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Start,
    Shutdown,
}

/// What the driver and the handles share.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) board: Board,
    /// Starts that a handle has asked for, and the driver has not seen.
    asked: AtomicUsize,
    state: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    plugin: Option<Arc<RunningPlugin>>,
    /// What was wrong about the end that was asked for last.
    judged: Option<ShutdownError>,
}

impl Shared {
    pub(super) fn new(name: String, board: Board) -> Self {
        Self {
            name,
            board,
            asked: AtomicUsize::new(0),
            state: Mutex::new(Rank::Driver, Present::default()),
        }
    }

    /// A start is asked for from now on.
    pub(super) fn ask_start(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether one is asked for that does not show yet.
    pub(super) fn is_start_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }

    /// The plugin, while it is up.
    pub(super) fn plugin(&self) -> Option<Arc<RunningPlugin>> {
        self.state.lock().plugin.clone()
    }

    fn set_plugin(&self, plugin: Option<Arc<RunningPlugin>>) {
        let before = std::mem::replace(&mut self.state.lock().plugin, plugin);
        drop(before);
    }

    pub(super) fn judged(&self) -> Option<ShutdownError> {
        self.state.lock().judged.clone()
    }

    fn set_judged(&self, judged: Option<ShutdownError>) {
        let before = std::mem::replace(&mut self.state.lock().judged, judged);
        drop(before);
    }
}

/// What is needed to make a [`Driver`].
pub(super) struct DriverParts {
    pub(super) runtime: SharedRuntime,
    pub(super) host: Host,
    pub(super) limit: Option<StartLimit>,
    pub(super) machine: Supervisor,
    pub(super) stable: Arc<Stable>,
    pub(super) usage: Option<Usage>,
    pub(super) shared: Arc<Shared>,
    pub(super) verbs: mpsc::UnboundedReceiver<Verb>,
}

pub(super) struct Driver {
    runtime: SharedRuntime,
    host: Host,
    limit: Option<StartLimit>,
    machine: Supervisor,
    stable: Arc<Stable>,
    usage: Option<Usage>,
    shared: Arc<Shared>,
    verbs: Option<mpsc::UnboundedReceiver<Verb>>,
    queue: Option<Queue>,
    process: Process,
    alarm: Alarm,
    /// Of the state that is on show.
    version: u64,
}

impl Driver {
    pub(super) fn new(parts: DriverParts) -> Self {
        Self {
            runtime: parts.runtime,
            host: parts.host,
            limit: parts.limit,
            machine: parts.machine,
            stable: parts.stable,
            usage: parts.usage,
            shared: parts.shared,
            verbs: Some(parts.verbs),
            queue: None,
            process: Process::None,
            alarm: Alarm::default(),
            version: 0,
        }
    }

    fn input(&mut self, input: SupervisorInput) {
        let now = self.runtime.now();
        self.machine.handle(now, input);
    }

    /// Carries out everything the machine asks for now, and shows what has changed. True once all is over.
    fn drain(&mut self) -> bool {
        let mut events = Vec::new();
        loop {
            if let Some(action) = self.machine.poll_action() {
                self.act(action);
            } else if let Some(event) = self.machine.poll_event() {
                self.log(&event);
                events.push(event);
            } else {
                break;
            }
        }
        let over = matches!(self.machine.state().phase, SupervisorPhase::Over(_));
        let over = over && self.process.is_none();
        let version = self.machine.version();
        if version != self.version || !events.is_empty() || over {
            self.version = version;
            self.shared.board.show(self.machine.state(), events, over);
        }
        over
    }

    fn act(&mut self, action: SupervisorAction) {
        match action {
            SupervisorAction::AskPlace { generation } => {
                let place = self.limit.as_ref().map(StartLimit::ask);
                self.queue = Some(Queue::new(generation, place));
            }
            SupervisorAction::LeavePlace { .. } => self.queue = None,
            SupervisorAction::Start { generation } => {
                self.process = Process::start(&self.host, &self.runtime, generation);
            }
            SupervisorAction::Stop { how, .. } => self.process.stop(how),
            SupervisorAction::Hold => self.stable.hold(),
            SupervisorAction::Admit { .. } => {
                if let Process::Up(up) = &self.process {
                    self.stable.replace(Arc::clone(up.plugin.connection()));
                }
            }
            SupervisorAction::Refuse(refusal) => self.stable.fail(self.refused(refusal)),
            SupervisorAction::Rest {
                generation,
                unused_since,
            } => {
                let rests = match &self.usage {
                    Some(usage) => self.stable.hold_if(|| usage.is_unused(unused_since)),
                    None => false,
                };
                let input = if rests {
                    SupervisorInput::Rested { generation }
                } else {
                    SupervisorInput::InUse {
                        generation,
                        since: self.usage.as_ref().and_then(Usage::since),
                    }
                };
                self.input(input);
            }
            SupervisorAction::Watch { .. } => self.process.watch(),
            SupervisorAction::Probe { probe, .. } => self.process.probe(probe),
        }
    }

    /// What calls are told.
    fn refused(&self, refusal: Refusal) -> Status {
        let state = self.machine.state();
        let last = state.failures.last();
        Status::connection_lost(refused(&self.shared.name, refusal, state.restarts, last))
    }

    fn log(&self, event: &SupervisorEvent) {
        let plugin = self.shared.name.as_str();
        let generation = event.generation;
        match &event.change {
            Change::Ended(end) if end.cause.is_failure() => {
                tracing::warn!(target: "outboard", plugin, generation, "{end}");
            }
            Change::CrashLoop(_) => {
                let status = self.refused(Refusal::CrashLoop);
                tracing::error!(target: "outboard", plugin, generation, "{}", status.message());
            }
            Change::Missed(times) => {
                tracing::warn!(target: "outboard", plugin, generation, times, "the plugin was not well");
            }
            Change::Up if generation > 1 => {
                tracing::info!(target: "outboard", plugin, generation, "the plugin is up again");
            }
            _ => {}
        }
    }

    fn poll_verbs(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(verbs) = &mut self.verbs else {
            return false;
        };
        let Poll::Ready(verb) = Pin::new(verbs).poll_next(cx) else {
            return false;
        };
        match verb {
            Some(Verb::Start) => {
                self.machine.start();
                // Whoever knows that it is asked for must find more than that on show.
                self.drain();
                self.shared.asked.fetch_sub(1, Ordering::SeqCst);
            }
            Some(Verb::Shutdown) => self.machine.shutdown(),
            None => {
                self.verbs = None;
                self.machine.let_go();
            }
        }
        true
    }

    fn poll_queue(&mut self, cx: &Context<'_>) -> bool {
        let Some(queue) = &mut self.queue else {
            return false;
        };
        let Poll::Ready(input) = queue.poll(cx) else {
            return false;
        };
        self.input(input);
        true
    }

    fn poll_process(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready((input, news)) = self.process.poll(cx) else {
            return false;
        };
        match news {
            News::Up(plugin) => self.shared.set_plugin(Some(plugin)),
            News::Ended(judged) => {
                self.shared.set_plugin(None);
                self.shared.set_judged(judged.err());
            }
            News::Else => {}
        }
        self.input(input);
        true
    }

    fn poll_wanted(&mut self, cx: &Context<'_>) -> bool {
        let wanted = self.machine.is_resting() && self.stable.poll_wanted(cx).is_ready();
        if wanted {
            self.input(SupervisorInput::Wanted);
        }
        wanted
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let wanted = self.machine.poll_timeout().map(|(at, _)| at);
        let Poll::Ready(now) = self.alarm.poll(&self.runtime, wanted, cx) else {
            return false;
        };
        self.machine.handle_timeout(now);
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut turn = Turn::new();
        loop {
            if this.drain() {
                return Poll::Ready(());
            }
            // Each of these must be polled in each round, so that all have seen the waker.
            let progress = [
                this.poll_verbs(cx),
                this.poll_queue(cx),
                this.poll_process(cx),
                this.poll_wanted(cx),
                this.poll_timer(cx),
            ];
            if !progress.contains(&true) {
                return Poll::Pending;
            }
            if turn.step(Turn::EVENT, || this.runtime.stopwatch()) {
                return turn.give_way(this.runtime.as_ref(), cx);
            }
        }
    }
}

/// Dropped before its end with the runtime: then nobody keeps the plugin up.
impl Drop for Driver {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        if matches!(state.phase, SupervisorPhase::Over(_)) && self.process.is_none() {
            return;
        }
        let name = &self.shared.name;
        let text = format!(
            "the plugin {name} is not kept up any more: the async runtime that did was shut down"
        );
        self.stable.fail(Status::connection_lost(text));
        self.shared.set_plugin(None);
        state.phase = SupervisorPhase::Over(Cause::Ended);
        (state.id, state.pid) = (None, None);
        self.shared.board.show(state, Vec::new(), true);
    }
}
