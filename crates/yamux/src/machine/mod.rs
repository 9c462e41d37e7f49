//! The protocol, as a machine without IO.
//!
//! [`Machine`] is told what came ([`handle`](Machine::handle)), what was written
//! ([`written`](Machine::written)) and what the time is ([`handle_timeout`](Machine::handle_timeout));
//! it says what is to be written ([`poll_transmit`](Machine::poll_transmit)), what happened
//! ([`poll_event`](Machine::poll_event)) and when it wants to be told the time
//! ([`poll_timeout`](Machine::poll_timeout)).
//!
//! ```text
//!                 open: SYN                            SYN came
//!                     |                                    |
//!                unacknowledged                         backlog ----- full: RST
//!         75 s: the session ends                           | accept: ACK
//!                     | ACK came                           |
//!                     +---------------> open <-------------+
//!                                    |        |
//!                         finish: FIN|        |FIN came
//!                                    v        v
//!                          finished            ended
//!                 5 min: RST         |        |
//!                            FIN came|        |finish: FIN
//!                                    v        v
//!                                       over
//! ```
//!
//! RST from either side leads to the end from everywhere. A stream that nobody holds any more is
//! reset, unless all that is missing is an end: see [`release`](Machine::release). One that its peer
//! resets while it waits in the backlog is accepted all the same, with what came on it, as in Go: whoever
//! tells streams apart by their order must not miss one.

mod receive;
mod stream;
mod time;
mod write;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use outboard_core::timer::Timers;
use outboard_mux::{Line, OutBuf, Table};

pub use outboard_mux::Handle;

use self::receive::{Answers, Receiving};
use self::stream::{Entry, Incoming};
use self::time::Kind as Timed;
pub use self::write::Wrote;
use crate::config::{Config, INITIAL_WINDOW, Role};
use crate::error::{SessionError, StreamError};
use crate::frame::{Header, Kind, flags};

/// What happened that somebody has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A [`read`](Machine::read) that had to wait may find something.
    Readable(Handle),
    /// A [`write`](Machine::write) that had to wait may go on.
    Writable(Handle),
    /// A stream waits to be accepted, after [`accept`](Machine::accept) found none.
    Incoming,
    /// [`open`](Machine::open) may have another result, after it had to wait.
    Openable,
    /// [`is_unacknowledged`](Machine::is_unacknowledged) may have another answer, after it was yes.
    Acknowledged,
    /// The session is over: everything has another result.
    Ended,
}

/// What [`Machine::read`] found.
#[derive(Debug)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// The peer has finished.
    End,
    /// Nothing yet.
    Pending,
    /// There will be nothing more.
    Failed(StreamError),
}

/// What [`Machine::open`] led to.
#[derive(Debug)]
pub enum Opened {
    /// A stream of this number.
    Stream(Handle, u32),
    /// As many as may be are unacknowledged.
    Wait,
    /// None will be opened.
    Failed(SessionError),
}

/// One side of a session.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    streams: Table<Entry>,
    /// Those that the peer knows.
    ids: HashMap<u32, Handle>,
    next_id: Option<u32>,
    unacked: usize,
    backlog: VecDeque<Handle>,
    /// Streams of the peer that it knows.
    theirs: usize,
    out: OutBuf,
    /// How many bytes ever were to be written, and were.
    queued: u64,
    written: u64,
    line: Line<Handle>,
    answers: Answers,
    receiving: Receiving,
    timers: Timers<Timed>,
    write_timed: bool,
    pings: u32,
    pinged: Option<u32>,
    /// The peer takes no more streams.
    away: bool,
    /// This side takes no more streams.
    refuses: bool,
    acceptor: bool,
    opener: bool,
    acknowledged: bool,
    ended: Option<SessionError>,
    events: VecDeque<Event>,
}

impl Machine {
    /// A session that begins.
    #[must_use]
    pub fn new(mut config: Config, now: Instant) -> Self {
        config.window = config.window.max(INITIAL_WINDOW);
        let mut machine = Self {
            next_id: Some(config.role.first_id()),
            config,
            streams: Table::default(),
            ids: HashMap::new(),
            unacked: 0,
            backlog: VecDeque::new(),
            theirs: 0,
            out: OutBuf::default(),
            queued: 0,
            written: 0,
            line: Line::default(),
            answers: Answers::default(),
            receiving: Receiving::default(),
            timers: Timers::default(),
            write_timed: false,
            pings: 0,
            pinged: None,
            away: false,
            refuses: false,
            acceptor: false,
            opener: false,
            acknowledged: false,
            ended: None,
            events: VecDeque::new(),
        };
        machine.time_ping(now);
        machine
    }

