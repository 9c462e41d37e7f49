//! The task that keeps a plugin up: it carries out what the supervisor of outboard-core asks for and tells
//! it what happened. It decides nothing itself.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::{mpsc, oneshot};
use futures_core::Stream as _;
use outboard_core::rt::SharedRuntime;
use outboard_core::supervisor::{
    Cause, Change, Refusal, Supervisor, SupervisorAction, SupervisorEvent, SupervisorInput,
    SupervisorPhase, Swap, SwapFailure, SwapReport,
};
use outboard_core::turn::Turn;

use super::error::{SwapError, refused};
use super::limit::StartLimit;
use super::process::{Admitted, News, Process, Queue};
use super::programs::{Program, Programs};
use super::shared::Shared;
use super::usage::Usage;
use crate::Status;
use crate::link::Stable;
use crate::time::Alarm;

/// What a handle asks for. A closed channel means that all handles are gone.
pub(super) enum Verb {
    Start,
    Shutdown,
    Swap(Box<Wanted>),
}

/// A swap that a handle asks for.
pub(super) struct Wanted {
    pub(super) program: Program,
    pub(super) plan: Swap,
    pub(super) answer: Answer,
}

pub(super) type Answer = oneshot::Sender<Result<SwapReport, SwapError>>;

/// What is needed to make a [`Driver`].
pub(super) struct DriverParts {
    pub(super) runtime: SharedRuntime,
    pub(super) program: Program,
    pub(super) machine: Supervisor,
    pub(super) stable: Arc<Stable>,
    pub(super) usage: Option<Usage>,
    pub(super) shared: Arc<Shared>,
    pub(super) verbs: mpsc::UnboundedReceiver<Verb>,
}

pub(super) struct Driver {
    runtime: SharedRuntime,
    programs: Programs,
    machine: Supervisor,
    stable: Arc<Stable>,
    usage: Option<Usage>,
    shared: Arc<Shared>,
    verbs: Option<mpsc::UnboundedReceiver<Verb>>,
    /// By their generations: two at most, and two only in a swap.
    queues: BTreeMap<u64, Queue>,
    processes: BTreeMap<u64, Process>,
    /// The process that calls went to last.
    present: u64,
    /// Who waits for a swap.
    asker: Option<Answer>,
    /// What came of it, to be told once that is on show.
    outcome: Option<Result<SwapReport, SwapFailure>>,
    alarm: Alarm,
    /// Of the state that is on show.
    version: u64,
}

