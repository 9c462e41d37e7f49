//! What a broker's lock guards, and how what the machine asks for is carried out.
//!
//! Under the lock it is only written down what is to be done; see `docs/locks.md`.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use futures_channel::oneshot;
use outboard_core::broker::{self as machine, BrokerAction, BrokerConfig, BrokerEvent, BrokerMode};
use outboard_core::endpoint::Endpoint;
use outboard_core::lock::{MutexGuard, assert_unlocked};
use outboard_core::queue::KeyedQueue;
use outboard_core::rpc::{Router, Serving, SubChannels};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use super::server::Server;
use super::{Broker, Inner};
use crate::time::Alarm;

pub(super) struct State {
    pub(super) machine: machine::Broker,
    /// Counts the machines. What belongs to an earlier one leaves this one alone.
    pub(super) generation: u64,
    /// Counts the control streams: only the latest one matters.
    pub(super) stream: u64,
    /// The machine's control stream has been opened.
    pub(super) has_control: bool,
    pub(super) inside: Inside,
    pub(super) dials: BTreeMap<u32, Dial>,
    pub(super) last_ticket: u64,
    /// Dropped when the machine is closed, to tell what was dialled.
    pub(super) dialled: BTreeMap<u64, oneshot::Sender<()>>,
    pub(super) servers: BTreeMap<u32, Server>,
    /// What is served inside the connection, by generation and id; `None` while that is being
    /// arranged.
    pub(super) channels: BTreeMap<(u64, u32), Option<Arc<dyn Serving>>>,
    /// The control stream's sending half sleeps until there is something to send.
    pub(super) transmit: Option<Waker>,
    pub(super) timer_runs: bool,
    pub(super) closed_by_us: bool,
    /// Socket files that the peer announced and may leave behind if it is killed, the latest last.
    pub(super) peer_files: KeyedQueue<PathBuf>,
}

/// Where brokered calls travel.
pub(super) enum Inside {
    /// Through sockets of their own.
    Sockets,
    /// To be known as soon as the connection has begun: until then whoever serves or dials waits.
    Beginning(Early),
    /// Inside the connection.
    Channels(Arc<dyn SubChannels>),
}

/// What came before it was known where brokered calls travel.
#[derive(Default)]
pub(super) struct Early {
    /// By generation and id. Their `serve` has returned, so that no handler holds up a thread.
    pub(super) serves: Vec<(u64, u32, Arc<Router>)>,
    /// Dropped when it is known.
    pub(super) dials: Vec<oneshot::Sender<()>>,
}

/// A dial that waits for the other side's announcement.
pub(super) struct Dial {
    /// Tells it from an earlier dial of the same id, whose answer nobody has looked at yet.
    pub(super) ticket: u64,
    pub(super) answer: DialAnswer,
}

pub(super) type DialAnswer = oneshot::Sender<Result<Endpoint, machine::BrokerError>>;

pub(super) fn new_machine() -> machine::Broker {
    machine::Broker::new(BrokerConfig::new(BrokerMode::Listeners))
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            machine: new_machine(),
            generation: 0,
            stream: 0,
            has_control: false,
            inside: Inside::Sockets,
            dials: BTreeMap::new(),
            last_ticket: 0,
            dialled: BTreeMap::new(),
            servers: BTreeMap::new(),
            channels: BTreeMap::new(),
            transmit: None,
            timer_runs: false,
            closed_by_us: false,
            peer_files: KeyedQueue::new(),
        }
    }

    /// Does what the machine asks for, or writes it down.
    pub(super) fn carry_out(&mut self, after: &mut AfterUnlock) {
        loop {
            if let Some(action) = self.machine.poll_action() {
                match action {
                    BrokerAction::Connect { id, endpoint } => {
                        if let Some(dial) = self.dials.remove(&id) {
                            after.answers.push((dial.answer, Ok(endpoint)));
                        }
                    }
                    BrokerAction::StopListening { id } => {
                        after.servers.extend(self.servers.remove(&id));
                    }
                    // Whoever serves listens and answers by itself.
                    BrokerAction::Listen { .. }
                    // Asked for only when multiplexed, and this broker is not.
                    | BrokerAction::OpenStream { .. }
                    | BrokerAction::DiscardStream { .. } => {}
                }
            } else if let Some(event) = self.machine.poll_event() {
                match event {
                    BrokerEvent::DialFailed { id, error } => {
                        if let Some(dial) = self.dials.remove(&id) {
                            after.answers.push((dial.answer, Err(error)));
                        }
                    }
                    // Whoever is about to serve it finds that out.
                    BrokerEvent::AcceptFailed { id, .. } => {
                        after.servers.extend(self.servers.remove(&id));
                    }
                }
            } else {
                break;
            }
        }
        if self.machine.closed().is_some() {
            after.dialled.append(&mut self.dialled);
        }
    }
}

/// What waits until the state is unlocked, since it may run code of others: wakers, the runtime, the
/// drop of what serves.
#[derive(Default)]
pub(super) struct AfterUnlock {
    answers: Vec<(DialAnswer, Result<Endpoint, machine::BrokerError>)>,
    tasks: Vec<BoxFuture<'static, ()>>,
    /// Dropped, which ends them.
    servers: Vec<Server>,
    /// Dropped, which tells them.
    dialled: BTreeMap<u64, oneshot::Sender<()>>,
    pub(super) transmit: Option<Waker>,
}

impl AfterUnlock {
    pub(super) fn run(self, runtime: &SharedRuntime) {
        assert_unlocked("what the broker does after its lock");
        for (dial, answer) in self.answers {
            // A dial that was dropped meanwhile wants no answer.
            let _given_up = dial.send(answer);
        }
        for task in self.tasks {
            runtime.spawn(task);
        }
        if let Some(waker) = self.transmit {
            waker.wake();
        }
    }
}

impl Broker {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// Carries out what the machine asks for. To be called after every change of it.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>) {
        let mut after = AfterUnlock::default();
        state.carry_out(&mut after);
        after.transmit = state.transmit.take();
        if !state.timer_runs && state.machine.poll_timeout().is_some() {
            state.timer_runs = true;
            after.tasks.push(Box::pin(keep_time(
                Arc::downgrade(&self.0),
                Arc::clone(&self.0.parts.runtime),
            )));
        }
        drop(state);
        after.run(&self.0.parts.runtime);
    }

    /// Changes the machine, if it is still the one of this generation.
    pub(super) fn update(
        &self,
        generation: u64,
        change: impl FnOnce(&mut machine::Broker, Instant),
    ) {
        let now = self.0.parts.runtime.now();
        let mut state = self.lock();
        if state.generation == generation {
            change(&mut state.machine, now);
            self.settle(state);
        }
    }
}

/// Runs the machine's timers as long as there are any. All of them run for the same time, so the
/// next one is never earlier than the one being waited for.
async fn keep_time(broker: Weak<Inner>, runtime: SharedRuntime) {
    let mut alarm = Alarm::default();
    loop {
        let at = {
            let Some(broker) = broker.upgrade().map(Broker) else {
                return;
            };
            let mut state = broker.lock();
            let Some((at, _)) = state.machine.poll_timeout() else {
                state.timer_runs = false;
                return;
            };
            at
        };
        let now = poll_fn(|cx| alarm.poll(&runtime, Some(at), cx)).await;
        let Some(broker) = broker.upgrade().map(Broker) else {
            return;
        };
        let mut state = broker.lock();
        // A machine that has come meanwhile has only later timers.
        state.machine.handle_timeout(now);
        broker.settle(state);
    }
}
