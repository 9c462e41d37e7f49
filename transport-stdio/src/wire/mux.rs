//! One side of a connection: its state, and what its user does with it beside the calls.

// What the user does.
mod calls;
mod unary;

// What goes out.
mod opening;
mod transmit;
mod turn;

// What comes in.
mod heads;
mod lookup;
mod messages;
mod receive;

// Both.
mod naming;
mod parts;
mod slots;

use std::collections::VecDeque;
use std::time::Instant;

use outboard_core::rpc::{Keepalive, KeepaliveAction, KeepaliveTimer};
use outboard_mux::{Line, ReceiveWindow, SendWindow};

use self::parts::HeadsIn;
use super::heads_out::cut;
use super::key::Key;
use super::names::Names;
use super::paths::Paths;
use super::preface::Settings;
use super::reader::Reader;
use super::stream::Stream;
use super::table::Table;
use super::types::{Event, MuxConfig};
use super::violation::Violation;

/// One side of a connection.
///
/// Memory is bounded whatever the peer sends: by the credit given (`connection_window`), by
/// `large_slots` messages of `max_message` bytes, by 256 KiB of method names, by `head_memory` bytes of
/// long metadata and texts, and by less than 60 KB of short ones for each stream, most often nearly
/// none. Nothing a peer can cause to be sent is queued per cause: replies
/// are flags on the streams they belong to. So reading never has to wait for writing.
#[derive(Debug)]
pub struct Mux {
    config: MuxConfig,
    /// What the peer takes; the least anyone takes until it said so.
    peer: Settings,
    got_preface: bool,
    sent_preface: bool,
    ours: Table,
    theirs: Table,
    paths: Paths,
    send: SendWindow,
    receive: ReceiveWindow,
    reader: Reader,
    events: VecDeque<Event>,
    /// Streams with something to send, in turn.
    ready: Line<Key>,
    /// Streams that wait for credit of the connection.
    starved: Line<Key>,
    /// Calls that wait for a free number.
    unnumbered: Line<Key>,
    heads: HeadsIn,
    names: Names,
    slots_used: usize,
    slot_queue: Line<Key>,
    watch: Option<KeepaliveTimer>,
    ping_due: bool,
    pong_due: Option<[u8; 8]>,
    goaway_due: Option<String>,
    going_away: bool,
    peer_goes: bool,
    close_due: Option<(u16, String)>,
    close_sent: bool,
    peer_closed: bool,
    failed: Option<Violation>,
    scratch: Vec<u8>,
    frames: usize,
}

impl Mux {
    /// A new connection. Both sides are alike; which of them launched the other does not matter.
    #[must_use]
    pub fn new(mut config: MuxConfig, now: Instant) -> Self {
        config.settings = config.settings.clamped();
        config.large_slots = config.large_slots.max(1);
        Self {
            peer: Settings::LEAST,
            got_preface: false,
            sent_preface: false,
            ours: Table::new(true),
            theirs: Table::new(false),
            paths: Paths::default(),
            send: SendWindow::new(Settings::LEAST.connection_window),
            receive: ReceiveWindow::new(config.settings.connection_window),
            reader: Reader::default(),
            events: VecDeque::new(),
            ready: Line::default(),
            starved: Line::default(),
            unnumbered: Line::default(),
            heads: HeadsIn::default(),
            names: Names::default(),
            slots_used: 0,
            slot_queue: Line::default(),
            watch: config
                .keepalive
                .map(|config| KeepaliveTimer::new(config, now)),
            ping_due: false,
            pong_due: None,
            goaway_due: None,
            going_away: false,
            peer_goes: false,
            close_due: None,
            close_sent: false,
            peer_closed: false,
            failed: None,
            scratch: Vec::new(),
            frames: 0,
            config,
        }
    }

    /// Tells the peer to make no more calls on the main channel; later ones are refused.
    pub fn go_away(&mut self, text: &str) {
        if !self.going_away {
            self.going_away = true;
            self.goaway_due = Some(cut(text, 1_024).to_owned());
        }
    }

    /// Sends the last frame, after what is queued if the code is
    /// [`ORDERLY`](super::close::ORDERLY), else at once.
    pub fn close(&mut self, code: u16, text: &str) {
        if self.close_due.is_none() {
            self.close_due = Some((code, cut(text, 1_024).to_owned()));
        }
    }

    /// Whether the last frame was handed to [`transmit`](Self::transmit)'s buffer.
    #[must_use]
    pub fn is_close_sent(&self) -> bool {
        self.close_sent
    }

    /// How it checks that the peer is alive, if it does.
    #[must_use]
    pub fn keepalive(&self) -> Option<Keepalive> {
        self.config.keepalive
    }

