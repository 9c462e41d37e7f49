//! What goes on as long as the session: taking what the other side opens, and keeping the time.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use outboard_core::fault::Fault;
use outboard_core::rpc::guard::catch_panic;
use outboard_core::rt::{BoxByteStream, SharedRuntime, Timer};
use outboard_core::turn::Turn;
use outboard_yamux::Incoming;

use super::named::{hang_up, read, write};
use super::{ANSWER_WITHIN, Hand, Inner, MAX_SILENT, Served};
use crate::error::BrokerError;
use crate::wait::within;
use crate::wire::Boxes;

/// Takes what the other side opens, until the session ends.
pub(super) async fn take(broker: Weak<Inner>, mut incoming: Incoming) {
    let mut turn = Turn::new();
    let fault = loop {
        poll_fn(|cx| turn.poll_step(Turn::EVENT, cx)).await;
        let stream = match poll_fn(|cx| incoming.poll_accept(cx)).await {
            Ok(stream) => stream,
            Err(error) => break Fault::other(error),
        };
        let Some(inner) = broker.upgrade() else {
            return;
        };
        let mut state = inner.state.lock();
        let is_one_too_many = state.silent >= MAX_SILENT;
        state.silent += usize::from(!is_one_too_many);
        drop(state);
        if is_one_too_many {
            continue;
        }
        let (broker, runtime) = (Weak::clone(&broker), Arc::clone(&inner.runtime));
        inner.runtime.spawn(Box::pin(async move {
            let mut io: BoxByteStream = Box::new(stream);
            let named = within(&runtime, ANSWER_WITHIN, read(&mut io)).await;
            let Some(inner) = broker.upgrade() else {
                return;
            };
            inner.state.lock().silent -= 1;
            if let Some(Ok(Some(id))) = named {
                inner.arrived(id, io);
            }
        }));
    };
    if let Some(inner) = broker.upgrade() {
        inner.end(&fault);
    }
}

/// Ends what has waited for too long.
pub(super) async fn keep_time(broker: Weak<Inner>, runtime: SharedRuntime) {
    let mut timer: Option<(std::time::Instant, Pin<Box<dyn Timer>>)> = None;
    poll_fn(|cx| {
        loop {
            let Some(inner) = broker.upgrade() else {
                return Poll::Ready(());
            };
            let mut state = inner.state.lock();
            if state.over.is_some() {
                return Poll::Ready(());
            }
            let earlier = state.timer.replace(cx.waker().clone());
            let wanted = state.boxes.poll_timeout();
            drop(state);
            drop(earlier);
            let Some((at, _)) = wanted else {
                timer = None;
                return Poll::Pending;
            };
            if timer.as_ref().is_none_or(|(set, _)| *set != at) {
                timer = Some((at, runtime.timer(at)));
            }
            let expired = timer
                .as_mut()
                .is_some_and(|(_, timer)| timer.as_mut().poll_expired(cx).is_ready());
            if !expired {
                return Poll::Pending;
            }
            timer = None;
            let now = runtime.now();
            let mut state = inner.state.lock();
            let (streams, ids) = state.boxes.handle_timeout(now);
            let hands: Vec<_> = ids
                .into_iter()
                .filter_map(|id| Some((id, state.accepts.remove(&id)?)))
                .collect();
            drop(state);
            for io in streams {
                hang_up(&runtime, io);
            }
            for (id, hand) in hands {
                if let Hand::Once(slot) = hand {
                    let after = Boxes::<()>::PATIENCE;
                    slot.put(Err(BrokerError::NotDialled { id, after }));
                }
            }
        }
    })
    .await;
}

/// Tells whoever has dialled that the stream is theirs, and hands it over, if the id is still served and has
/// a place for it. One that has none is closed unanswered.
pub(super) fn acknowledge(inner: &Arc<Inner>, id: u32, mut io: BoxByteStream, served: Served) {
    let Some(places) = served.places() else {
        tracing::debug!(target: "outboard", id, "too many streams are served already: one is closed");
        return hang_up(&inner.runtime, io);
    };
    let broker = Arc::downgrade(inner);
    inner.runtime.spawn(Box::pin(async move {
        if write(&mut io, id).await.is_err() {
            return;
        }
        let Some(inner) = broker.upgrade() else {
            return;
        };
        let state = inner.state.lock();
        let is_ours =
            |hand: &Hand| matches!(hand, Hand::Served(other) if Arc::ptr_eq(&other.take, &served.take));
        let is_served = state.accepts.get(&id).is_some_and(is_ours);
        drop(state);
        if is_served {
            // The hook for panics tells of one.
            let _taken = catch_panic(|| (served.take)(io, places));
        } else {
            hang_up(&inner.runtime, io);
        }
    }));
}
