//! What the peer's frames do.

use bytes::Bytes;

use outboard_core::rpc::{Status, TooLarge};

use super::close;
use super::flow::cost;
use super::frame::{Body, Frame, Header, Kind};
use super::mux::Mux;
use super::preface::Settings;
use super::reader::{self, Payload, Reader, Step};
use super::stream::{Key, LargeIn, Sending};
use super::types::Event;
use super::violation::Violation;

impl Mux {
    /// Where the next bytes from the peer go. Not empty until [`received`](Self::received) failed.
    pub fn space(&mut self) -> &mut [u8] {
        self.reader.space()
    }

    /// Takes note of `count` bytes read into [`space`](Self::space).
    ///
    /// # Errors
    /// The first [`Violation`], now and ever after: the connection is at its end. What
    /// [`transmit`](Self::transmit) gives afterwards tells the peer why.
    pub fn received(&mut self, count: usize) -> Result<(), Violation> {
        if let Some(violation) = &self.failed {
            return Err(violation.clone());
        }
        self.reader.filled(count);
        if let Some(watch) = &mut self.watch {
            watch.heard();
        }
        let mut reader = std::mem::take(&mut self.reader);
        let result = self.run(&mut reader);
        self.reader = reader;
        if let Err(violation) = &result {
            let code = if matches!(violation, Violation::Version { .. }) {
                close::VERSION
            } else {
                close::VIOLATION
            };
            self.failed = Some(violation.clone());
            self.close_due = None;
            self.close(code, &violation.to_string());
        }
        result
    }