    /// The number of calls of this side that are not over: sent, answered and released.
    #[must_use]
    pub fn live_ours(&self) -> usize {
        self.ours.live()
    }

    /// The number of calls of the peer that are not over.
    #[must_use]
    pub fn live_theirs(&self) -> usize {
        self.theirs.live()
    }

    /// The bytes of the peer's messages that are in memory under the connection's credit.
    #[must_use]
    pub fn buffered(&self) -> u64 {
        self.receive.in_use()
    }

    /// The bytes of heads in parts that are in memory, with calls that are not over or on their way
    /// there.
    #[must_use]
    pub fn heads_held(&self) -> usize {
        self.heads.held
    }

    /// The number of large messages that are in memory, or on their way there.
    #[must_use]
    pub fn slots_used(&self) -> usize {
        self.slots_used
    }

    /// The bytes that wait for [`transmit`](Self::transmit): messages, at
    /// [`MESSAGE_COST`](super::MESSAGE_COST) more each, metadata and statuses. Looks at every
    /// stream.
    #[must_use]
    pub fn unsent(&self) -> usize {
        let streams = self.ours.live_streams().chain(self.theirs.live_streams());
        streams.map(Stream::unsent_len).sum()
    }

    /// The number of places in line: for a turn at sending, for credit, for a number, for a slot.
    /// At most a small multiple of the number of live streams.
    #[must_use]
    pub fn queue_entries(&self) -> usize {
        self.ready.len() + self.starved.len() + self.unnumbered.len() + self.slot_queue.len()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many frames have come, also such as were skipped. Wraps around.
    #[must_use]
    pub fn frames_received(&self) -> usize {
        self.frames
    }

    /// The number of events that wait.
    #[must_use]
    pub fn pending_events(&self) -> usize {
        self.events.len()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; never without keepalive.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.watch.as_ref()?.poll_timeout()
    }

    /// Time has passed. Comes after [`received`](Self::received) for what there is to read: the
    /// peer's answer may be in it.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        match watch.handle_timeout(now) {
            KeepaliveAction::Wait => {}
            KeepaliveAction::Ping => self.ping_due = true,
            KeepaliveAction::GiveUp => self.events.push_back(Event::Unresponsive),
        }
    }

    fn stream(&self, key: Key) -> Option<&Stream> {
        if key.ours {
            self.ours.get(key)
        } else {
            self.theirs.get(key)
        }
    }

    fn stream_mut(&mut self, key: Key) -> Option<&mut Stream> {
        if key.ours {
            self.ours.get_mut(key)
        } else {
            self.theirs.get_mut(key)
        }
    }

    /// Gives the stream a turn at sending.
    fn queue(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key)
            && stream.places.turn.enter()
        {
            push(&mut self.ready, key, &self.ours, &self.theirs);
        }
    }

    /// Something came for a stream. Once is enough for what comes in a row.
    fn tell_readable(&mut self, key: Key) {
        let event = Event::Readable(key);
        if self.events.back() != Some(&event) {
            self.events.push_back(event);
        }
    }

    /// Drops what came for the stream and what still comes, and gives its credit back.
    fn deafen(&mut self, key: Key) {
        let Some(stream) = self.stream_mut(key) else {
            return;
        };
        if stream.state.is_deaf() {
            // It keeps nothing since then.
            return;
        }
        stream.state.deafen();
        stream.headers_in = None;
        let cost = stream.inbox.clear();
        let slot = stream.large_in.deafen();
        self.receive.take(cost);
        self.settle_slot(key, slot);
    }

    /// Forgets a stream that is over for both sides.
    fn remove_if_done(&mut self, key: Key) -> bool {
        let Some(stream) = self.stream(key) else {
            return true;
        };
        let done = stream.state.is_over() && (!key.ours || stream.state.is_deaf());
        if done {
            self.deafen(key);
            if let Some(stream) = self.stream_mut(key) {
                let (held, wire) = (std::mem::take(&mut stream.heads_held), stream.wire);
                self.heads.held -= held;
                if key.ours
                    && let Some(wire) = wire
                {
                    self.heads.forget(false, wire);
                }
            }
            if key.ours {
                self.ours.remove(key);
            } else {
                self.theirs.remove(key);
            }
        }
        done
    }
}

/// Puts a stream in line.
fn push(line: &mut Line<Key>, key: Key, ours: &Table, theirs: &Table) {
    let table = |key: &Key| if key.ours { ours } else { theirs };
    line.push(key, ours.live() + theirs.live(), |key| {
        table(key).get(*key).is_some()
    });
}
