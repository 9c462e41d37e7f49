//! What the lock guards, and how what the machine asks for is carried out.
//!
//! Under the lock it is only written down what is to be done; see `docs/locks.md`.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_channel::oneshot;
use outboard_core::broker::{self as machine, BrokerAction, BrokerConfig, BrokerEvent};
use outboard_core::lock::{MutexGuard, assert_unlocked};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use super::{Controlled, Inner, Kind};
use crate::time::Alarm;

pub(in crate::broker) struct State<K: Kind> {
    pub(in crate::broker::ways) machine: machine::Broker,
    /// Counts the control streams: only the latest one matters.
    pub(super) stream: u64,
    pub(super) dials: BTreeMap<u32, Dial<K>>,
    pub(super) last_ticket: u64,
    /// Dropped when the machine is closed, to tell what was dialled.
    pub(super) dialled: BTreeMap<u64, oneshot::Sender<()>>,
    pub(in crate::broker::ways) servers: BTreeMap<u32, K::Server>,
    /// The control stream's sending half sleeps until there is something to send.
    pub(super) transmit: Option<Waker>,
    timer: Timer,
    pub(in crate::broker::ways) own: K::Own,
}

/// What keeps the machine's time.
enum Timer {
    /// There was nothing to wait for when it ended.
    None,
    /// A task is there that has yet to look.
    Begun,
    /// It sleeps until then.
    Asleep(Instant, Waker),
}

/// A dial that waits for the other side.
pub(super) struct Dial<K: Kind> {
    /// Tells it from an earlier dial of the same id, whose answer nobody has looked at yet.
    pub(super) ticket: u64,
    pub(super) answer: DialAnswer<K>,
}

pub(in crate::broker::ways) type DialAnswer<K> = oneshot::Sender<Answer<K>>;

pub(in crate::broker::ways) type Answer<K> = Result<<K as Kind>::Found, machine::BrokerError>;

impl<K: Kind> State<K> {
    pub(super) fn new() -> Self {
        Self {
            machine: machine::Broker::new(BrokerConfig::new(K::MODE)),
            stream: 0,
            dials: BTreeMap::new(),
            last_ticket: 0,
            dialled: BTreeMap::new(),
            servers: BTreeMap::new(),
            transmit: None,
            timer: Timer::None,
            own: K::Own::default(),
        }
    }

    /// The ids that are being dialled.
    pub(super) fn dialling(&self) -> impl Iterator<Item = &u32> {
        self.dials.keys()
    }

    /// Whoever waits for what the machine has been asked for, once that has succeeded.
    pub(in crate::broker::ways) fn take_dial(&mut self, id: u32) -> Option<DialAnswer<K>> {
        self.dials.remove(&id).map(|dial| dial.answer)
    }

    #[cfg(all(test, unix))]
    pub(super) fn has_dialled_nothing(&self) -> bool {
        self.dialled.is_empty()
    }

    /// What is to be done that time is kept.
    fn keep_time(&mut self, after: &mut AfterUnlock<K>, way: &Arc<Inner<K>>) {
        let Some((at, _)) = self.machine.poll_timeout() else {
            return;
        };
        match &self.timer {
            Timer::None => {
                self.timer = Timer::Begun;
                let runtime = Arc::clone(&way.parts.runtime);
                let task = keep_time(Arc::downgrade(way), runtime);
                after.tasks.push(Box::pin(task));
            }
            Timer::Asleep(until, _) if at < *until => {
                if let Timer::Asleep(_, waker) = std::mem::replace(&mut self.timer, Timer::Begun) {
                    after.timer = Some(waker);
                }
            }
            Timer::Begun | Timer::Asleep(..) => {}
        }
    }
}

/// What waits until the state is unlocked, since it may run code of others: wakers, the runtime, the
/// drop of what serves.
pub(in crate::broker) struct AfterUnlock<K: Kind> {
    answers: Vec<(DialAnswer<K>, Answer<K>)>,
    tasks: Vec<BoxFuture<'static, ()>>,
    /// Dropped, which ends them.
    servers: Vec<K::Server>,
    /// Dropped, which tells them.
    dialled: BTreeMap<u64, oneshot::Sender<()>>,
    transmit: Option<Waker>,
    timer: Option<Waker>,
}

