//! A stream's turn at sending: what the first frames of a call and the later ones share.

use outboard_core::rpc::OutMessage;
use outboard_mux::{COPY_BELOW, OutBuf};

use super::{Mux, push};
use crate::wire::frame::Frame;
use crate::wire::key::Key;

/// How a turn ended.
pub(super) enum TurnEnd {
    /// There may be more to send.
    Again,
    /// Nothing to send until something changes.
    Idle,
    /// The stream is gone.
    Gone,
}

impl Mux {
    pub(super) fn want_number(&mut self, key: Key) {
        if let Some(stream) = self.ours.get_mut(key)
            && stream.places.number.enter()
        {
            push(&mut self.unnumbered, key, &self.ours, &self.theirs);
        }
    }

    pub(super) fn starve(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key)
            && stream.places.credit.enter()
        {
            push(&mut self.starved, key, &self.ours, &self.theirs);
        }
    }
}

/// Appends a frame with this message at its end.
pub(super) fn emit(
    scratch: &mut Vec<u8>,
    out: &mut OutBuf,
    frame: &Frame<'_>,
    message: Option<OutMessage>,
) {
    let Some(message) = message else {
        frame.encode_head(out.tail(), 0);
        return;
    };
    if message.len() < COPY_BELOW {
        frame.encode_head(out.tail(), message.len());
        out.tail().extend_from_slice(message.as_slice());
        return;
    }
    scratch.clear();
    frame.encode_head(scratch, message.len());
    if scratch.len() <= OutMessage::HEADROOM {
        out.push(message.with_prefix(scratch));
    } else {
        out.tail().extend_from_slice(scratch);
        out.push(message.into_bytes());
    }
}
