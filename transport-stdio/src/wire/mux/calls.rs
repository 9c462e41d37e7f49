//! What a user does with calls: begins, feeds, reads and ends them.

use outboard_core::rpc::{Metadata, OutMessage, Side, Status, TooLarge};
use outboard_mux::ReceiveWindow;

use super::Mux;
use crate::wire::flow::Outbound;
use crate::wire::heads_out::{Ending, HeadersOut, Opening};
use crate::wire::key::Key;
use crate::wire::limits::{MAX_PATH, OUTBOX_ROOM};
use crate::wire::metadata::{self, MetadataTooLarge};
use crate::wire::state::{Notice, State};
use crate::wire::stream::Writer;
use crate::wire::types::{CallStart, OpenError, SendError, Taken};

impl Mux {
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
        let key = self.ours.add(State::opener(end));
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
                stream.outbox.push(Outbound::new(message));
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
        if !stream.state.takes_messages() {
            return Err(SendError::Gone);
        }
        stream.outbox.push(Outbound::new(message));
        self.queue(key);
        Ok(())
    }

    /// Whether little enough is queued on the stream that another message should be made. After a
    /// `false`, an [`Event::Writable`](crate::wire::Event::Writable) tells when. `true` if the call is over, so that nobody
    /// waits for it.
    pub fn has_room(&mut self, key: Key) -> bool {
        let Some(stream) = self.stream_mut(key) else {
            return true;
        };
        let room = !stream.state.takes_messages() || stream.queued_len() < OUTBOX_ROOM;
        stream.writer = if room { Writer::Free } else { Writer::HeldUp };
        room
    }

    /// Whether messages can still be sent on the stream.
    #[must_use]
    pub fn is_sending(&self, key: Key) -> bool {
        self.stream(key)
            .is_some_and(|stream| stream.state.takes_messages())
    }

    /// Whether the peer sends no more messages on the stream, or the stream is gone.
    #[must_use]
    pub fn is_input_ended(&self, key: Key) -> bool {
        self.stream(key)
            .is_none_or(|stream| stream.state.is_ended())
    }

    /// The caller sends no more messages. No effect on a call that is over.
    pub fn end(&mut self, key: Key) {
        if let Some(stream) = self.ours.get_mut(key).filter(|_| key.ours)
            && stream.state.finish()
        {
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
            && stream.state.takes_messages()
            && !matches!(stream.headers_out, HeadersOut::Passed)
        {
            stream.headers_out = HeadersOut::Queued(block);
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
        let ending = (!trailers.bytes.is_empty()).then(|| Ending::with_trailers(trailers));
        self.finish_with(key, ending, false);
        Ok(())
    }

    /// Ends a call of the peer with an error, after the messages that are queued. What is over the
    /// limits of the core, or more than an older peer takes, is left out or cut with a note in the
    /// text, so that the code always arrives.
    pub fn fail(&mut self, key: Key, status: &Status) {
        self.finish_with(key, Some(Ending::of(status)), false);
    }

    /// Ends a call of the peer at once: what is queued is dropped.
    pub fn abort(&mut self, key: Key, status: &Status) {
        self.finish_with(key, Some(Ending::of(status)), true);
    }

    /// Ends a call of the peer at once, saying that nothing was done about it.
    pub fn refuse(&mut self, key: Key, status: &Status) {
        let mut ending = Ending::of(status);
        ending.refused = true;
        self.finish_with(key, Some(ending), true);
    }

    fn finish_with(&mut self, key: Key, ending: Option<Ending>, now: bool) {
        let Some(stream) = self.theirs.get_mut(key).filter(|_| !key.ours) else {
            return;
        };
        if !stream.state.finish() {
            return;
        }
        stream.ending = ending.map(Box::new);
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
            let state = stream.state;
            if state.is_ended() || state.is_deaf() || stream.result.is_some() {
                return Taken::End;
            }
            return Taken::Pending;
        };
        if cost == 0 {
            let slot = stream.large_in.taken();
            self.settle_slot(key, slot);
            return Taken::Message(message);
        }
        let due = stream.receive.take(cost) && !stream.state.is_ended();
        self.receive.take(cost);
        if due {
            self.queue(key);
        }
        Taken::Message(message)
    }

    /// The headers of a call of this side, if they came. A message means that there are no others to
    /// wait for; a result with nothing before it has none.
    #[must_use]
    pub fn headers_of(&self, key: Key) -> Option<&Metadata> {
        const NONE: &Metadata = &Metadata::new();
        let stream = self.ours.get(key).filter(|_| key.ours)?;
        match &stream.headers_in {
            Some(headers) => Some(headers),
            None => stream.state.has_passed_headers().then_some(NONE),
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
            let notice = stream.give_up();
            self.tell_readable(key);
            if notice == Notice::Due {
                self.queue(key);
            }
        }
    }

    /// Nobody is interested in this call of this side any more: it is cancelled if it has not
    /// ended. The handle is of no use afterwards.
    pub fn release(&mut self, key: Key) {
        let Some(stream) = self.ours.get_mut(key).filter(|_| key.ours) else {
            return;
        };
        let notice = stream.give_up();
        self.deafen(key);
        if !self.remove_if_done(key) && notice == Notice::Due {
            self.queue(key);
        }
    }

    fn check_size(&self, len: usize, sender: Side) -> Result<(), SendError> {
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
}
