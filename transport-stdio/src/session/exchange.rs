//! Reading what there is and writing what comes of it, in a turn of the driver or for a caller.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rpc::Status;
use outboard_core::turn::Turn;

use super::{Drain, Note, Serves, State};
use crate::wire::close;

/// What a step of the driver, or the exchange in it, came to.
pub(crate) enum Step {
    /// There is more to do at once.
    Again,
    /// Something will wake the driver.
    Wait,
    /// The connection is lost for this reason.
    Lost(Status),
    /// All is over.
    Over,
}

/// Reads and writes as far as the stream of bytes goes along, and the turn goes.
pub(crate) fn exchange<S: Serves>(state: &mut State<S>, turn: &mut Turn) -> Step {
    state.use_io(|state, cx| exchange_with(state, cx, turn))
}

fn exchange_with<S: Serves>(state: &mut State<S>, cx: &mut Context<'_>, turn: &mut Turn) -> Step {
    let mut end = None;
    let mut again = true;
    let mut batch = 0;
    while !turn.is_over() {
        let Some(io) = state.io.as_mut() else {
            break;
        };
        match Pin::new(io).poll_read(cx, state.mux.space()) {
            Poll::Pending => {
                again = false;
                break;
            }
            Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                turn.spend(Turn::FRAME);
            }
            Poll::Ready(Err(error)) => {
                end = Some(Status::connection_lost(format!(
                    "the connection broke: cannot read: {error}"
                )));
                break;
            }
            Poll::Ready(Ok(0)) => {
                end = Some(Status::connection_lost(match state.mux.end_of_bytes() {
                    Ok(()) => "the other side is gone: its end of the pipe is closed".to_owned(),
                    Err(violation) => format!("the other side is gone: {violation}"),
                }));
                break;
            }
            Poll::Ready(Ok(count)) => {
                state.has_read = true;
                let (before, frames) = (state.mux.pending_events(), state.mux.frames_received());
                let received = state.mux.received(count);
                batch += state.mux.pending_events() - before;
                turn.spend_bytes(count);
                turn.spend(state.mux.frames_received().wrapping_sub(frames) * Turn::FRAME);
                if let Err(violation) = received {
                    end = Some(Status::connection_lost(format!(
                        "the other side broke the stdio protocol: {violation}"
                    )));
                    state.note(Note::Violation(violation));
                    break;
                }
            }
        }
    }
    if batch > 0 {
        state.last_batch = batch;
    }
    state.drain_events();
    let unwritten = state.flush(cx, turn);
    if let Some(status) = end {
        // In the same breath, so that no call comes in between that nobody explains.
        state.lost.get_or_insert(status);
    }
    if let Some(status) = &state.lost {
        return Step::Lost(status.clone());
    }
    if let Some(over) = end_drain(state, cx) {
        return over;
    }
    if again || unwritten {
        Step::Again
    } else {
        Step::Wait
    }
}

/// Closes a connection that has nothing left to do before it closes.
fn end_drain<S: Serves>(state: &mut State<S>, cx: &mut Context<'_>) -> Option<Step> {
    let idle = match state.drain? {
        Drain::Ours => state.mux.live_ours() == 0,
        Drain::Theirs => state.mux.live_theirs() == 0 && state.serving.is_idle(),
    };
    if !idle {
        return None;
    }
    state.mux.close(close::ORDERLY, "drained");
    if state.flush(cx, &mut Turn::new()) {
        return Some(Step::Again);
    }
    if !state.is_close_written() {
        return None;
    }
    let io = state.io.as_mut()?;
    match Pin::new(io).poll_close(cx) {
        Poll::Pending => None,
        Poll::Ready(_) => {
            state.close_drained();
            Some(Step::Over)
        }
    }
}
