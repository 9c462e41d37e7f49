//! The stable connection: what clients hold stays, and what is inside of it is replaced.
//!
//! When to replace it is decided by [`outboard_core::link::Link`], and somebody's driver connects.
//! Here are the calls: they go to the present connection, wait for the next while there is none, and
//! move to it if the present one turns out not to take them any more. A call that the peer has begun
//! with is never made twice.

mod calls;
mod limit;
mod patience;
mod place;
mod streaming;
#[cfg(all(test, unix))]
pub(crate) mod tests;
mod unary;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{Connection, Status};
use outboard_core::rt::SharedRuntime;
use outboard_core::told::Teller;

use self::patience::Patience;
use self::place::Place;
use self::streaming::Slot;

pub(crate) use self::calls::limited;
pub(crate) use self::watch::Watch;

/// A connection whose inside can be replaced.
///
/// ```text
///       interrupt()              replace()
///   Up ─────────────▶ Waiting ─────────────▶ Up
///    │ settle(), drain()   │ fail(), drain()
///    ▼                     ▼
///   Last ── abort() ────▶ Gone
/// ```
///
/// Dropping the last handle closes what is inside; calls in flight fail.
pub(crate) struct Stable(Arc<Shared>);

/// What the handle and the calls that wait share. They do not hold the handle, so that its drop is
/// seen.
struct Shared {
    runtime: SharedRuntime,
    state: Mutex<State>,
    closed: Teller<Status>,
    /// No call is taken any more that is not there already.
    retiring: Teller<()>,
    kind: Kind,
}

/// What is inside, and what follows for calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Connections to one peer: one that is replaced finishes what it has and is closed.
    OfPeer,
    /// The connections of processes, each of which ends its own; calls wait this long for the next.
    OfProcesses(Duration),
}

struct State {
    stage: Stage,
    /// Counts the insides, so that news of an earlier one leave the present one alone.
    epoch: u64,
    /// Earlier insides that go on with calls, by their epoch.
    retired: BTreeMap<u64, Arc<dyn Connection>>,
    /// Unary calls and others who wait, in the order in which they came.
    waiting: BTreeMap<u64, Waker>,
    /// Streaming calls that wait, in the order in which they came. Nobody needs to poll them.
    streaming: VecDeque<Weak<Slot>>,
    tickets: u64,
    /// Who is to be told that somebody waits.
    wanted: Option<Waker>,
}

enum Stage {
    /// Calls go to this one.
    Up(Arc<dyn Connection>),
    /// There will be no other: this one says so to those whose calls it does not take.
    Last(Arc<dyn Connection>),
    /// Calls wait for the next one.
    Waiting,
    /// Calls fail with this.
    Gone(Status, End),
}

/// How it came to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Given up; a connection that comes all the same is taken.
    GivenUp,
    /// Drained by this side: an abort can still say why.
    Drained,
    Aborted,
}

/// Where a call goes.
enum Way {
    /// To this connection, the one of this epoch.
    To(Arc<dyn Connection>, u64),
    Wait,
    Nowhere(Status),
}

/// How often a call that the peer refused to begin with is made again on the same connection: a
/// peer with fewer streams than this side assumed refuses those beyond, once.
const REFUSALS: u32 = 3;

impl Stable {
    /// A connection with this one inside.
    pub(crate) fn new(runtime: &SharedRuntime, inside: Arc<dyn Connection>) -> Arc<Self> {
        Self::made(runtime, Stage::Up(inside), Kind::OfPeer)
    }

    /// A connection for what is inside of the processes that a plugin has one after another: none as yet.
    /// Calls wait for one, each for `patience` at most, [`Duration::MAX`] being no limit. What is replaced is
    /// left alone: it ends with its process.
    pub(crate) fn of_processes(runtime: &SharedRuntime, patience: Duration) -> Arc<Self> {
        Self::made(runtime, Stage::Waiting, Kind::OfProcesses(patience))
    }

