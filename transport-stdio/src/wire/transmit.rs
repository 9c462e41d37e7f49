//! What goes out, in which order.
//!
//! Streams take turns; a turn is one frame with content, so that a large message delays the
//! others by one frame at a time.

use super::close;
use super::flow::cost;
use super::frame::{Body, Frame, StatusHead};
use super::mux::Mux;
use super::out::{COPY_BELOW, OutBuf};
use super::parts::{Of, PartsOut};
use super::stream::{Key, LargeOut, OUTBOX_ROOM, Sending};
use super::types::Event;
use outboard_core::rpc::OutMessage;

/// Encoding stops when this much waits to be written: a full pipe. More would only delay what
/// comes later, and a peer that does not read must not make us collect frames.
const OUT_LIMIT: usize = 64 * 1024;
/// Pieces of large messages are at most this long even if the peer takes longer frames.
pub(super) const MAX_PIECE: usize = 128 * 1024;

/// How a turn ended.
pub(super) enum Turn {
    /// There may be more to send.
    Again,
    /// Nothing to send until something changes.
    Idle,
    /// The stream is gone.
    Gone,
}

impl Mux {
    /// Appends the frames that can be sent now, as long as little is waiting in `out`.
    pub fn transmit(&mut self, out: &mut OutBuf) {
        if self.close_sent || out.len() >= OUT_LIMIT {
            return;
        }
        if !self.sent_preface {
            self.sent_preface = true;
            self.config.settings.encode(out.tail());
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
            if self.receive.due() {
                let amount = self.receive.give_back();
                Frame::ConnectionCredit { amount }.encode(out.tail());
            }
            let Some(key) = self.next_turn() else {
                break;
            };
            let opens = self.stream(key).is_some_and(|s| s.opening.is_some());
            let turn = if opens {
                self.turn_to_open(key, out)
            } else {
                self.turn(key, out)
            };
            match turn {
                Turn::Again => self.queue(key),
                Turn::Idle | Turn::Gone => {}
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
                stream.waits_number = false;
                return Some(key);
            }
        }
        while let Some(key) = self.ready.pop() {
            if let Some(stream) = self.stream_mut(key) {
                stream.queued = false;
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
                || self.receive.due())
    }

    fn send_close(&mut self, out: &mut OutBuf) {
        if let Some((code, text)) = &self.close_due {
            Frame::Close { code: *code, text }.encode(out.tail());
            self.close_sent = true;
        }
    }

    fn tell_room(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key)
            && stream.wants_room
            && stream.queued_len() < OUTBOX_ROOM
        {
            stream.wants_room = false;
            self.events.push_back(Event::Writable(key));
        }
    }

    /// A turn for headers or a status that does not fit a frame.
    fn turn_in_parts(&mut self, key: Key, wire: u32, of: Of, out: &mut OutBuf) -> Turn {
        if !self.send_part(key, wire, out)
            && let Some(stream) = self.stream_mut(key)
        {
            stream.parts_out = None;
            if of == Of::Headers {
                stream.headers_gone = true;
                let frame = Frame::Headers {
                    stream: wire,
                    metadata: &[],
                    parts: true,
                };
                frame.encode(out.tail());
            }
        }
        Turn::Again
    }

