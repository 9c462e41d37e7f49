//! What the ways share whose ids are agreed on over a control stream: the machine of
//! `outboard_core::broker` and what drives it. What is done with an id that is agreed on is each
//! way's own.

mod control;
mod dial;
mod redial;
mod serve;
mod state;

use std::sync::Arc;
#[cfg(feature = "multiplex")]
use std::sync::Weak;

use outboard_core::broker::{BrokerAction, BrokerMode};
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{Channel, Router};
use outboard_core::rt::BoxFuture;
use outboard_core::wire::plugin::ConnInfo;

use super::{BrokerParts, Control, Report, Way};
use crate::broker::BrokerError;

pub(super) use self::redial::Again;
pub(super) use self::serve::Offer;
#[cfg(feature = "multiplex")]
pub(super) use self::state::DialAnswer;
pub(super) use self::state::{AfterUnlock, State};

/// A way with a control stream. Cheap to clone.
pub(in crate::broker) struct Controlled<K: Kind>(pub(super) Arc<Inner<K>>);

pub(in crate::broker) struct Inner<K: Kind> {
    parts: Arc<BrokerParts>,
    state: Mutex<State<K>>,
}

/// What a way has of its own.
pub(in crate::broker) trait Kind: Sized + Send + Sync + 'static {
    /// What is agreed on.
    const MODE: BrokerMode;

    /// What a dial gets that the other side has answered.
    type Found: Send + 'static;

    /// What serves an id. Dropping it ends that.
    type Server: Send + 'static;

    /// What is under the lock beside the machine.
    type Own: Default + Send + 'static;

    /// Serves `router` under `id`.
    fn serve(way: &Controlled<Self>, id: u32, router: Arc<Router>) -> Result<(), BrokerError>;

    /// A channel to what the other side serves under `id`.
    fn dial(
        way: Controlled<Self>,
        id: u32,
    ) -> impl Future<Output = Result<Channel, BrokerError>> + Send + 'static;

    /// Does what the machine asks for in this mode alone, or writes it down: it is under the lock.
    fn act(
        way: &Controlled<Self>,
        state: &mut State<Self>,
        action: BrokerAction,
        after: &mut AfterUnlock<Self>,
    );

    /// Takes note of a message before the machine does.
    fn received(_way: &Controlled<Self>, _message: &ConnInfo) {}

    /// There is another control stream: what comes belongs to this one from now on.
    fn begun(_way: &Controlled<Self>) {}

    /// The other side is dead and cleans up nothing any more.
    fn clear_up(_way: &Controlled<Self>) {}
}

impl<K: Kind> Clone for Controlled<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> Controlled<K> {
    pub(super) fn new(parts: &Arc<BrokerParts>) -> Self {
        Self(Arc::new(Inner {
            parts: Arc::clone(parts),
            state: Mutex::new(Rank::Broker, State::new()),
        }))
    }

    #[cfg(feature = "multiplex")]
    pub(super) fn downgrade(&self) -> Weak<Inner<K>> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn parts(&self) -> &Arc<BrokerParts> {
        &self.0.parts
    }
}

impl<K: Kind> Way for Controlled<K> {
    fn serve(&self, id: u32, router: Arc<Router>) -> Result<(), BrokerError> {
        K::serve(self, id, router)
    }

    fn stop(&self, id: u32) {
        self.update(|machine, now| machine.close_id(now, id));
    }

    fn dial(&self, id: u32) -> BoxFuture<'static, Result<Channel, BrokerError>> {
        Box::pin(K::dial(self.clone(), id))
    }

    fn close(&self, why: &str) {
        self.update(|machine, _| machine.close(why));
    }

    fn clear_up(&self) {
        K::clear_up(self);
    }

    fn control(&self) -> Option<Arc<dyn Control>> {
        Some(Arc::new(self.clone()))
    }

    fn report(&self, report: &mut Report) {
        let state = self.lock();
        report.serving.extend(state.servers.keys());
        report.dialling.extend(state.dialling());
        if let Some(closed) = state.machine.closed() {
            report.closed = Some(closed.clone());
        }
    }
}

#[cfg(all(test, unix))]
impl<K: Kind> Controlled<K> {
    /// Whether nothing that was dialled is held any more.
    pub(in crate::broker) fn has_dialled_nothing(&self) -> bool {
        self.lock().has_dialled_nothing()
    }
}