impl Driver {
    pub(super) fn new(parts: DriverParts) -> Self {
        Self {
            runtime: parts.runtime,
            programs: Programs::new(parts.program),
            machine: parts.machine,
            stable: parts.stable,
            usage: parts.usage,
            shared: parts.shared,
            verbs: Some(parts.verbs),
            queues: BTreeMap::new(),
            processes: BTreeMap::new(),
            present: 0,
            asker: None,
            outcome: None,
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
        while let Some(action) = self.machine.poll_action() {
            self.act(action);
        }
        let over = self.machine.is_over() && self.processes.is_empty();
        self.show(over);
        if let Some(outcome) = self.outcome.take()
            && let Some(asker) = self.asker.take()
        {
            let name = &self.shared.name;
            // Whoever asked may not wait any more.
            let _gone = asker.send(outcome.map_err(|failure| SwapError::failed(name, failure)));
        }
        over
    }

    fn show(&mut self, over: bool) {
        let mut events = Vec::new();
        while let Some(event) = self.machine.poll_event() {
            self.log(&event);
            events.push(event);
        }
        let version = self.machine.version();
        if version != self.version || !events.is_empty() || over {
            self.version = version;
            self.shared.board.show(self.machine.state(), events, over);
        }
    }

    fn act(&mut self, action: SupervisorAction) {
        match action {
            SupervisorAction::AskPlace {
                generation,
                program,
            } => {
                let limit = self.programs.of(program).limit.as_ref();
                let queue = Queue::new(generation, limit.map(StartLimit::ask));
                self.queues.insert(generation, queue);
            }
            SupervisorAction::LeavePlace { generation } => drop(self.queues.remove(&generation)),
            SupervisorAction::Start {
                generation,
                program,
            } => {
                let host = self.shared.log_level.on(&self.programs.of(program).host);
                let process = Process::start(&host, &self.runtime, generation);
                self.processes.insert(generation, process);
            }
            SupervisorAction::Stop { generation, how } => {
                self.of(generation, |process| process.stop(how));
            }
            SupervisorAction::Hold => self.stable.hold(),
            SupervisorAction::Admit { generation } => self.admit(generation),
            SupervisorAction::Drain { generation } => {
                if generation == self.present {
                    self.shared.drop_lease();
                }
                self.of(generation, Process::drain);
            }
            SupervisorAction::SwapOver { swap, outcome } => {
                self.programs.settle(swap, outcome.is_ok());
                self.outcome = Some(*outcome);
            }
            SupervisorAction::Refuse(refusal) => self.stable.fail(self.refused(refusal)),
            SupervisorAction::Rest {
                generation,
                unused_since,
            } => {
                let rests = match &self.usage {
                    Some(usage) if !self.shared.is_used_beside() => {
                        self.stable.hold_if(|| usage.is_unused(unused_since))
                    }
                    _ => false,
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
            SupervisorAction::Watch { generation } => self.of(generation, Process::watch),
            SupervisorAction::Probe { generation, probe } => {
                self.of(generation, |process| process.probe(probe));
            }
        }
    }

    fn of(&mut self, generation: u64, what: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(&generation) {
            what(process);
        }
    }

    fn admit(&mut self, generation: u64) {
        let process = self.processes.get_mut(&generation);
        let Some(admitted) = process.and_then(Process::admit) else {
            return;
        };
        let Admitted {
            plugin,
            connection,
            lease,
        } = admitted;
        self.present = generation;
        self.shared.set_plugin(Some(plugin), Some(lease));
        // Who has been answered by it must find it on show.
        self.show(false);
        self.stable.replace(connection);
        // It may have been another one when it was launched. Who wants one from here on finds the process.
        if self.shared.log_level.get().is_some() {
            let shared = Arc::clone(&self.shared);
            let telling = async move {
                shared
                    .log_level
                    .tell(|| shared.plugin())
                    .await
                    .map_or((), drop)
            };
            self.runtime.spawn(Box::pin(telling));
        }
    }

    fn swap(&mut self, wanted: Wanted) {
        let Wanted {
            program,
            plan,
            answer,
        } = wanted;
        match self.machine.swap(self.runtime.now(), plan) {
            Ok(number) => {
                self.programs.offer(number, program);
                self.asker = Some(answer);
            }
            Err(refusal) => {
                // Whoever asked may not wait any more.
                let _gone = answer.send(Err(SwapError::refused(&self.shared.name, refusal)));
            }
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
            Change::Swapped(report) => {
                tracing::info!(target: "outboard", plugin, generation, "{report}");
            }
            Change::SwapFailed(failure) => {
                tracing::warn!(target: "outboard", plugin, generation, "the plugin was not replaced: {failure}");
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
                self.shared.start_seen();
            }
            Some(Verb::Shutdown) => self.machine.shutdown(),
            Some(Verb::Swap(wanted)) => self.swap(*wanted),
            None => {
                self.verbs = None;
                self.machine.let_go();
            }
        }
        true
    }

    fn poll_queues(&mut self, cx: &Context<'_>) -> bool {
        let ready = |queue: &mut Queue| match queue.poll(cx) {
            Poll::Ready(input) => Some(input),
            Poll::Pending => None,
        };
        let Some(input) = self.queues.values_mut().find_map(ready) else {
            return false;
        };
        self.input(input);
        true
    }

    fn poll_processes(&mut self, cx: &mut Context<'_>) -> bool {
        let ready = |(generation, process): (&u64, &mut Process)| match process.poll(cx) {
            Poll::Ready((input, news)) => Some((*generation, input, news)),
            Poll::Pending => None,
        };
        let Some((generation, input, news)) = self.processes.iter_mut().find_map(ready) else {
            return false;
        };
        match news {
            News::Ended(judged) => {
                self.processes.remove(&generation);
                if generation == self.present {
                    self.shared.set_plugin(None, None);
                }
                // Whoever shuts it down is told of that end and of no earlier one.
                let shut_down = SupervisorPhase::Stopping(Cause::Shutdown);
                if self.machine.state().phase == shut_down
                    && let Err(judged) = judged
                {
                    self.shared.set_judged(Some(judged));
                }
            }
            News::NotStarted => drop(self.processes.remove(&generation)),
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
                this.poll_queues(cx),
                this.poll_processes(cx),
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
        if self.machine.is_over() && self.processes.is_empty() {
            return;
        }
        let name = &self.shared.name;
        let text = format!(
            "the plugin {name} is not kept up any more: the async runtime that did was shut down"
        );
        self.stable.fail(Status::connection_lost(text));
        self.shared.set_plugin(None, None);
        state.phase = SupervisorPhase::Over(Cause::Ended);
        (state.id, state.pid, state.swap) = (None, None, None);
        self.shared.board.show(state, Vec::new(), true);
    }
}
