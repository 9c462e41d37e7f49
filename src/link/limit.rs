//! How many calls the other side takes at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use outboard_core::rpc::Connection;
use outboard_core::rt::BoxFuture;

use super::{Place, Shared, Way};

/// Asks the present connection, or the next one where there is none.
pub(super) struct MaxCalls {
    shared: Arc<Shared>,
    place: Place,
    asked: Option<Asked>,
}

struct Asked {
    answer: BoxFuture<'static, Option<u32>>,
    inside: Arc<dyn Connection>,
    epoch: u64,
}

impl MaxCalls {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            place: Place::new(shared),
            asked: None,
        }
    }
}

impl Future for MaxCalls {
    type Output = Option<u32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Some(asked) = &mut this.asked {
                let answer = ready!(asked.answer.as_mut().poll(cx));
                let Some(Asked { inside, epoch, .. }) = this.asked.take() else {
                    continue;
                };
                // One that ended may have done so before it could tell.
                let again = answer.is_none()
                    && inside.is_retiring()
                    && this.shared.once_more(&inside, epoch, &mut 0);
                if !again {
                    return Poll::Ready(answer);
                }
            }
            match this.place.way(cx) {
                Way::To(inside, epoch) => {
                    let answer = inside.max_calls();
                    this.asked = Some(Asked {
                        answer,
                        inside,
                        epoch,
                    });
                }
                Way::Wait => return Poll::Pending,
                Way::Nowhere(_) => return Poll::Ready(None),
            }
        }
    }
}