impl<K: Kind> AfterUnlock<K> {
    fn new() -> Self {
        Self {
            answers: Vec::new(),
            tasks: Vec::new(),
            servers: Vec::new(),
            dialled: BTreeMap::new(),
            transmit: None,
            timer: None,
        }
    }

    /// Whoever dials is to be told this.
    pub(in crate::broker::ways) fn answer(&mut self, dial: DialAnswer<K>, answer: Answer<K>) {
        self.answers.push((dial, answer));
    }

    /// This is to be done beside.
    #[cfg(feature = "multiplex")]
    pub(in crate::broker::ways) fn spawn(&mut self, task: BoxFuture<'static, ()>) {
        self.tasks.push(task);
    }

    fn run(self, runtime: &SharedRuntime) {
        assert_unlocked("what a broker does after its lock");
        for (dial, answer) in self.answers {
            // A dial that was dropped meanwhile wants no answer.
            let _given_up = dial.send(answer);
        }
        for task in self.tasks {
            runtime.spawn(task);
        }
        for waker in [self.transmit, self.timer].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl<K: Kind> Controlled<K> {
    pub(in crate::broker::ways) fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.state.lock()
    }

    /// Carries out what the machine asks for. To be called after every change of it.
    pub(in crate::broker::ways) fn settle(&self, mut state: MutexGuard<'_, State<K>>) {
        let mut after = AfterUnlock::new();
        self.carry_out(&mut state, &mut after);
        after.transmit = state.transmit.take();
        state.keep_time(&mut after, &self.0);
        drop(state);
        after.run(&self.0.parts.runtime);
    }

    /// Changes the machine.
    pub(in crate::broker::ways) fn update(
        &self,
        change: impl FnOnce(&mut machine::Broker, Instant),
    ) {
        let now = self.0.parts.runtime.now();
        let mut state = self.lock();
        change(&mut state.machine, now);
        self.settle(state);
    }

    /// Does what the machine asks for, or writes it down.
    fn carry_out(&self, state: &mut State<K>, after: &mut AfterUnlock<K>) {
        loop {
            if let Some(action) = state.machine.poll_action() {
                match action {
                    BrokerAction::StopListening { id } => {
                        after.servers.extend(state.servers.remove(&id));
                    }
                    action => K::act(self, state, action, after),
                }
            } else if let Some(event) = state.machine.poll_event() {
                match event {
                    BrokerEvent::DialFailed { id, error } => {
                        if let Some(dial) = state.take_dial(id) {
                            after.answer(dial, Err(error));
                        }
                    }
                    BrokerEvent::AcceptFailed { id, .. } => {
                        after.servers.extend(state.servers.remove(&id));
                    }
                    // News that nothing here depends on.
                    _ => {}
                }
            } else {
                break;
            }
        }
        if state.machine.closed().is_some() {
            after.dialled.append(&mut state.dialled);
        }
    }
}

/// Runs the machine's timers as long as there are any.
async fn keep_time<K: Kind>(way: Weak<Inner<K>>, runtime: SharedRuntime) {
    let mut alarm = Alarm::default();
    let mut due = |cx: &mut Context<'_>| {
        let Some(way) = way.upgrade().map(Controlled) else {
            return Poll::Ready(None);
        };
        let mut state = way.lock();
        let Some((at, _)) = state.machine.poll_timeout() else {
            let earlier = std::mem::replace(&mut state.timer, Timer::None);
            drop(state);
            drop(earlier);
            return Poll::Ready(None);
        };
        // Before the alarm is asked, so that an earlier time in between is not missed.
        let asleep = Timer::Asleep(at, cx.waker().clone());
        let earlier = std::mem::replace(&mut state.timer, asleep);
        drop(state);
        drop(earlier);
        alarm
            .poll(&runtime, Some(at), cx)
            .map(|now| Some((way, now)))
    };
    while let Some((way, now)) = poll_fn(&mut due).await {
        let mut state = way.lock();
        state.machine.handle_timeout(now);
        way.settle(state);
    }
}