    /// Which side it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.config.role
    }

    /// How the session ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<&SessionError> {
        self.ended.as_ref()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Opens a stream, which the peer learns at once.
    pub fn open(&mut self, now: Instant) -> Opened {
        if let Some(error) = &self.ended {
            return Opened::Failed(error.clone());
        }
        if self.away {
            return Opened::Failed(SessionError::GoAway(crate::away::NORMAL));
        }
        if self.unacked >= self.config.backlog || self.out_is_full() {
            self.opener = true;
            return Opened::Wait;
        }
        let Some(id) = self.next_id else {
            return Opened::Failed(SessionError::Exhausted);
        };
        self.next_id = id.checked_add(2);
        let window = self.config.window;
        let handle = self.streams.insert(|| Entry::new(id, true, window));
        self.ids.insert(id, handle);
        self.unacked += 1;
        self.timers
            .arm(Timed::Open(id), now, self.config.open_timeout);
        let extra = self.config.window - INITIAL_WINDOW;
        self.send(now, Header::new(Kind::WindowUpdate, flags::SYN, id, extra));
        Opened::Stream(handle, id)
    }

    /// Whether the peer has yet to take a stream of this side's, of this number.
    pub fn is_unacknowledged(&mut self, id: u32) -> bool {
        let handle = self.ids.get(&id).copied();
        let entry = handle.and_then(|handle| self.streams.get_mut(handle));
        let waits = entry.is_some_and(|entry| entry.unacked);
        self.acknowledged |= waits;
        waits
    }

    /// Takes a stream that the peer has opened, which it learns at once; one that it has reset by now is
    /// no exception, but it does not learn of that.
    pub fn accept(&mut self, now: Instant) -> Option<(Handle, u32)> {
        let Some(handle) = self.backlog.pop_front() else {
            self.acceptor = true;
            return None;
        };
        let entry = self.streams.get_mut(handle)?;
        entry.held = true;
        entry.waits = false;
        let (id, wired) = (entry.id, entry.wired);
        if wired {
            let extra = self.config.window - INITIAL_WINDOW;
            self.send(now, Header::new(Kind::WindowUpdate, flags::ACK, id, extra));
        }
        Some((handle, id))
    }

    /// No more streams of the peer's are taken: those that wait and those to come are refused.
    pub fn refuse(&mut self, now: Instant) {
        self.refuses = true;
        while let Some(handle) = self.backlog.pop_front() {
            if let Some(entry) = self.streams.get_mut(handle) {
                entry.waits = false;
            }
            self.reset(now, handle);
            self.forget(handle);
        }
    }

    /// Copies into `target` what came on a stream.
    pub fn read(&mut self, now: Instant, handle: Handle, target: &mut [u8]) -> Read {
        let Some(entry) = self.streams.get_mut(handle) else {
            return Read::End;
        };
        if target.is_empty() {
            return Read::Bytes(0);
        }
        let count = entry.copy_out(target);
        if count > 0 {
            self.give_credit(now, handle, count);
            return Read::Bytes(count);
        }
        if entry.incoming == Incoming::Ended {
            return Read::End;
        }
        if let Some(error) = &entry.failed {
            return Read::Failed(error.clone());
        }
        if let Some(error) = &self.ended {
            return Read::Failed(StreamError::Session(error.clone()));
        }
        entry.reader = true;
        Read::Pending
    }

    /// `count` bytes were read.
    fn give_credit(&mut self, now: Instant, handle: Handle, count: usize) {
        let max = u64::from(self.config.max_window);
        let Some(entry) = self.streams.get_mut(handle) else {
            return;
        };
        if !entry.receive.take(count as u64)
            || !entry.wired
            || entry.incoming != Incoming::Open
            || self.ended.is_some()
        {
            return;
        }
        // A reader that keeps up is worth more: the peer can go on for longer until it hears again.
        let size = entry.receive.size();
        if entry.inbox.is_empty() && size < max {
            let more = size.min(max - size);
            entry.receive.grow(u32::try_from(more).unwrap_or(0));
        }
        let (id, amount) = (entry.id, entry.receive.give_back());
        self.send(now, Header::new(Kind::WindowUpdate, 0, id, amount));
    }

    /// Says that no more is written on a stream. Done once, whatever is asked.
    pub fn finish(&mut self, now: Instant, handle: Handle) {
        let Some(entry) = self.streams.get_mut(handle) else {
            return;
        };
        if entry.finished || !entry.wired || self.ended.is_some() {
            return;
        }
        entry.finished = true;
        let (id, over) = (entry.id, entry.incoming == Incoming::Ended);
        self.send(now, Header::new(Kind::WindowUpdate, flags::FIN, id, 0));
        if over {
            self.unwire(handle);
        } else {
            self.timers
                .arm(Timed::Close(id), now, self.config.close_timeout);
        }
    }

    /// The same, of streams by their numbers, whoever holds them. Those that are over are left alone.
    pub fn finish_all(&mut self, now: Instant, ids: &[u32]) {
        for id in ids {
            if let Some(handle) = self.ids.get(id).copied() {
                self.finish(now, handle);
            }
        }
    }

    /// Nobody holds the stream any more. If the peer has finished it, so does this side; if this side
    /// has, the peer may still do so; else it is reset.
    pub fn release(&mut self, now: Instant, handle: Handle) {
        let Some(entry) = self.streams.get_mut(handle) else {
            return;
        };
        entry.held = false;
        (entry.reader, entry.writer) = (false, false);
        let unread = !entry.inbox.is_empty();
        entry.inbox.clear();
        if !entry.wired || self.ended.is_some() {
            self.forget(handle);
        } else if entry.incoming == Incoming::Ended {
            self.finish(now, handle);
        } else if !entry.finished || unread {
            self.reset(now, handle);
        }
    }

    /// Gives a stream up and tells the peer.
    fn reset(&mut self, now: Instant, handle: Handle) {
        let Some(entry) = self.streams.get(handle) else {
            return;
        };
        let id = entry.id;
        if entry.wired && self.ended.is_none() {
            self.send(now, Header::new(Kind::WindowUpdate, flags::RST, id, 0));
        }
        self.unwire(handle);
    }

    /// The peer knows a stream no more.
    fn unwire(&mut self, handle: Handle) {
        let Some(entry) = self.streams.get_mut(handle) else {
            return;
        };
        if !std::mem::take(&mut entry.wired) {
            return;
        }
        self.ids.remove(&entry.id);
        self.timers.disarm(Timed::Open(entry.id));
        self.timers.disarm(Timed::Close(entry.id));
        if std::mem::take(&mut entry.unacked) {
            self.unacked -= 1;
            self.tell_acknowledged();
        } else if !entry.ours {
            self.theirs -= 1;
        }
        self.tell(handle);
        self.forget(handle);
    }

    /// Drops a stream that neither the peer knows nor anybody holds or will hold.
    fn forget(&mut self, handle: Handle) {
        let gone =
            |entry: &Entry| !entry.held && (self.ended.is_some() || !entry.wired && !entry.waits);
        if self.streams.get(handle).is_some_and(gone) {
            self.streams.release(handle);
        }
    }

    /// Tells who waits for a stream.
    fn tell(&mut self, handle: Handle) {
        self.tell_reader(handle);
        self.tell_writer(handle);
    }

    fn tell_reader(&mut self, handle: Handle) {
        if let Some(entry) = self.streams.get_mut(handle)
            && std::mem::take(&mut entry.reader)
        {
            self.events.push_back(Event::Readable(handle));
        }
    }

    fn tell_writer(&mut self, handle: Handle) {
        if let Some(entry) = self.streams.get_mut(handle)
            && std::mem::take(&mut entry.writer)
        {
            self.events.push_back(Event::Writable(handle));
        }
    }

    fn tell_opener(&mut self) {
        if std::mem::take(&mut self.opener) {
            self.events.push_back(Event::Openable);
        }
    }

    /// One stream less is unacknowledged.
    fn tell_acknowledged(&mut self) {
        self.tell_opener();
        if std::mem::take(&mut self.acknowledged) {
            self.events.push_back(Event::Acknowledged);
        }
    }

    /// Ends the session. What is to be written may still be.
    pub fn end(&mut self, error: SessionError) {
        if self.ended.is_some() {
            return;
        }
        if let SessionError::Violation(_) = error {
            let code = crate::away::PROTOCOL_ERROR;
            self.put(Header::new(Kind::GoAway, 0, 0, code));
        }
        self.ended = Some(error);
        self.timers.clear();
        self.ids.clear();
        self.backlog.clear();
        self.line.clear();
        (self.unacked, self.theirs) = (0, 0);
        let all: Vec<Handle> = self.streams.iter().map(|(handle, _)| handle).collect();
        for handle in all {
            self.tell(handle);
            self.forget(handle);
        }
        self.tell_acknowledged();
        if std::mem::take(&mut self.acceptor) {
            self.events.push_back(Event::Incoming);
        }
        self.events.push_back(Event::Ended);
    }

    /// Says why a connection was lost, for those who ask from now on.
    pub fn explain(&mut self, error: SessionError) {
        match &self.ended {
            None => self.end(error),
            Some(SessionError::Closed { .. } | SessionError::Io(_)) => self.ended = Some(error),
            Some(_) => {}
        }
    }

    /// How many streams the peer knows.
    #[must_use]
    pub fn live(&self) -> usize {
        self.ids.len()
    }

    /// How many streams there is anything of.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.streams.len()
    }

    /// How many bytes came that nobody has read.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let all = self.streams.iter();
        all.map(|(_, entry)| entry.inbox.len()).sum()
    }
}
