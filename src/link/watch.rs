//! What is to be known of the connection that is inside.

use std::sync::Arc;
use std::task::{Context, Poll};

use outboard_core::link::LinkInput;
use outboard_core::rpc::{Connection, Status};
use outboard_core::rt::BoxFuture;

/// News of a connection, for whoever replaces it.
pub(crate) struct Watch {
    retiring: Option<BoxFuture<'static, ()>>,
    lost: Option<BoxFuture<'static, Status>>,
}

impl Watch {
    pub(crate) fn of(inside: &Arc<dyn Connection>) -> Self {
        Self {
            retiring: Some(inside.retiring()),
            lost: Some(inside.closed()),
        }
    }

    /// What has happened to the connection, each once.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkInput> {
        if let Some(retiring) = &mut self.retiring
            && retiring.as_mut().poll(cx).is_ready()
        {
            self.retiring = None;
            return Poll::Ready(LinkInput::Retiring);
        }
        if let Some(lost) = &mut self.lost
            && lost.as_mut().poll(cx).is_ready()
        {
            self.lost = None;
            return Poll::Ready(LinkInput::Lost);
        }
        Poll::Pending
    }
}
