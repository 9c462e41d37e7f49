//! What goes out, in which order.
//!
//! Streams take turns; a turn is one frame with content, so that a large message delays the
//! others by one frame at a time.

use outboard_mux::OutBuf;

use super::Mux;
use super::turn::{TurnEnd, emit};
use crate::wire::close;
use crate::wire::flow::{Outbound, cost};
use crate::wire::frame::{Body, Frame, StatusHead};
use crate::wire::heads_out::{Of, PartsOut};
use crate::wire::key::Key;
use crate::wire::large::LargeOut;
use crate::wire::limits::{MAX_HEAD, MAX_PIECE, OUTBOX_ROOM};
use crate::wire::stream::Writer;
use crate::wire::types::Event;

/// Encoding stops when this much waits to be written: a full pipe. More would only delay what
/// comes later, and a peer that does not read must not make us collect frames.
const OUT_LIMIT: usize = 64 * 1024;
impl Mux {
    /// Appends the frames that can be sent now, as long as little is waiting in `out`.
    pub fn transmit(&mut self, out: &mut OutBuf) {
        if self.close_sent || out.len() >= OUT_LIMIT {
            return;
        }
        if !self.sent_preface {
            self.send_preface(out);
        }
        let at_once = matches!(self.close_due, Some((code, _)) if code != close::ORDERLY);
        if at_once {
            self.send_close(out);
            return;
        }
        if let Some(content) = self.pong_due.take() {
            Frame::Pong { content }.encode(out.tail());
        }
        if std::mem::take(&mut self.ping_due) {
            Frame::Ping { content: [0; 8] }.encode(out.tail());
        }
        if let Some(text) = self.goaway_due.take() {
            Frame::GoAway { text: &text }.encode(out.tail());
        }
        while out.len() < OUT_LIMIT {
            if self.receive.is_due() {
                let amount = self.receive.give_back();
                Frame::ConnectionCredit { amount }.encode(out.tail());
            }
            let Some(key) = self.next_turn() else {
                break;
            };
            let opens = self.stream(key).is_some_and(|s| s.state.is_opening());
            let turn = if opens {
                self.turn_to_open(key, out)
            } else {
                self.turn(key, out)
            };
            match turn {
                TurnEnd::Again => self.queue(key),
                TurnEnd::Idle | TurnEnd::Gone => {}
            }
            self.tell_room(key);
        }
        if self.ready.is_empty() && self.close_due.is_some() {
            self.send_close(out);
        }
    }

    /// Whose turn it is. Calls that wait for a number go first while there is one, so that no call
    /// that is made later takes it from them, and nobody has to be told when one becomes free.
    fn next_turn(&mut self) -> Option<Key> {
        while self.ours.has_number(self.peer.max_streams, false)
            && let Some(key) = self.unnumbered.pop()
        {
            if let Some(stream) = self.ours.get_mut(key) {
                stream.places.number.leave();
                return Some(key);
            }
        }
        while let Some(key) = self.ready.pop() {
            if let Some(stream) = self.stream_mut(key) {
                stream.places.turn.leave();
                return Some(key);
            }
        }
        None
    }

