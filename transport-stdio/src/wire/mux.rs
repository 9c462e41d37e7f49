//! One side of a connection: its state and what its user does with it.

use std::collections::VecDeque;
use std::time::Instant;

use outboard_core::rpc::{
    Keepalive, KeepaliveAction, KeepaliveTimer, Metadata, OutMessage, Side, Status, TooLarge,
};

use super::flow::{ReceiveWindow, SendWindow};
use super::frame::MAX_PATH;
use super::intern::{NamesIn, NamesOut};
use super::metadata::{self, MetadataTooLarge};
use super::parts::{Ending, HeadsIn, cut};
use super::preface::Settings;
use super::queue::Waiting;
use super::reader::Reader;
use super::stream::{Key, OUTBOX_ROOM, Opening, Sending, Stream, Table};
use super::types::{CallStart, Event, MuxConfig, OpenError, SendError, Taken};
use super::violation::Violation;

/// One side of a connection.
///
/// Memory is bounded whatever the peer sends: by the credit given (`connection_window`), by
/// `large_slots` messages of `max_message` bytes, by the table of names, by `head_memory` bytes of
/// long metadata and texts, and by less than 60 KB of short ones for each stream, most often nearly
/// none. Nothing a peer can cause to be sent is queued per cause: replies
/// are flags on the streams they belong to. So reading never has to wait for writing.
#[derive(Debug)]
pub struct Mux {
    pub(super) config: MuxConfig,
    /// What the peer takes; the least anyone takes until it said so.
    pub(super) peer: Settings,
    pub(super) got_preface: bool,
    pub(super) sent_preface: bool,
    pub(super) ours: Table,
    pub(super) theirs: Table,
    pub(super) names_out: NamesOut,
    pub(super) names_in: NamesIn,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    pub(super) reader: Reader,
    pub(super) events: VecDeque<Event>,
    /// Streams with something to send, in turn.
    pub(super) ready: Waiting,
    /// Streams that wait for credit of the connection.
    pub(super) starved: Waiting,
    /// Calls that wait for a free number.
    pub(super) unnumbered: Waiting,
    pub(super) heads: HeadsIn,
    pub(super) slots_used: usize,
    pub(super) slot_queue: Waiting,
    pub(super) watch: Option<KeepaliveTimer>,
    pub(super) ping_due: bool,
    pub(super) pong_due: Option<[u8; 8]>,
    pub(super) goaway_due: Option<String>,
    pub(super) going_away: bool,
    pub(super) peer_goes: bool,
    pub(super) close_due: Option<(u16, String)>,
    pub(super) close_sent: bool,
    pub(super) peer_closed: bool,
    pub(super) failed: Option<Violation>,
    pub(super) scratch: Vec<u8>,
    pub(super) frames: usize,
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
            names_out: NamesOut::default(),
            names_in: NamesIn::default(),
            send: SendWindow::new(Settings::LEAST.connection_window),
            receive: ReceiveWindow::new(config.settings.connection_window),
            reader: Reader::default(),
            events: VecDeque::new(),
            ready: Waiting::default(),
            starved: Waiting::default(),
            unnumbered: Waiting::default(),
            heads: HeadsIn::default(),
            slots_used: 0,
            slot_queue: Waiting::default(),
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