    /// How many calls wait for a connection.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.0.state.lock();
        let streaming = state.streaming.iter();
        let streaming = streaming.filter(|slot| slot.strong_count() > 0).count();
        state.waiting.len() + streaming
    }

    fn made(runtime: &SharedRuntime, stage: Stage, kind: Kind) -> Arc<Self> {
        let state = State {
            stage,
            epoch: 0,
            retired: BTreeMap::new(),
            waiting: BTreeMap::new(),
            streaming: VecDeque::new(),
            tickets: 0,
            wanted: None,
        };
        Arc::new(Self(Arc::new(Shared {
            runtime: Arc::clone(runtime),
            state: Mutex::new(Rank::Link, state),
            closed: Teller::new(),
            retiring: Teller::new(),
            kind,
        })))
    }

    /// The present connection takes no more calls: new ones wait for the next.
    pub(crate) fn interrupt(&self) {
        let state = self.0.state.lock();
        let epoch = state.epoch;
        self.0.leave(state, epoch);
    }

    /// As [`interrupt`](Self::interrupt), also where calls fail since it was [given up](Self::fail).
    pub(crate) fn hold(&self) {
        self.interrupt();
        let mut state = self.0.state.lock();
        let mut before = None;
        if matches!(state.stage, Stage::Gone(_, End::GivenUp)) {
            before = Some(std::mem::replace(&mut state.stage, Stage::Waiting));
        }
        drop(state);
        drop(before);
    }

    /// As [`interrupt`](Self::interrupt), if `unused` says that nobody makes a call. A call of which it does
    /// not know yet waits. It is asked under the lock.
    pub(crate) fn hold_if(&self, unused: impl FnOnce() -> bool) -> bool {
        let state = self.0.state.lock();
        if !matches!(state.stage, Stage::Up(_)) || !unused() {
            return false;
        }
        let epoch = state.epoch;
        self.0.leave(state, epoch);
        true
    }

    /// Makes this the present connection. Calls that waited are made, streaming ones first.
    pub(crate) fn replace(&self, inside: Arc<dyn Connection>) {
        self.interrupt();
        loop {
            let mut state = self.0.state.lock();
            match state.stage {
                Stage::Waiting | Stage::Gone(_, End::GivenUp) => {}
                // The end has overtaken it.
                Stage::Up(_) | Stage::Last(_) | Stage::Gone(..) => return drop(state),
            }
            let mut waiting = std::mem::take(&mut state.streaming);
            if waiting.is_empty() {
                state.epoch += 1;
                state.stage = Stage::Up(inside);
                let wakers = std::mem::take(&mut state.waiting);
                drop(state);
                wakers.into_values().for_each(Waker::wake);
                return;
            }
            drop(state);
            // Opening polls the callers' messages, which has no business under the lock.
            let is_taken =
                |slot: &Weak<Slot>| slot.upgrade().is_none_or(|slot| slot.start(&inside));
            while waiting.front().is_some_and(is_taken) {
                waiting.pop_front();
            }
            if !waiting.is_empty() {
                // It takes no more calls already. Its owner will learn that and bring another.
                let mut state = self.0.state.lock();
                waiting.append(&mut state.streaming);
                state.streaming = waiting;
                self.0.retire(state, inside);
                return;
            }
        }
    }

    /// Ready while somebody waits for the next connection.
    pub(crate) fn poll_wanted(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock();
        let wanted =
            !state.waiting.is_empty() || state.streaming.iter().any(|slot| slot.strong_count() > 0);
        if wanted {
            return Poll::Ready(());
        }
        let earlier = state.wanted.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// No other connection is expected: calls that wait, and all later ones, fail with `status`,
    /// unless one comes all the same. Those in flight on connections that are retiring go on.
    pub(crate) fn fail(&self, status: Status) {
        drop(self.0.close(status, End::GivenUp));
    }

    /// There will be no other connection than the present one: what that does not take fails.
    pub(crate) fn settle(&self) {
        let mut state = self.0.state.lock();
        if let Stage::Up(inside) = &state.stage {
            state.stage = Stage::Last(Arc::clone(inside));
            drop(state);
            self.0.retiring.tell(());
        }
    }

    /// As [`settle`](Self::settle), and where there is no present one calls fail with this.
    pub(crate) fn settle_with(&self, status: Status) {
        self.settle();
        if matches!(self.0.state.lock().stage, Stage::Waiting) {
            drop(self.0.close(status, End::Drained));
        }
    }

    /// Whether a call that the present connection does not take may be taken by another.
    pub(crate) fn comes_back(&self) -> bool {
        matches!(self.0.state.lock().stage, Stage::Up(_) | Stage::Waiting)
    }
}

