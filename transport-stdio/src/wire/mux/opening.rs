//! The first frames of a call of this side.

use outboard_core::rpc::Status;
use outboard_mux::{OutBuf, SendWindow};

use super::Mux;
use super::turn::{TurnEnd, emit};
use crate::wire::flow::cost;
use crate::wire::frame::{Body, Frame, OpenHead};
use crate::wire::heads_out::{Of, PartsOut};
use crate::wire::key::Key;
use crate::wire::large::LargeOut;

impl Mux {
    /// The first frame of a call of this side.
    pub(super) fn turn_to_open(&mut self, key: Key, out: &mut OutBuf) -> TurnEnd {
        let (peer, conn) = (self.peer, self.send);
        let Some(stream) = self.ours.get_mut(key) else {
            return TurnEnd::Gone;
        };
        if stream.opening.as_ref().is_some_and(|o| o.metadata.long) {
            return self.turn_to_open_in_parts(key, out);
        }
        if let Some(wire) = stream.wire
            && stream.parts_out.is_some()
        {
            if self.send_part(key, wire, out) {
                return TurnEnd::Again;
            }
            if let Some(stream) = self.ours.get_mut(key) {
                stream.parts_out = None;
            }
        }
        let Some(stream) = self.ours.get_mut(key) else {
            return TurnEnd::Gone;
        };
        let parts = stream.wire.is_some();
        let Some(opening) = &stream.opening else {
            return TurnEnd::Again;
        };
        let head = OpenHead {
            parts,
            path: &opening.path,
            channel: stream.channel,
            timeout: opening.timeout,
            metadata: opening.metadata.short(),
        };
        let len = stream.outbox.front().map(|front| front.len);
        let inline = len.filter(|len| head.encoded_len() + len <= peer.max_frame as usize);
        if let Some(len) = inline
            && !conn.allows(cost(len))
        {
            self.starve(key);
            return TurnEnd::Idle;
        }
        let numbered = stream.wire;
        let urgent = opening.urgent;
        let number = numbered.or_else(|| self.ours.number(key, peer.max_streams, urgent));
        let Some(wire) = number else {
            self.want_number(key);
            return TurnEnd::Idle;
        };
        let Some(stream) = self.ours.get_mut(key) else {
            return TurnEnd::Gone;
        };
        let Some(opening) = stream.opening.take() else {
            return TurnEnd::Again;
        };
        let head = OpenHead {
            path: &opening.path,
            channel: stream.channel,
            timeout: opening.timeout,
            metadata: opening.metadata.short(),
            parts,
        };
        stream.send = SendWindow::new(peer.stream_window);
        let mut message = None;
        let mut body = Body::Absent;
        if let Some(first) = stream.outbox.pop() {
            message = Some(first.message);
            body = Body::Inline(&[]);
        }
        if inline.is_none()
            && let Some(large) = message.take()
        {
            body = Body::Large(u32::try_from(large.len()).unwrap_or(u32::MAX));
            stream.large_out = Some(LargeOut::Announced(large.into_bytes()));
        }
        let end =
            stream.state.is_finishing() && stream.outbox.is_empty() && stream.large_out.is_none();
        stream.state.opened();
        if end {
            stream.state.last_sent();
        }
        if let Some(message) = &message {
            stream.send.spend(cost(message.len()));
            self.send.spend(cost(message.len()));
        }
        let frame = Frame::Open {
            stream: wire,
            end,
            head,
            body,
        };
        emit(&mut self.scratch, out, &frame, message);
        TurnEnd::Again
    }

    /// Begins to send the head of a call that does not fit a frame: it goes first.
    fn turn_to_open_in_parts(&mut self, key: Key, out: &mut OutBuf) -> TurnEnd {
        if !self.got_preface {
            // Whether the peer takes it is not known yet; its preface gives the call a turn.
            return TurnEnd::Idle;
        }
        let most = self.peer;
        let opening = self.ours.get(key).and_then(|s| s.opening.as_ref());
        let urgent = opening.is_some_and(|o| o.urgent);
        let checked = opening.map_or(Ok(()), |o| o.metadata.check(most.max_head));
        if let Err(error) = checked {
            self.cancel(key, Status::resource_exhausted(error.to_string()));
            return TurnEnd::Again;
        }
        let Some(wire) = self.ours.number(key, most.max_streams, urgent) else {
            self.want_number(key);
            return TurnEnd::Idle;
        };
        if let Some(stream) = self.ours.get_mut(key)
            && let Some(opening) = &mut stream.opening
        {
            let block = std::mem::take(&mut opening.metadata);
            stream.state.heading();
            stream.parts_out = Some(PartsOut::new(Of::Opening, block.bytes));
        }
        self.send_part(key, wire, out);
        TurnEnd::Again
    }
}