    fn turn(&mut self, key: Key, out: &mut OutBuf) -> Turn {
        let ours = key.ours;
        let Some(stream) = self.stream_mut(key) else {
            return Turn::Gone;
        };
        let Some(wire) = stream.wire else {
            return Turn::Idle;
        };
        if std::mem::take(&mut stream.credit_due) && !stream.input_ended && !stream.deaf {
            let amount = stream.receive.give_back();
            let frame = Frame::Credit {
                stream: wire,
                opener: ours,
                amount,
            };
            frame.encode(out.tail());
        }
        if std::mem::take(&mut stream.grant_due) && !stream.input_ended && !stream.deaf {
            let frame = Frame::Grant {
                stream: wire,
                opener: ours,
            };
            frame.encode(out.tail());
        }
        if std::mem::take(&mut stream.cancel) {
            let over = stream.input_ended && stream.sending == Sending::Done;
            if !over && !std::mem::replace(&mut stream.cancel_sent, true) {
                Frame::Cancel { stream: wire }.encode(out.tail());
            }
            stream.sending = Sending::Done;
            stream.clear_outbox();
        }
        if stream.sending == Sending::Done {
            return if self.remove_if_done(key) {
                Turn::Gone
            } else {
                Turn::Idle
            };
        }
        if stream.headers_out.as_ref().is_some_and(|block| block.long) {
            let block = stream.headers_out.take().unwrap_or_default();
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
        if stream.sending == Sending::Finishing {
            return self.turn_last(key, wire, out);
        }
        if let Some(headers) = stream.headers_out.take() {
            stream.headers_gone = true;
            let frame = Frame::Headers {
                stream: wire,
                metadata: &headers.bytes,
                parts: false,
            };
            frame.encode(out.tail());
        }
        Turn::Idle
    }

    fn turn_large(&mut self, key: Key, wire: u32, out: &mut OutBuf) -> Turn {
        let most = MAX_PIECE.min(self.peer.max_frame as usize);
        let Some(stream) = self.stream_mut(key) else {
            return Turn::Gone;
        };
        let Some(large) = stream.large_out.as_mut().filter(|large| large.granted) else {
            return Turn::Idle;
        };
        let piece = large.left.split_to(most.min(large.left.len()));
        let complete = large.left.is_empty();
        let end = complete
            && key.ours
            && stream.outbox.is_empty()
            && stream.sending == Sending::Finishing;
        if complete {
            stream.large_out = None;
        }
        if end {
            stream.sending = Sending::Done;
        }
        let frame = Frame::Chunk {
            stream: wire,
            opener: key.ours,
            end,
            data: &[],
        };
        frame.encode_head(out.tail(), piece.len());
        if piece.len() < COPY_BELOW {
            out.tail().extend_from_slice(&piece);
        } else {
            out.push(piece);
        }
        Turn::Again
    }

    fn turn_message(&mut self, key: Key, wire: u32, out: &mut OutBuf) -> Turn {
        let (peer, conn) = (self.peer, self.send);
        let most = peer.max_frame as usize;
        let Some(stream) = self.stream_mut(key) else {
            return Turn::Gone;
        };
        let len = stream.outbox.front().map_or(0, OutMessage::len);
        let cost = cost(len);
        let inline = len <= most;
        if inline && !stream.send.allows(cost) {
            return Turn::Idle;
        }
        if inline && !conn.allows(cost) {
            self.starve(key);
            return Turn::Idle;
        }
        let Some(message) = stream.outbox.pop_front() else {
            return Turn::Idle;
        };
        stream.outbox_len -= len;
        let last = stream.outbox.is_empty() && stream.sending == Sending::Finishing;
        let headers = stream.headers_out.take();
        stream.headers_gone = true;
        let mut frame = Frame::Message {
            stream: wire,
            opener: key.ours,
            end: key.ours && last && inline,
            body: Body::Inline(&[]),
        };
        // The one response message, or the last of many, travels with the status.
        let ending = stream
            .ending
            .take_if(|ending| last && ending.code == 0 && ending.fits_a_frame());
        let mut whole = false;
        if let Some(ending) = &ending {
            let head = StatusHead {
                headers: headers.as_ref().map_or(&[], |block| block.bytes.as_slice()),
                ..ending.head()
            };
            let head_len = head.encoded_len();
            if head_len + len <= most && head_len <= super::frame::MAX_HEAD {
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
            stream.large_out = Some(LargeOut {
                left: message.into_bytes(),
                granted: false,
            });
            stream.ending = stream.ending.take().or(ending);
            return Turn::Idle;
        }
        stream.send.spend(cost);
        if whole || (key.ours && last) {
            stream.sending = Sending::Done;
        }
        self.send.spend(cost);
        emit(&mut self.scratch, out, &frame, Some(message));
        if whole {
            // Now, not at the next turn: the peer may use the number again as soon as it has this.
            return if self.remove_if_done(key) {
                Turn::Gone
            } else {
                Turn::Idle
            };
        }
        if let Some(stream) = self.stream_mut(key) {
            stream.ending = stream.ending.take().or(ending);
        }
        Turn::Again
    }

    /// The last frame, without a message.
    fn turn_last(&mut self, key: Key, wire: u32, out: &mut OutBuf) -> Turn {
        let max_head = self.peer.max_head;
        let Some(stream) = self.stream_mut(key) else {
            return Turn::Gone;
        };
        if let Some(ending) = &mut stream.ending
            && !ending.fits_a_frame()
            && let Some(long) = ending.split(max_head)
        {
            stream.parts_out = Some(PartsOut::new(Of::Ending, long));
            return Turn::Again;
        }
        stream.sending = Sending::Done;
        if key.ours {
            Frame::End { stream: wire }.encode(out.tail());
        } else {
            let headers = stream.headers_out.take().unwrap_or_default();
            let ending = stream.ending.take().unwrap_or_default();
            let mut head = StatusHead {
                headers: &headers.bytes,
                ..ending.head()
            };
            if head.encoded_len() > super::frame::MAX_HEAD {
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
            Turn::Gone
        } else {
            Turn::Idle
        }
    }

    pub(super) fn want_number(&mut self, key: Key) {
        if let Some(stream) = self.ours.get_mut(key)
            && !stream.waits_number
        {
            stream.waits_number = true;
            self.unnumbered.push(key, &self.ours, &self.theirs);
        }
    }

    pub(super) fn starve(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key)
            && !stream.starved
        {
            stream.starved = true;
            self.starved.push(key, &self.ours, &self.theirs);
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