    /// Whether [`transmit`](Self::transmit) would give anything.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        !self.close_sent
            && (!self.ready.is_empty()
                || !self.sent_preface
                || !self.unnumbered.is_empty()
                    && self.ours.has_number(self.peer.max_streams, false)
                || self.pong_due.is_some()
                || self.ping_due
                || self.goaway_due.is_some()
                || self.close_due.is_some()
                || self.receive.is_due())
    }

    fn send_close(&mut self, out: &mut OutBuf) {
        if let Some((code, text)) = &self.close_due {
            Frame::Close { code: *code, text }.encode(out.tail());
            self.close_sent = true;
        }
    }

    fn tell_room(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key)
            && stream.writer == Writer::HeldUp
            && stream.queued_len() < OUTBOX_ROOM
        {
            stream.writer = Writer::Free;
            self.events.push_back(Event::Writable(key));
        }
    }

    /// A turn for headers or a status that does not fit a frame.
    fn turn_in_parts(&mut self, key: Key, wire: u32, of: Of, out: &mut OutBuf) -> TurnEnd {
        if !self.send_part(key, wire, out)
            && let Some(stream) = self.stream_mut(key)
        {
            stream.parts_out = None;
            if of == Of::Headers {
                let frame = Frame::Headers {
                    stream: wire,
                    metadata: &[],
                    parts: true,
                };
                frame.encode(out.tail());
            }
        }
        TurnEnd::Again
    }

    fn turn(&mut self, key: Key, out: &mut OutBuf) -> TurnEnd {
        let ours = key.ours;
        let Some(stream) = self.stream_mut(key) else {
            return TurnEnd::Gone;
        };
        let Some(wire) = stream.wire else {
            return TurnEnd::Idle;
        };
        if stream.receive.is_due() && !stream.state.is_ended() && !stream.state.is_deaf() {
            let amount = stream.receive.give_back();
            let frame = Frame::Credit {
                stream: wire,
                opener: ours,
                amount,
            };
            frame.encode(out.tail());
        }
        if stream.large_in.grant_sent() {
            let frame = Frame::Grant {
                stream: wire,
                opener: ours,
            };
            frame.encode(out.tail());
        }
        if stream.state.cancel_sent() {
            Frame::Cancel { stream: wire }.encode(out.tail());
        }
        if stream.state.is_sent() {
            return if self.remove_if_done(key) {
                TurnEnd::Gone
            } else {
                TurnEnd::Idle
            };
        }
        if stream.headers_out.queued().is_some_and(|block| block.long)
            && let Some(block) = stream.headers_out.pass()
        {
            stream.parts_out = Some(PartsOut::new(Of::Headers, block.bytes));
        }
        if let Some(of) = stream.parts_out.as_ref().map(|parts| parts.of) {
            return self.turn_in_parts(key, wire, of, out);
        }
        if stream.large_out.is_some() {
            return self.turn_large(key, wire, out);
        }
        if !stream.outbox.is_empty() {
            return self.turn_message(key, wire, out);
        }
        if stream.state.is_finishing() {
            return self.turn_last(key, wire, out);
        }
        if stream.headers_out.queued().is_some()
            && let Some(headers) = stream.headers_out.pass()
        {
            let frame = Frame::Headers {
                stream: wire,
                metadata: &headers.bytes,
                parts: false,
            };
            frame.encode(out.tail());
        }
        TurnEnd::Idle
    }

    fn turn_large(&mut self, key: Key, wire: u32, out: &mut OutBuf) -> TurnEnd {
        let most = MAX_PIECE.min(self.peer.max_frame as usize);
        let Some(stream) = self.stream_mut(key) else {
            return TurnEnd::Gone;
        };
        let Some(LargeOut::Granted(left)) = &mut stream.large_out else {
            return TurnEnd::Idle;
        };
        let piece = left.split_to(most.min(left.len()));
        let complete = left.is_empty();
        let end = complete && key.ours && stream.outbox.is_empty() && stream.state.is_finishing();
        if complete {
            stream.large_out = None;
        }
        if end {
            stream.state.last_sent();
        }
        let frame = Frame::Chunk {
            stream: wire,
            opener: key.ours,
            end,
            data: &[],
        };
        frame.encode_head(out.tail(), piece.len());
        out.append(piece);
        TurnEnd::Again
    }

    fn turn_message(&mut self, key: Key, wire: u32, out: &mut OutBuf) -> TurnEnd {
        let (peer, conn) = (self.peer, self.send);
        let most = peer.max_frame as usize;
        let Some(stream) = self.stream_mut(key) else {
            return TurnEnd::Gone;
        };
        let len = stream.outbox.front().map_or(0, |front| front.len);
        let cost = cost(len);
        let inline = len <= most;
        if inline && !stream.send.allows(cost) {
            return TurnEnd::Idle;
        }
        if inline && !conn.allows(cost) {
            self.starve(key);
            return TurnEnd::Idle;
        }
        let Some(Outbound { message, .. }) = stream.outbox.pop() else {
            return TurnEnd::Idle;
        };
        let last = stream.outbox.is_empty() && stream.state.is_finishing();
        let headers = stream.headers_out.pass();
        let mut frame = Frame::Message {
            stream: wire,
            opener: key.ours,
            end: key.ours && last && inline,
            body: Body::Inline(&[]),
        };
        // The one response message, or the last of many, travels with the status.
        let together =
            last && !key.ours && stream.ending.as_ref().is_none_or(|e| e.fits_a_message());
        let ending = stream.ending.take_if(|_| together);
        let mut whole = false;
        if together {
            let head = StatusHead {
                headers: headers.as_ref().map_or(&[], |block| block.bytes.as_slice()),
                ..ending
                    .as_ref()
                    .map_or_else(StatusHead::default, |ending| ending.head())
            };
            let head_len = head.encoded_len();
            if head_len + len <= most && head_len <= MAX_HEAD {
                frame = Frame::Status {
                    stream: wire,
                    head,
                    body: Body::Inline(&[]),
                };
                whole = true;
            }
        }
        if let Some(headers) = headers.as_ref().filter(|_| !whole) {
            let frame = Frame::Headers {
                stream: wire,
                metadata: &headers.bytes,
                parts: false,
            };
            frame.encode(out.tail());
        }
        if !inline {
            let total = u32::try_from(len).unwrap_or(u32::MAX);
            let frame = Frame::Message {
                stream: wire,
                opener: key.ours,
                end: false,
                body: Body::Large(total),
            };
            frame.encode(out.tail());
            stream.large_out = Some(LargeOut::Announced(message.into_bytes()));
            stream.ending = stream.ending.take().or(ending);
            return TurnEnd::Idle;
        }
        stream.send.spend(cost);
        if whole || (key.ours && last) {
            stream.state.last_sent();
        }
        self.send.spend(cost);
        emit(&mut self.scratch, out, &frame, Some(message));
        if whole {
            // Now, not at the next turn: the peer may use the number again as soon as it has this.
            return if self.remove_if_done(key) {
                TurnEnd::Gone
            } else {
                TurnEnd::Idle
            };
        }
        if let Some(stream) = self.stream_mut(key) {
            stream.ending = stream.ending.take().or(ending);
        }
        TurnEnd::Again
    }

    /// The last frame, without a message.
    fn turn_last(&mut self, key: Key, wire: u32, out: &mut OutBuf) -> TurnEnd {
        let max_head = self.peer.max_head;
        let Some(stream) = self.stream_mut(key) else {
            return TurnEnd::Gone;
        };
        if let Some(ending) = &mut stream.ending
            && !ending.fits_a_frame()
            && let Some(long) = ending.split(max_head)
        {
            stream.parts_out = Some(PartsOut::new(Of::Ending, long));
            return TurnEnd::Again;
        }
        stream.state.last_sent();
        if key.ours {
            Frame::End { stream: wire }.encode(out.tail());
        } else {
            let headers = stream.headers_out.pass().unwrap_or_default();
            let ending = stream.ending.take();
            let mut head = StatusHead {
                headers: &headers.bytes,
                ..ending
                    .as_ref()
                    .map_or_else(StatusHead::default, |ending| ending.head())
            };
            if head.encoded_len() > MAX_HEAD {
                let frame = Frame::Headers {
                    stream: wire,
                    metadata: &headers.bytes,
                    parts: false,
                };
                frame.encode(out.tail());
                head.headers = &[];
            }
            let frame = Frame::Status {
                stream: wire,
                head,
                body: Body::Absent,
            };
            frame.encode(out.tail());
        }
        if self.remove_if_done(key) {
            TurnEnd::Gone
        } else {
            TurnEnd::Idle
        }
    }
}