    /// Starts a call, with its first message if there is one, and with `end` if that is all.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was sent then.
    pub fn open(
        &mut self,
        start: CallStart<'_>,
        message: Option<OutMessage>,
        end: bool,
    ) -> Result<Key, OpenError> {
        if self.close_due.is_some() || self.close_sent || self.peer_closed || self.failed.is_some()
        {
            return Err(OpenError::Closed);
        }
        if self.peer_goes && start.channel == 0 {
            return Err(OpenError::GoingAway);
        }
        if start.path.len() > MAX_PATH {
            return Err(OpenError::PathTooLong(start.path.len()));
        }
        let metadata = metadata::encode(start.metadata)?;
        if self.got_preface {
            // Without it, nobody knows yet.
            metadata.check(self.peer.max_head)?;
        }
        if let Some(message) = &message {
            self.check_size(message.len(), Side::Caller)?;
        }
        let key = self.ours.add();
        let window = self.config.settings.stream_window;
        if let Some(stream) = self.ours.get_mut(key) {
            stream.channel = start.channel;
            stream.receive = ReceiveWindow::new(window);
            stream.opening = Some(Opening {
                path: start.path,
                timeout: start
                    .timeout
                    .map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)),
                metadata,
                urgent: start.urgent,
            });
            if let Some(message) = message {
                stream.outbox_len = message.len();
                stream.outbox.push_back(message);
            }
            if end {
                stream.sending = Sending::Finishing;
            }
        }
        self.queue(key);
        Ok(key)
    }

    /// Queues a message. It is accepted whatever is queued already: ask
    /// [`has_room`](Self::has_room) before making one.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn send(&mut self, key: Key, message: OutMessage) -> Result<(), SendError> {
        self.check_size(message.len(), key.side())?;
        let stream = self.stream_mut(key).ok_or(SendError::Gone)?;
        if stream.sending != Sending::Open || stream.cancel {
            return Err(SendError::Gone);
        }
        stream.outbox_len += message.len();
        stream.outbox.push_back(message);
        self.queue(key);
        Ok(())
    }

    /// Whether little enough is queued on the stream that another message should be made. After a
    /// `false`, an [`Event::Writable`] tells when. `true` if the call is over, so that nobody
    /// waits for it.
    pub fn has_room(&mut self, key: Key) -> bool {
        let Some(stream) = self.stream_mut(key) else {
            return true;
        };
        let room = stream.sending != Sending::Open || stream.queued_len() < OUTBOX_ROOM;
        stream.wants_room = !room;
        room
    }

    /// Whether messages can still be sent on the stream.
    #[must_use]
    pub fn is_sending(&self, key: Key) -> bool {
        self.stream(key)
            .is_some_and(|stream| stream.sending == Sending::Open && !stream.cancel)
    }

    /// Whether the peer sends no more messages on the stream, or the stream is gone.
    #[must_use]
    pub fn is_input_ended(&self, key: Key) -> bool {
        self.stream(key).is_none_or(|stream| stream.input_ended)
    }

    /// The caller sends no more messages. No effect on a call that is over.
    pub fn end(&mut self, key: Key) {
        let Some(stream) = self.ours.get_mut(key).filter(|_| key.ours) else {
            return;
        };
        if stream.sending == Sending::Open {
            stream.sending = Sending::Finishing;
            self.queue(key);
        }
    }

    /// Sends headers, once, before messages. No effect on a call that is over, or when headers or
    /// a message have left already.
    ///
    /// # Errors
    /// [`MetadataTooLarge`]
    pub fn headers(&mut self, key: Key, headers: &Metadata) -> Result<(), MetadataTooLarge> {
        let block = metadata::encode(headers)?;
        block.check(self.peer.max_head)?;
        if let Some(stream) = self.theirs.get_mut(key).filter(|_| !key.ours)
            && stream.sending == Sending::Open
            && !stream.headers_gone
        {
            stream.headers_out = Some(block);
            self.queue(key);
        }
        Ok(())
    }

    /// Ends a call of the peer well, after the messages that are queued.
    ///
    /// # Errors
    /// [`MetadataTooLarge`]
    pub fn finish(&mut self, key: Key, trailers: &Metadata) -> Result<(), MetadataTooLarge> {
        let trailers = metadata::encode(trailers)?;
        trailers.check(self.peer.max_head)?;
        self.finish_with(key, Ending::with_trailers(trailers), false);
        Ok(())
    }

    /// Ends a call of the peer with an error, after the messages that are queued. What is over the
    /// limits of the core, or more than an older peer takes, is left out or cut with a note in the
    /// text, so that the code always arrives.
    pub fn fail(&mut self, key: Key, status: &Status) {
        self.finish_with(key, Ending::of(status), false);
    }

    /// Ends a call of the peer at once: what is queued is dropped.
    pub fn abort(&mut self, key: Key, status: &Status) {
        self.finish_with(key, Ending::of(status), true);
    }

    /// Ends a call of the peer at once, saying that nothing was done about it.
    pub fn refuse(&mut self, key: Key, status: &Status) {
        let mut ending = Ending::of(status);
        ending.refused = true;
        self.finish_with(key, ending, true);
    }

    fn finish_with(&mut self, key: Key, ending: Ending, now: bool) {
        let Some(stream) = self.theirs.get_mut(key).filter(|_| !key.ours) else {
            return;
        };
        if stream.sending != Sending::Open {
            return;
        }
        stream.sending = Sending::Finishing;
        stream.ending = Some(Box::new(ending));
        if now {
            stream.clear_outbox();
        }
        self.deafen(key);
        self.queue(key);
    }

    /// Takes the next message of a stream, which gives its credit back.
    pub fn take_message(&mut self, key: Key) -> Taken {
        let Some(stream) = self.stream_mut(key) else {
            return Taken::End;
        };
        let Some((message, cost)) = stream.inbox.pop() else {
            if stream.input_ended || stream.deaf || stream.result.is_some() {
                return Taken::End;
            }
            return Taken::Pending;
        };
        if cost == 0 {
            self.free_slot(key);
            return Taken::Message(message);
        }
        let due = !stream.input_ended && stream.receive.take(cost);
        if due {
            stream.credit_due = true;
        }
        self.receive.take(cost);
        if due {
            self.queue(key);
        }
        Taken::Message(message)
    }

    /// The headers of a call of this side, if they came. A message or the result means that there
    /// are no others to wait for.
    #[must_use]
    pub fn headers_of(&self, key: Key) -> Option<&Metadata> {
        const NONE: &Metadata = &Metadata::new();
        let stream = self.ours.get(key).filter(|_| key.ours)?;
        match &stream.headers_in {
            Some(headers) => Some(headers),
            None => stream.messages_began.then_some(NONE),
        }
    }

    /// Takes the headers out, if any came.
    pub fn take_headers(&mut self, key: Key) -> Metadata {
        self.ours
            .get_mut(key)
            .filter(|_| key.ours)
            .and_then(|stream| stream.headers_in.take())
            .unwrap_or_default()
    }

    /// How a call of this side ended: its trailers, or the status. Messages may still be waiting.
    #[must_use]
    pub fn result(&self, key: Key) -> Option<&Result<Metadata, Status>> {
        self.ours.get(key).filter(|_| key.ours)?.result.as_ref()
    }

    /// Gives a call of this side up: its result is `status`, unless it has one already.
    pub fn cancel(&mut self, key: Key, status: Status) {
        let Some(stream) = self.ours.get_mut(key).filter(|_| key.ours) else {
            return;
        };
        if stream.result.is_none() {
            stream.result = Some(Err(status));
            stream.cancel = true;
            stream.clear_outbox();
            self.tell_readable(key);
            self.queue(key);
        }
    }

    /// Nobody is interested in this call of this side any more: it is cancelled if it has not
    /// ended. The handle is of no use afterwards.
    pub fn release(&mut self, key: Key) {
        let Some(stream) = self.ours.get_mut(key).filter(|_| key.ours) else {
            return;
        };
        if !(stream.input_ended && stream.sending == Sending::Done) {
            stream.cancel = true;
            stream.clear_outbox();
        }
        self.deafen(key);
        if !self.remove_if_done(key) {
            self.queue(key);
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

    pub(super) fn check_size(&self, len: usize, sender: Side) -> Result<(), SendError> {
        let (own, peer) = (self.config.settings.max_message, self.peer.max_message);
        let (limit, whose) = if own <= peer {
            (own, sender)
        } else {
            (peer, sender.other())
        };
        if len > limit as usize {
            return Err(SendError::TooLarge(TooLarge {
                length: len as u64,
                limit: u64::from(limit),
                whose,
                sender,
            }));
        }
        Ok(())
    }

    pub(super) fn stream(&self, key: Key) -> Option<&Stream> {
        if key.ours {
            self.ours.get(key)
        } else {
            self.theirs.get(key)
        }
    }

    pub(super) fn stream_mut(&mut self, key: Key) -> Option<&mut Stream> {
        if key.ours {
            self.ours.get_mut(key)
        } else {
            self.theirs.get_mut(key)
        }
    }

    /// Gives the stream a turn at sending.
    pub(super) fn queue(&mut self, key: Key) {
        if let Some(stream) = self.stream_mut(key)
            && !stream.queued
        {
            stream.queued = true;
            self.ready.push(key, &self.ours, &self.theirs);
        }
    }

    /// Drops what came for the stream and what still comes, and gives its credit back.
    pub(super) fn deafen(&mut self, key: Key) {
        let Some(stream) = self.stream_mut(key) else {
            return;
        };
        stream.deaf = true;
        stream.headers_in = None;
        let cost = stream.inbox.clear();
        if let Some(large) = &mut stream.large_in {
            large.buffer = Vec::new();
        }
        self.receive.take(cost);
        self.free_slot(key);
    }

    /// Forgets a stream that is over for both sides.
    pub(super) fn remove_if_done(&mut self, key: Key) -> bool {
        let Some(stream) = self.stream(key) else {
            return true;
        };
        let over = stream.input_ended && stream.sending == Sending::Done;
        let done = if key.ours {
            stream.deaf && (over || stream.wire.is_none())
        } else {
            over
        };
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