    /// [`space`](Self::space) and [`received`](Self::received) for bytes that lie elsewhere.
    ///
    /// # Errors
    /// As [`received`](Self::received).
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Some(place) = space.get_mut(..count) {
                place.copy_from_slice(now);
            }
            bytes = later;
            self.received(count)?;
        }
        Ok(())
    }

    /// No more bytes will come.
    ///
    /// # Errors
    /// A [`Violation`] if the bytes ended in the middle of a frame.
    pub fn end_of_bytes(&self) -> Result<(), Violation> {
        if self.reader.is_between_frames() {
            Ok(())
        } else {
            Err(Violation::EndOfBytes)
        }
    }

    fn run(&mut self, reader: &mut Reader) -> Result<(), Violation> {
        if !self.got_preface {
            let Some((settings, len)) = Settings::decode(reader.waiting())? else {
                return Ok(());
            };
            reader.skip(len);
            self.settle(settings)?;
        }
        loop {
            let step = reader.step(self.config.settings.max_frame)?;
            if let Step::Here(..) | Step::Own(..) = step {
                self.frames = self.frames.wrapping_add(1);
            }
            match step {
                Step::More => return Ok(()),
                Step::Here(header, range) => {
                    self.frame(header, &Payload::Here(reader.payload(range)))?;
                }
                Step::Own(header, body) => self.own(header, body)?,
                Step::Begins(header) => {
                    let buffer = self.assembly(header).map(|large| {
                        large.reserve(header.len as usize);
                        std::mem::take(&mut large.buffer)
                    });
                    reader.start_body(header, buffer.unwrap_or_default());
                }
            }
        }
    }

    /// The peer's settings are known: there is more to use than before.
    fn settle(&mut self, settings: Settings) -> Result<(), Violation> {
        self.got_preface = true;
        self.peer = settings;
        let more = |now: u32, before: u32| now.saturating_sub(before);
        self.send.add(
            more(
                settings.connection_window,
                Settings::LEAST.connection_window,
            ),
            0,
        )?;
        for key in self.ours.keys() {
            if let Some(stream) = self.ours.get_mut(key) {
                stream.starved = false;
                if let Some(wire) = stream.wire {
                    let by = more(settings.stream_window, Settings::LEAST.stream_window);
                    stream.send.add(by, wire)?;
                }
            }
            self.queue(key);
        }
        self.starved.clear();
        Ok(())
    }

    /// The large message that a chunk with this header goes on with, if all is right.
    fn assembly(&mut self, header: Header) -> Option<&mut LargeIn> {
        if header.kind != Kind::Chunk as u8 {
            return None;
        }
        let opener = header.flags & super::frame::flags::OPENER != 0;
        let key = self.table(opener).by_wire(header.stream)?;
        let stream = self.stream_mut(key).filter(|stream| !stream.deaf)?;
        let large = stream.large_in.as_mut()?;
        (large.granted && header.len as usize <= large.left).then_some(large)
    }

    /// A frame that came in memory of its own.
    fn own(&mut self, header: Header, body: reader::Body) -> Result<(), Violation> {
        if !self.is_of_use(header)? {
            return Ok(());
        }
        let buffer = body.buffer;
        if header.kind == Kind::Chunk as u8 && body.before > 0 || self.assembly(header).is_some() {
            return self.chunk(header, &[], Some(buffer));
        }
        let payload = Bytes::from(buffer).slice(body.before..);
        self.frame(header, &Payload::Own(payload))
    }

    /// Whether a frame is to be looked at: after this side's last frame nothing can be answered,
    /// and only the peer's reason to close is still of interest.
    fn is_of_use(&self, header: Header) -> Result<bool, Violation> {
        if self.close_sent {
            return Ok(header.kind == Kind::Close as u8 && !self.peer_closed);
        }
        if self.peer_closed {
            return Err(Violation::AfterClose { kind: header.kind });
        }
        Ok(true)
    }

    fn frame(&mut self, header: Header, payload: &Payload<'_>) -> Result<(), Violation> {
        if !self.is_of_use(header)? {
            return Ok(());
        }
        match Frame::decode(header, payload.as_slice())? {
            Frame::Open {
                stream,
                end,
                head,
                body,
            } => self.opened(stream, end, head, body, payload),
            Frame::Message {
                stream,
                opener,
                end,
                body,
            } => {
                let key = self.receiving(header, opener, stream)?;
                self.body(key, stream, body, payload)?;
                self.ended(key, end);
                self.tell_readable(key);
                Ok(())
            }
            Frame::Chunk { data, .. } => self.chunk(header, data, None),
            Frame::End { stream } => {
                let key = self.receiving(header, true, stream)?;
                if self.stream(key).is_some_and(|s| s.large_in.is_some()) {
                    return Err(Violation::EndInMessage { stream });
                }
                self.ended(key, true);
                self.tell_readable(key);
                self.remove_if_done(key);
                Ok(())
            }
            Frame::Headers {
                stream,
                metadata,
                parts,
            } => {
                let key = self.receiving(header, false, stream)?;
                self.headers_came(key, stream, metadata, parts)?;
                self.tell_readable(key);
                Ok(())
            }
            Frame::Part {
                stream,
                opener,
                first,
                data,
            } => {
                if opener {
                    self.check_theirs(header, stream)?;
                    if self.theirs.by_wire(stream).is_some() {
                        return Err(Violation::StreamBusy { stream });
                    }
                } else {
                    self.receiving(header, false, stream)?;
                }
                self.part_came(opener, stream, first, data)
            }
            Frame::Status { stream, head, body } => {
                let key = self.receiving(header, false, stream)?;
                self.status_came(key, header, head, body, payload)
            }
            Frame::Cancel { stream } => {
                self.check_theirs(header, stream)?;
                self.cancel_came(stream);
                Ok(())
            }
            Frame::Credit {
                stream,
                opener,
                amount,
            } => {
                if let Some(key) = self.sending(header, opener, stream)? {
                    if let Some(state) = self.stream_mut(key) {
                        state.send.add(amount, stream)?;
                    }
                    self.queue(key);
                }
                Ok(())
            }
            Frame::Grant { stream, opener } => {
                if let Some(key) = self.sending(header, opener, stream)? {
                    self.grant_came(key, stream)?;
                }
                Ok(())
            }
            Frame::Ping { content } => {
                // Only the newest is answered: a flood of pings costs one answer.
                self.pong_due = Some(content);
                Ok(())
            }
            // Any byte counts as a sign of life.
            Frame::Pong { .. } | Frame::Ignored { .. } => Ok(()),
            Frame::GoAway { text } => {
                self.goaway_came(text);
                Ok(())
            }
            Frame::Close { code, text } => {
                self.peer_closed = true;
                self.events.push_back(Event::Closed(code, text.to_owned()));
                Ok(())
            }
            Frame::ConnectionCredit { amount } => {
                self.send.add(amount, 0)?;
                while let Some(key) = self.starved.pop() {
                    if let Some(stream) = self.stream_mut(key) {
                        stream.starved = false;
                    }
                    self.queue(key);
                }
                Ok(())
            }
        }
    }

    /// Something came for a stream. Once is enough for what comes in a row.
    pub(super) fn tell_readable(&mut self, key: Key) {
        let event = Event::Readable(key);
        if self.events.back() != Some(&event) {
            self.events.push_back(event);
        }
    }

    fn table(&self, opener: bool) -> &super::stream::Table {
        if opener { &self.theirs } else { &self.ours }
    }

    /// The stream that a frame with messages, headers or a status belongs to.
    fn receiving(&self, header: Header, opener: bool, stream: u32) -> Result<Key, Violation> {
        let kind = header.kind;
        let key = self
            .table(opener)
            .by_wire(stream)
            .ok_or(Violation::WrongStream { kind, stream })?;
        let is_open = |state: &super::stream::Stream| state.opening.is_none();
        if !self.stream(key).is_some_and(is_open) {
            // It has a number, and the peer does not know it yet.
            return Err(Violation::WrongStream { kind, stream });
        }
        if self.stream(key).is_none_or(|state| state.input_ended) {
            return Err(Violation::AfterEnd { kind, stream });
        }
        Ok(key)
    }

    /// The stream that a frame about this side's sending belongs to. The opener of a stream may
    /// send such frames before it learns that the stream is over; the acceptor knows.
    fn sending(&self, header: Header, opener: bool, stream: u32) -> Result<Option<Key>, Violation> {
        if !opener {
            return self.receiving(header, false, stream).map(Some);
        }
        self.check_theirs(header, stream)?;
        Ok(self.theirs.by_wire(stream))
    }

    fn check_theirs(&self, header: Header, stream: u32) -> Result<(), Violation> {
        if stream < self.config.settings.max_streams {
            return Ok(());
        }
        Err(Violation::WrongStream {
            kind: header.kind,
            stream,
        })
    }

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
            stream.messages_began = true;
            if stream.large_in.is_some() {
                return Err(Violation::MessageInMessage { stream: wire });
            }
        }
        match body {
            Body::Absent => Ok(()),
            Body::Inline(bytes) => {
                let cost = cost(bytes.len());
                stream.receive.receive(cost, wire, "of the stream")?;
                let keep = !stream.deaf && bytes.len() <= most;
                if keep {
                    stream.inbox.push(bytes, || payload.message(bytes.len()));
                }
                self.receive.receive(cost, wire, "of the connection")?;
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
                stream.large_in = Some(LargeIn::new(total));
                if total > most {
                    // Not one byte of it has to be taken.
                    self.too_large(key, total);
                } else {
                    self.large_announced(key);
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
                stream.input_ended = true;
                stream.credit_due = false;
            }
            if !key.is_ours() {
                self.remove_if_done(key);
            }
        }
    }

    /// A piece of a large message: `data`, or `whole` with the pieces before it.
    fn chunk(
        &mut self,
        header: Header,
        data: &[u8],
        whole: Option<Vec<u8>>,
    ) -> Result<(), Violation> {
        let wire = header.stream;
        header.check_flags(Kind::Chunk)?;
        let opener = header.flags & super::frame::flags::OPENER != 0;
        let end = header.flags & super::frame::flags::END != 0;
        let key = self.receiving(header, opener, wire)?;
        let len = header.len as usize;
        let Some(stream) = self.stream_mut(key) else {
            return Ok(());
        };
        let deaf = stream.deaf;
        let Some(large) = stream.large_in.as_mut().filter(|large| large.granted) else {
            return Err(Violation::ChunkNotGranted { stream: wire });
        };
        let left = large.left.checked_sub(len).ok_or(Violation::ChunkTooLong {
            stream: wire,
            len,
            left: large.left,
        })?;
        match whole {
            _ if deaf => {}
            Some(whole) => large.buffer = whole,
            None => {
                large.reserve(data.len());
                large.buffer.extend_from_slice(data);
            }
        }
        large.left = left;
        if large.left > 0 {
            if end {
                return Err(Violation::EndInMessage { stream: wire });
            }
            return Ok(());
        }
        let large = stream.large_in.take();
        if let Some(large) = large.filter(|_| !deaf) {
            stream.inbox.push_large(large.buffer.into());
        }
        self.ended(key, end);
        self.tell_readable(key);
        Ok(())
    }

    fn cancel_came(&mut self, wire: u32) {
        // Of a call that was given up before it was opened.
        self.heads.forget(true, wire);
        let Some(key) = self.theirs.by_wire(wire) else {
            return;
        };
        self.drop_large(key);
        let Some(stream) = self.theirs.get_mut(key) else {
            return;
        };
        stream.input_ended = true;
        match stream.sending {
            Sending::Open => {
                self.abort(key, &Status::cancelled("the caller cancelled the call"));
                self.events.push_back(Event::Cancelled(key));
            }
            Sending::Finishing => {
                // The answer is not wanted any more, but its last frame is.
                stream.clear_outbox();
                if let Some(ending) = &mut stream.ending {
                    ending.strip();
                }
                self.queue(key);
            }
            Sending::Done => {
                self.remove_if_done(key);
            }
        }
    }

    fn grant_came(&mut self, key: Key, wire: u32) -> Result<(), Violation> {
        let Some(stream) = self.stream_mut(key) else {
            return Ok(());
        };
        match &mut stream.large_out {
            Some(large) if !large.granted => {
                large.granted = true;
                self.queue(key);
                Ok(())
            }
            // It was asked for before this side dropped the message.
            None if stream.cancel || stream.sending != Sending::Open => Ok(()),
            Some(_) | None => Err(Violation::GrantNotAsked { stream: wire }),
        }
    }

    fn goaway_came(&mut self, text: &str) {
        if std::mem::replace(&mut self.peer_goes, true) {
            return;
        }
        for key in self.ours.keys() {
            self.fail_unopened(key);
        }
        self.events.push_back(Event::GoAway(text.to_owned()));
    }

    /// Fails a call that was not sent and now cannot be.
    fn fail_unopened(&mut self, key: Key) {
        let unopened =
            |stream: &super::stream::Stream| stream.opening.is_some() && stream.channel == 0;
        if self.ours.get(key).is_some_and(unopened) {
            let status = Status::unavailable("not sent: the other side takes no more calls");
            self.cancel(key, status);
        }
    }
}
