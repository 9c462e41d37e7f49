//! What the messages of the peer do, whole or in chunks.

use outboard_core::rpc::{Status, TooLarge};

use super::Mux;
use crate::wire::flow::{cost, exceeded};
use crate::wire::frame::{Body, Header, Kind, flags};
use crate::wire::key::Key;
use crate::wire::large::{Assembly, Chunk};
use crate::wire::reader::Payload;
use crate::wire::types::Event;
use crate::wire::violation::Violation;

impl Mux {
    /// The message part of a frame.
    pub(super) fn body(
        &mut self,
        key: Key,
        wire: u32,
        body: Body<'_>,
        payload: &Payload<'_>,
    ) -> Result<(), Violation> {
        let most = self.config.settings.max_message as usize;
        let Some(stream) = self.stream_mut(key) else {
            return Ok(());
        };
        if body != Body::Absent {
            let kind = Kind::Message as u8;
            let came = stream.state.message_came();
            came.map_err(|invalid| invalid.of(kind, wire))?;
            if stream.large_in.is_midway() {
                return Err(Violation::MessageInMessage { stream: wire });
            }
        }
        match body {
            Body::Absent => Ok(()),
            Body::Inline(bytes) => {
                let cost = cost(bytes.len());
                let received = stream.receive.receive(cost);
                received.map_err(|over| exceeded(over, wire, "of the stream"))?;
                let keep = !stream.state.is_deaf() && bytes.len() <= most;
                if keep {
                    stream.inbox.push(bytes, || payload.message(bytes.len()));
                }
                let received = self.receive.receive(cost);
                received.map_err(|over| exceeded(over, wire, "of the connection"))?;
                if !keep {
                    self.receive.take(cost);
                    if bytes.len() > most {
                        self.too_large(key, bytes.len());
                    }
                }
                Ok(())
            }
            Body::Large(0) => Err(Violation::EmptyChunk { stream: wire }),
            Body::Large(total) => {
                let total = total as usize;
                let wanted = total <= most && !stream.state.is_deaf();
                let announced = stream.large_in.announced(total, wanted);
                let slot = announced.map_err(|misplaced| misplaced.of(wire, total))?;
                self.settle_slot(key, slot);
                if total > most {
                    // Not one byte of it has to be taken.
                    self.too_large(key, total);
                }
                Ok(())
            }
        }
    }

    /// Ends the call that a message is too large for.
    fn too_large(&mut self, key: Key, len: usize) {
        let whose = key.side();
        let status = Status::from(TooLarge {
            length: len as u64,
            limit: u64::from(self.config.settings.max_message),
            whose,
            sender: whose.other(),
        });
        if !key.is_ours() {
            if self.is_sending(key) {
                self.abort(key, &status);
                self.events.push_back(Event::Cancelled(key));
            }
            return;
        }
        self.cancel(key, status);
    }

    pub(super) fn ended(&mut self, key: Key, end: bool) {
        if end {
            if let Some(stream) = self.stream_mut(key) {
                stream.state.end_came();
            }
            if !key.is_ours() {
                self.remove_if_done(key);
            }
        }
    }

    /// The large message that a chunk with this header goes on with, if all is right.
    pub(super) fn assembly(&mut self, header: Header) -> Option<&mut Assembly> {
        if header.kind != Kind::Chunk as u8 {
            return None;
        }
        let opener = header.flags & flags::OPENER != 0;
        let key = self.table(opener).by_wire(header.stream)?;
        let stream = self.stream_mut(key)?;
        stream.large_in.assembly(header.len as usize)
    }

    /// A piece of a large message: `data`, or `whole` with the pieces before it.
    pub(super) fn chunk(
        &mut self,
        header: Header,
        data: &[u8],
        whole: Option<Vec<u8>>,
    ) -> Result<(), Violation> {
        let wire = header.stream;
        header.check_flags(Kind::Chunk)?;
        let opener = header.flags & flags::OPENER != 0;
        let end = header.flags & flags::END != 0;
        let key = self.receiving(header, opener, wire)?;
        let len = header.len as usize;
        let Some(stream) = self.stream_mut(key) else {
            return Ok(());
        };
        let came = stream.large_in.chunk(len, data, whole);
        match came.map_err(|misplaced| misplaced.of(wire, len))? {
            Chunk::More if end => return Err(Violation::EndInMessage { stream: wire }),
            Chunk::More => return Ok(()),
            Chunk::Whole(message) => stream.inbox.push_large(message.into()),
            Chunk::Dropped => {}
        }
        self.ended(key, end);
        self.tell_readable(key);
        Ok(())
    }
}
