//! The way before it is known which one it is, since the connection has yet to begin.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_channel::oneshot;
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{Channel, Router};
use outboard_core::rt::BoxFuture;

use super::{AnyWay, Report, Way, closed};
use crate::broker::BrokerError;

/// Keeps what is to be served and whoever dials until there is a way, and stands for that then.
///
/// ```text
///  Waiting ── known() ──▶ Known
///     └────── close() ──▶ Closed
/// ```
pub(in crate::broker) struct Early(Arc<Mutex<State>>);

enum State {
    Waiting(Waiting),
    Known(Known),
    Closed(String),
}

#[derive(Default)]
struct Waiting {
    /// By id. Their `serve` has returned, so that no handler holds up a thread.
    serves: Vec<(u32, Arc<Router>)>,
    /// Dropped when it is known.
    dials: Vec<oneshot::Sender<()>>,
}

struct Known {
    way: AnyWay,
    /// What came early and has yet to be served.
    to_serve: BTreeSet<u32>,
}

/// What a dial finds.
enum Found {
    Wait(oneshot::Receiver<()>),
    Way(AnyWay),
}

impl Early {
    pub(in crate::broker) fn new() -> Self {
        let state = State::Waiting(Waiting::default());
        Self(Arc::new(Mutex::new(Rank::Broker, state)))
    }

    /// Serves on `way` what came early, and lets go on who dials. `way` is closed if this is.
    pub(in crate::broker) fn known(&self, way: &AnyWay) {
        let mut state = self.lock();
        let waiting = match &mut *state {
            State::Waiting(waiting) => waiting,
            State::Known(_) => return,
            State::Closed(why) => {
                let why = why.clone();
                drop(state);
                way.close(&why);
                return;
            }
        };
        let Waiting { serves, dials } = std::mem::take(waiting);
        *state = State::Known(Known {
            way: way.clone(),
            to_serve: serves.iter().map(|(id, _)| *id).collect(),
        });
        drop(state);
        for (id, router) in serves {
            if let Err(error) = self.serve_on(way, id, router) {
                // Whoever asked has its handle already; the other side's calls say that nobody
                // serves the id.
                tracing::warn!(target: "outboard", id, %error, "an id is not served");
            }
        }
        drop(dials);
    }

    fn serve_on(&self, way: &AnyWay, id: u32, router: Arc<Router>) -> Result<(), BrokerError> {
        if !self.is_wanted(id) {
            return Ok(());
        }
        let served = way.serve(id, router);
        let mut state = self.lock();
        let wanted = match &mut *state {
            State::Known(known) => known.to_serve.remove(&id),
            State::Waiting(_) | State::Closed(_) => false,
        };
        drop(state);
        if !wanted {
            // Whoever let go of it may have been too early for the way.
            way.stop(id);
        }
        served
    }

    fn is_wanted(&self, id: u32) -> bool {
        match &*self.lock() {
            State::Known(known) => known.to_serve.contains(&id),
            State::Waiting(_) | State::Closed(_) => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Way for Early {
    fn serve(&self, id: u32, router: Arc<Router>) -> Result<(), BrokerError> {
        let way = match &mut *self.lock() {
            State::Waiting(waiting) => {
                waiting.serves.push((id, router));
                return Ok(());
            }
            State::Known(known) => known.way.clone(),
            State::Closed(why) => return Err(closed(why).into()),
        };
        way.serve(id, router)
    }

    fn stop(&self, id: u32) {
        let mut state = self.lock();
        let (forgotten, way) = match &mut *state {
            State::Waiting(waiting) => {
                let gone = |other: &mut (u32, _)| other.0 == id;
                let forgotten: Vec<_> = waiting.serves.extract_if(.., gone).collect();
                (forgotten, None)
            }
            State::Known(known) => {
                known.to_serve.remove(&id);
                (Vec::new(), Some(known.way.clone()))
            }
            State::Closed(_) => (Vec::new(), None),
        };
        drop(state);
        drop(forgotten);
        if let Some(way) = way {
            way.stop(id);
        }
    }

    fn dial(&self, id: u32) -> BoxFuture<'static, Result<Channel, BrokerError>> {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            loop {
                match find(&state)? {
                    Found::Way(way) => return way.dial(id).await,
                    // The other end is only ever dropped.
                    Found::Wait(known) => {
                        let _known = known.await;
                    }
                }
            }
        })
    }

    fn close(&self, why: &str) {
        let mut state = self.lock();
        let (way, earlier) = match &*state {
            // It is closed itself, and goes on to say so.
            State::Known(known) => (Some(known.way.clone()), None),
            State::Waiting(_) => {
                let closed = State::Closed(why.to_owned());
                (None, Some(std::mem::replace(&mut *state, closed)))
            }
            State::Closed(_) => (None, None),
        };
        drop(state);
        drop(earlier);
        if let Some(way) = way {
            way.close(why);
        }
    }

    fn report(&self, report: &mut Report) {
        match &*self.lock() {
            State::Waiting(waiting) => report.serving.extend(waiting.serves.iter().map(|of| of.0)),
            // It tells that itself.
            State::Known(_) => {}
            State::Closed(why) => report.closed = Some(closed(why)),
        }
    }
}

fn find(state: &Mutex<State>) -> Result<Found, BrokerError> {
    match &mut *state.lock() {
        State::Waiting(waiting) => {
            let (known, begun) = oneshot::channel();
            waiting.dials.push(known);
            Ok(Found::Wait(begun))
        }
        State::Known(known) => Ok(Found::Way(known.way.clone())),
        State::Closed(why) => Err(closed(why).into()),
    }
}
