//! What the peer's frames do.

use bytes::Bytes;

use outboard_core::rpc::Status;
use outboard_mux::SendWindow;

use super::Mux;
use crate::wire::close;
use crate::wire::frame::{Frame, Header, Kind};
use crate::wire::key::Key;
use crate::wire::large::LargeOut;
use crate::wire::limits::MOST_CREDIT;
use crate::wire::preface::{Preface, Settings};
use crate::wire::reader::{self, Payload, Reader, Step};
use crate::wire::state::Sending;
use crate::wire::stream::Stream;
use crate::wire::types::Event;
use crate::wire::violation::Violation;

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
            let Some((preface, len)) = Preface::decode(reader.waiting())? else {
                return Ok(());
            };
            reader.skip(len);
            self.names.settle(preface.names);
            self.settle(preface.settings)?;
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
        let by = more(
            settings.connection_window,
            Settings::LEAST.connection_window,
        );
        credit(&mut self.send, by, 0)?;
        for key in self.ours.keys() {
            if let Some(stream) = self.ours.get_mut(key) {
                stream.places.credit.leave();
                if let Some(wire) = stream.wire {
                    let by = more(settings.stream_window, Settings::LEAST.stream_window);
                    credit(&mut stream.send, by, wire)?;
                }
            }
            self.queue(key);
        }
        self.starved.clear();
        Ok(())
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
        self.check_names(header)?;
        Ok(true)
    }

    fn frame(&mut self, header: Header, payload: &Payload<'_>) -> Result<(), Violation> {
        if !self.is_of_use(header)? {
            return Ok(());
        }
        let opens = header.kind == Kind::Open as u8;
        let last = if opens { self.paths.last() } else { None };
        let path = last.as_deref().unwrap_or_default();
        match Frame::decode_after(header, payload.as_slice(), path)? {
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
                if self.stream(key).is_some_and(|s| s.large_in.is_midway()) {
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
                        credit(&mut state.send, amount, stream)?;
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
            Frame::Names { names } => {
                self.names.came(names);
                Ok(())
            }
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
                credit(&mut self.send, amount, 0)?;
                while let Some(key) = self.starved.pop() {
                    if let Some(stream) = self.stream_mut(key) {
                        stream.places.credit.leave();
                    }
                    self.queue(key);
                }
                Ok(())
            }
        }
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
        stream.state.end_came();
        match stream.state.sending() {
            Sending::Open => {
                self.abort(key, &Status::cancelled("the caller cancelled the call"));
                self.events.push_back(Event::Cancelled(key));
            }
            Sending::Finishing => {
                // The answer is not wanted any more, but its last frame is.
                stream.clear_outbox();
                stream.ending.get_or_insert_default().strip();
                self.queue(key);
            }
            // The others are states of an opener.
            Sending::Sent
            | Sending::Unopened { .. }
            | Sending::Heading { .. }
            | Sending::Cancelling(_)
            | Sending::Cancelled => {
                self.remove_if_done(key);
            }
        }
    }

    fn grant_came(&mut self, key: Key, wire: u32) -> Result<(), Violation> {
        let Some(stream) = self.stream_mut(key) else {
            return Ok(());
        };
        match stream.large_out.take() {
            Some(LargeOut::Announced(left)) => {
                stream.large_out = Some(LargeOut::Granted(left));
                self.queue(key);
                Ok(())
            }
            // It was asked for before this side dropped the message.
            None if !stream.state.takes_messages() => Ok(()),
            Some(LargeOut::Granted(_)) | None => Err(Violation::GrantNotAsked { stream: wire }),
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
        let unopened = |stream: &Stream| stream.state.is_opening() && stream.channel == 0;
        if self.ours.get(key).is_some_and(unopened) {
            let status = Status::unavailable("not sent: the other side takes no more calls");
            self.cancel(key, status);
        }
    }
}

/// The peer gives credit.
fn credit(window: &mut SendWindow, amount: u32, stream: u32) -> Result<(), Violation> {
    let added = window.add(amount, MOST_CREDIT);
    added.map_err(|_| Violation::CreditOverflow { stream })
}
