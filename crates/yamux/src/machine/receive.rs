//! What came.

use std::time::Instant;

use bytes::{Buf as _, Bytes};
use outboard_mux::Handle;

use super::stream::{Entry, Incoming};
use super::time::Kind as Timed;
use super::{Event, Machine};
use crate::error::{SessionError, StreamError};
use crate::frame::{HEADER_LEN, Header, Kind, away, flags};
use crate::violation::Violation;

/// How many answers may wait for the peer to read them.
const MAX_ANSWERS: usize = 16_384;

/// The frame that comes.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    header: [u8; HEADER_LEN],
    filled: usize,
    payload: Option<Payload>,
}

#[derive(Debug)]
struct Payload {
    /// Whose it is; nobody's if it is skipped.
    stream: Option<Handle>,
    left: u32,
}

/// What is owed to a peer that asked for it: counted from when all that had been asked for before was
/// written.
#[derive(Debug, Default)]
pub(super) struct Answers {
    count: usize,
    until: u64,
}

impl Machine {
    /// Bytes came.
    ///
    /// # Errors
    /// The peer broke the protocol; the session [has ended](Self::ended) with that.
    pub fn handle(&mut self, now: Instant, mut bytes: Bytes) -> Result<(), Violation> {
        while !bytes.is_empty() && self.ended.is_none() {
            if let Err(violation) = self.step(now, &mut bytes) {
                self.end(SessionError::Violation(violation.clone()));
                return Err(violation);
            }
        }
        Ok(())
    }

    /// No more bytes come.
    pub fn handle_end(&mut self) {
        let receiving = &self.receiving;
        let within_frame = receiving.filled > 0 || receiving.payload.is_some();
        self.end(SessionError::Closed { within_frame });
    }

    fn step(&mut self, now: Instant, bytes: &mut Bytes) -> Result<(), Violation> {
        if let Some(payload) = &mut self.receiving.payload {
            let count = bytes.len().min(payload.left as usize);
            // No more than what is left, which has 32 bits.
            payload.left -= count as u32;
            let (stream, over) = (payload.stream, payload.left == 0);
            if over {
                self.receiving.payload = None;
            }
            let piece = bytes.split_to(count);
            if let Some(handle) = stream {
                self.deliver(now, handle, piece);
                if over {
                    self.end_of_payload(handle);
                }
            }
            return Ok(());
        }
        let receiving = &mut self.receiving;
        let count = bytes.len().min(HEADER_LEN - receiving.filled);
        let room = receiving.filled..receiving.filled + count;
        bytes.copy_to_slice(&mut receiving.header[room]);
        receiving.filled += count;
        if receiving.filled < HEADER_LEN {
            return Ok(());
        }
        receiving.filled = 0;
        let header = Header::decode(receiving.header)?;
        match header.kind {
            Kind::Data | Kind::WindowUpdate => self.of_stream(now, header),
            Kind::Ping if header.has(flags::SYN) => {
                let answer = Header::new(Kind::Ping, flags::ACK, 0, header.len);
                self.answer(now, answer)
            }
            Kind::Ping => {
                self.pong(now, header.len);
                Ok(())
            }
            Kind::GoAway => {
                self.went_away(header.len);
                Ok(())
            }
        }
    }

    fn went_away(&mut self, code: u32) {
        if code == away::NORMAL {
            self.away = true;
            self.tell_opener();
        } else {
            self.end(SessionError::GoAway(code));
        }
    }

    /// Adds a frame that the peer can have as many of as it likes.
    fn answer(&mut self, now: Instant, header: Header) -> Result<(), Violation> {
        if self.written >= self.answers.until {
            self.answers = Answers {
                count: 0,
                until: self.queued + HEADER_LEN as u64,
            };
        }
        self.answers.count += 1;
        if self.answers.count > MAX_ANSWERS {
            return Err(Violation::Flood {
                answers: self.answers.count,
                most: MAX_ANSWERS,
            });
        }
        self.send(now, header);
        Ok(())
    }