impl Shared {
    fn way(&self, state: &State) -> Way {
        match &state.stage {
            Stage::Up(inside) | Stage::Last(inside) => Way::To(Arc::clone(inside), state.epoch),
            Stage::Waiting => Way::Wait,
            Stage::Gone(status, _) => Way::Nowhere(status.clone()),
        }
    }

    /// The connection of this epoch takes no more calls.
    fn leave(self: &Arc<Self>, mut state: MutexGuard<'_, State>, epoch: u64) {
        if state.epoch != epoch || !matches!(state.stage, Stage::Up(_)) {
            return;
        }
        if let Stage::Up(inside) = std::mem::replace(&mut state.stage, Stage::Waiting) {
            self.retire(state, inside);
        }
    }

    /// Keeps an earlier connection for as long as it has calls.
    fn retire(self: &Arc<Self>, mut state: MutexGuard<'_, State>, inside: Arc<dyn Connection>) {
        state.epoch += 1;
        let epoch = state.epoch;
        if self.kind != Kind::OfPeer {
            // It ends with its process. Its calls hold it, and tell by its drop that there are none.
            drop(state);
            return drop(inside);
        }
        state.retired.insert(epoch, Arc::clone(&inside));
        drop(state);
        inside.drain();
        let closed = inside.closed();
        drop(inside);
        let shared = Arc::downgrade(self);
        self.runtime.spawn(Box::pin(async move {
            closed.await;
            if let Some(shared) = shared.upgrade() {
                let ended = shared.state.lock().retired.remove(&epoch);
                drop(ended);
            }
        }));
    }

    /// Whether a call of the connection of this epoch is to be made once more after the peer has
    /// not begun with it; `refusals` counts how often that was for no reason of the connection.
    fn once_more(
        self: &Arc<Self>,
        inside: &Arc<dyn Connection>,
        epoch: u64,
        refusals: &mut u32,
    ) -> bool {
        if !inside.is_retiring() {
            *refusals += 1;
            return *refusals <= REFUSALS;
        }
        let state = self.state.lock();
        if matches!(state.stage, Stage::Last(_)) {
            return false;
        }
        self.leave(state, epoch);
        true
    }

    /// Gives the insides that there were, to be dropped or aborted.
    fn close(&self, status: Status, end: End) -> Vec<Arc<dyn Connection>> {
        let mut state = self.state.lock();
        let mut insides = Vec::new();
        match &state.stage {
            Stage::Gone(_, End::Aborted) => {}
            Stage::Up(_)
            | Stage::Last(_)
            | Stage::Waiting
            | Stage::Gone(_, End::GivenUp | End::Drained) => {
                let gone = Stage::Gone(status.clone(), end);
                let before = std::mem::replace(&mut state.stage, gone);
                if let Stage::Up(inside) | Stage::Last(inside) = before {
                    insides.push(inside);
                }
            }
        }
        let wakers = std::mem::take(&mut state.waiting);
        let slots = std::mem::take(&mut state.streaming);
        drop(state);
        for slot in slots.iter().filter_map(Weak::upgrade) {
            slot.give_back(status.clone());
        }
        wakers.into_values().for_each(Waker::wake);
        self.retiring.tell(());
        match end {
            End::GivenUp => {}
            End::Drained | End::Aborted => self.closed.tell(status),
        }
        insides
    }
}

fn closed_here() -> Status {
    Status::connection_lost("this side has closed the connection")
}

impl Drop for Stable {
    fn drop(&mut self) {
        self.abort(closed_here());
    }
}

impl fmt::Debug for Stable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        let (stage, inside) = match &state.stage {
            Stage::Up(inside) => ("up", Some(Arc::clone(inside))),
            Stage::Last(inside) => ("last", Some(Arc::clone(inside))),
            Stage::Waiting => ("waiting", None),
            Stage::Gone(..) => ("gone", None),
        };
        drop(state);
        f.debug_struct("Stable")
            .field("stage", &stage)
            .field("inside", &inside)
            .finish()
    }
}
