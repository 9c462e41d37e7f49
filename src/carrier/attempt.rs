//! Making a connection anew, and finding out whether it is one.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use outboard_core::fault::Fault;
use outboard_core::rpc::Connection;
use outboard_core::rt::BoxFuture;

use super::{Carried, Unreached};

/// An attempt to be connected again. It counts once something has come over the connection, since a
/// process that is about to end takes connections to the last.
pub(crate) struct Attempt<T> {
    state: State<T>,
}

impl<T> Default for Attempt<T> {
    fn default() -> Self {
        Self { state: State::Idle }
    }
}

/// ```text
///   Idle ── begin ──▶ Dialling ── a stream ──▶ Proving ── something came ──▶ Idle
///    ▲                    │                       │
///    └────── failed ──────┴───── it ended ────────┘
/// ```
#[derive(Default)]
enum State<T> {
    #[default]
    Idle,
    Dialling(BoxFuture<'static, Result<Carried, Unreached>>),
    Proving {
        inside: T,
        connection: Arc<dyn Connection>,
        heard: BoxFuture<'static, ()>,
    },
}

/// What comes of an [`Attempt`].
pub(crate) enum Outcome<T> {
    Connected(T),
    Failed(Unreached),
}

impl<T: Unpin> Attempt<T> {
    /// Begins anew; whatever was under way is given up.
    pub(crate) fn begin(&mut self, dialling: BoxFuture<'static, Result<Carried, Unreached>>) {
        self.state = State::Dialling(dialling);
    }

    pub(crate) fn give_up(&mut self) {
        self.state = State::Idle;
    }

    /// The outcome, once. `make` makes the connection of a stream.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut make: impl FnMut(Carried) -> (T, Arc<dyn Connection>),
    ) -> Poll<Outcome<T>> {
        loop {
            match &mut self.state {
                State::Idle => return Poll::Pending,
                State::Dialling(dialling) => {
                    let Poll::Ready(dialled) = dialling.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    self.state = State::Idle;
                    match dialled {
                        Err(unreached) => return Poll::Ready(Outcome::Failed(unreached)),
                        Ok(carried) => {
                            let (inside, connection) = make(carried);
                            let heard = connection.heard();
                            self.state = State::Proving {
                                inside,
                                connection,
                                heard,
                            };
                        }
                    }
                }
                State::Proving { heard, .. } => {
                    if Pin::new(heard).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let proved = std::mem::take(&mut self.state);
                    let State::Proving {
                        inside, connection, ..
                    } = proved
                    else {
                        unreachable!("it was just looked at");
                    };
                    let fault = match connection.closed().now_or_never() {
                        Some(status) => format!(
                            "the connection ended before anything came over it: {}",
                            status.message()
                        ),
                        None if connection.is_retiring() => {
                            "the other side takes no calls on its new connection".to_owned()
                        }
                        None => return Poll::Ready(Outcome::Connected(inside)),
                    };
                    return Poll::Ready(Outcome::Failed(Unreached::Connect(Fault::other(fault))));
                }
            }
        }
    }
}