    fn of_stream(&mut self, now: Instant, header: Header) -> Result<(), Violation> {
        let id = header.stream;
        if header.has(flags::SYN) {
            self.opened(now, id)?;
        }
        let known = self.ids.get(&id).copied();
        let known = known.and_then(|handle| Some((handle, self.streams.get_mut(handle)?)));
        let Some((handle, entry)) = known else {
            let never = self.next_id.is_some_and(|next| id >= next);
            if self.config.role.gives(id) && never {
                return Err(Violation::NeverOpened { stream: id });
            }
            if header.kind == Kind::Data {
                self.expect_payload(None, header.len);
            }
            return Ok(());
        };
        if header.has(flags::ACK) && std::mem::take(&mut entry.unacked) {
            self.unacked -= 1;
            self.timers.disarm(Timed::Open(id));
            self.tell_acknowledged();
        }
        let Some(entry) = self.streams.get_mut(handle) else {
            return Ok(());
        };
        let came = entry.incoming;
        if header.has(flags::FIN) {
            if came != Incoming::Open {
                return Err(Violation::FinTwice { stream: id });
            }
            entry.incoming = Incoming::Ending;
        }
        if header.kind == Kind::WindowUpdate {
            let overflow = |_| Violation::WindowOverflow { stream: id };
            entry.send.add(header.len, u32::MAX).map_err(overflow)?;
            if header.len > 0 {
                self.tell_writer(handle);
            }
        } else if came == Incoming::Open {
            let exceeded = |over: outboard_mux::Overdrawn| Violation::WindowExceeded {
                stream: id,
                len: header.len,
                left: over.left,
            };
            entry.receive.receive(header.len.into()).map_err(exceeded)?;
            self.expect_payload(Some(handle), header.len);
        } else {
            // A program in Go that writes and closes at once may send this.
            self.expect_payload(None, header.len);
        }
        if header.has(flags::RST) {
            if let Some(entry) = self.streams.get_mut(handle) {
                entry.failed = Some(StreamError::Reset(id));
            }
            self.unwire(handle);
        } else if self.receiving.payload.is_none() {
            self.end_of_payload(handle);
        }
        Ok(())
    }

    /// The peer opens a stream.
    fn opened(&mut self, now: Instant, id: u32) -> Result<(), Violation> {
        let role = self.config.role;
        if id == 0 || role.gives(id) {
            return Err(Violation::WrongParity {
                stream: id,
                even: role.first_id() == 1,
            });
        }
        if self.ids.contains_key(&id) {
            return Err(Violation::StreamBusy { stream: id });
        }
        if self.refuses
            || self.backlog.len() >= self.config.backlog
            || self.theirs >= self.config.max_streams
        {
            let refusal = Header::new(Kind::WindowUpdate, flags::RST, id, 0);
            return self.answer(now, refusal);
        }
        let window = self.config.window;
        // What is beyond the usual is granted when it is accepted.
        let handle = self.streams.insert(|| Entry::new(id, false, window));
        self.ids.insert(id, handle);
        self.theirs += 1;
        self.backlog.push_back(handle);
        if std::mem::take(&mut self.acceptor) {
            self.events.push_back(Event::Incoming);
        }
        Ok(())
    }

    fn expect_payload(&mut self, stream: Option<Handle>, len: u32) {
        if len > 0 {
            self.receiving.payload = Some(Payload { stream, left: len });
        }
    }

    fn deliver(&mut self, now: Instant, handle: Handle, piece: Bytes) {
        let Some(entry) = self.streams.get_mut(handle) else {
            return;
        };
        if !entry.wired {
            return;
        }
        if !entry.held && !entry.waits {
            // It was let go of. The peer is to stop.
            self.reset(now, handle);
            return;
        }
        entry.deliver(piece);
        self.tell_reader(handle);
    }

    /// A frame has come whole.
    fn end_of_payload(&mut self, handle: Handle) {
        let Some(entry) = self.streams.get_mut(handle) else {
            return;
        };
        if entry.incoming != Incoming::Ending {
            return;
        }
        entry.incoming = Incoming::Ended;
        if entry.finished {
            self.unwire(handle);
        } else {
            self.tell_reader(handle);
        }
    }
}
