//! Where the state and the events of a supervised plugin are for all to see.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use outboard_core::lock::{Mutex, Rank};

use super::{Event, State};

/// Events that are kept for those who are slow: each is a few hundred bytes. (A choice.)
const KEPT: usize = 256;

/// What is on show. Clones are the same.
#[derive(Clone)]
pub(super) struct Board(Arc<Mutex<Shown>>);

struct Shown {
    state: State,
    /// Counts the states.
    version: u64,
    events: VecDeque<Event>,
    /// The number of the first of these.
    first: u64,
    /// Nothing more comes.
    over: bool,
    waiting: BTreeMap<u64, Waker>,
    tickets: u64,
}

/// Somebody who looks on.
struct Onlooker {
    board: Board,
    ticket: Option<u64>,
}

impl Board {
    pub(super) fn new(state: State) -> Self {
        let shown = Shown {
            state,
            version: 1,
            events: VecDeque::new(),
            first: 0,
            over: false,
            waiting: BTreeMap::new(),
            tickets: 0,
        };
        Self(Arc::new(Mutex::new(Rank::Wakers, shown)))
    }

    pub(super) fn state(&self) -> State {
        self.0.lock().state.clone()
    }

    /// Shows what has changed. Nothing is shown any more once it is over.
    pub(super) fn show(&self, state: State, events: Vec<Event>, over: bool) {
        let mut shown = self.0.lock();
        if shown.over {
            return;
        }
        if shown.state != state {
            shown.state = state;
            shown.version += 1;
        }
        shown.events.extend(events);
        while shown.events.len() > KEPT {
            shown.events.pop_front();
            shown.first += 1;
        }
        shown.over = over;
        let waiting = std::mem::take(&mut shown.waiting);
        drop(shown);
        waiting.into_values().for_each(Waker::wake);
    }

    /// The events from now on.
    pub(super) fn events(&self) -> Events {
        let shown = self.0.lock();
        let next = shown.first + shown.events.len() as u64;
        drop(shown);
        Events {
            onlooker: self.look(),
            next,
            missed: 0,
        }
    }

    /// The present state and those after it.
    pub(super) fn states(&self) -> States {
        States {
            onlooker: self.look(),
            seen: 0,
        }
    }

    fn look(&self) -> Onlooker {
        Onlooker {
            board: self.clone(),
            ticket: None,
        }
    }
}

impl Onlooker {
    /// What `take` finds, or its task is woken when there may be more to find; `None` at the end.
    fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        take: impl FnOnce(&Shown) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut shown = self.board.0.lock();
        let found = take(&shown);
        if found.is_some() || shown.over {
            return Poll::Ready(found);
        }
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None => {
                shown.tickets += 1;
                shown.tickets
            }
        };
        self.ticket = Some(ticket);
        let earlier = shown.waiting.insert(ticket, cx.waker().clone());
        drop(shown);
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waker = self.board.0.lock().waiting.remove(&ticket);
            drop(waker);
        }
    }
}

/// What happens to a supervised plugin, as a stream that ends when nothing happens to it any more.
///
/// It holds neither the plugin nor its supervisor up: whoever is slow misses the oldest of more than 256 events.
pub struct Events {
    onlooker: Onlooker,
    next: u64,
    missed: u64,
}

impl Events {
    /// The next event; `None` when nothing happens any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// How many events were lost since this was not read for too long.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let Self {
            onlooker,
            next,
            missed,
        } = self;
        onlooker.poll(cx, |shown| {
            *missed += shown.first.saturating_sub(*next);
            *next = (*next).max(shown.first);
            let place = usize::try_from(*next - shown.first).ok()?;
            let event = shown.events.get(place)?.clone();
            *next += 1;
            Some(event)
        })
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("next", &self.next)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}

/// What a supervised plugin is doing, as a stream: the present state, and from then on the latest each time
/// that it has changed. It ends when nothing changes any more.
pub struct States {
    onlooker: Onlooker,
    seen: u64,
}

impl States {
    /// The latest state that was not seen yet; `None` when nothing changes any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<State> {
        poll_fn(|cx| self.poll_state(cx)).await
    }

    pub(super) fn poll_state(&mut self, cx: &Context<'_>) -> Poll<Option<State>> {
        let Self { onlooker, seen } = self;
        onlooker.poll(cx, |shown| {
            let is_new = std::mem::replace(seen, shown.version) != shown.version;
            is_new.then(|| shown.state.clone())
        })
    }
}

impl Stream for States {
    type Item = State;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        self.poll_state(cx)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use outboard_core::supervisor::{Supervision, Supervisor, SupervisorInput};

    use super::*;

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    /// A supervisor whose starts fail for good once it is asked to, and what it tells.
    fn machine() -> (Supervisor, Vec<Event>) {
        let mut machine = Supervisor::new(Supervision::new(), 1);
        let now = std::time::Instant::now();
        machine.handle(now, SupervisorInput::Placed { generation: 1 });
        let event = machine.poll_event().expect("it starts");
        (machine, vec![event])
    }

    #[test]
    fn whoever_is_slow_misses_the_oldest() {
        let (machine, events) = machine();
        let board = Board::new(machine.state());
        let mut slow = board.events();
        for _ in 0..KEPT + 3 {
            board.show(machine.state(), events.clone(), false);
        }
        let mut count = 0;
        while let Poll::Ready(event) = slow.poll_event(&cx()) {
            assert_eq!(event, Some(events[0].clone()));
            count += 1;
        }
        assert_eq!((count, slow.missed()), (KEPT, 3));
        let mut late = board.events();
        assert!(late.poll_event(&cx()).is_pending(), "from then on");
        board.show(machine.state(), Vec::new(), true);
        assert_eq!(late.poll_event(&cx()), Poll::Ready(None));
    }

    #[test]
    fn a_state_is_seen_once_and_the_last_one_before_the_end() {
        let (machine, events) = machine();
        let mut first = machine.state();
        first.restarts = 7;
        let board = Board::new(first.clone());
        let mut states = board.states();
        assert_eq!(states.poll_state(&cx()), Poll::Ready(Some(first)));
        assert!(states.poll_state(&cx()).is_pending());
        board.show(machine.state(), events, true);
        assert_eq!(states.poll_state(&cx()), Poll::Ready(Some(machine.state())));
        assert_eq!(states.poll_state(&cx()), Poll::Ready(None));
    }
}
