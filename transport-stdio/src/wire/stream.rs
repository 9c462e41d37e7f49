//! What is kept of one call.

use outboard_core::rpc::{Metadata, Status};
use outboard_mux::{Place, Queue, ReceiveWindow, SendWindow};

use super::flow::Outbound;
use super::heads_out::{Ending, HeadersOut, Opening, PartsOut};
use super::inbox::Inbox;
use super::large::{LargeIn, LargeOut};
use super::state::{Notice, State};

/// Whoever makes the messages of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Writer {
    /// Makes them, or has none.
    #[default]
    Free,
    /// Is to be told when there is room again.
    HeldUp,
}

/// Where the stream stands in line.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// For a turn at sending.
    pub(super) turn: Place,
    /// For credit of the connection.
    pub(super) credit: Place,
    /// For a number on the wire.
    pub(super) number: Place,
    /// For a slot for its large message.
    pub(super) slot: Place,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) state: State,
    /// The number on the wire; none for a call that was not opened yet.
    pub(super) wire: Option<u32>,
    pub(super) channel: u32,
    pub(super) places: Places,

    pub(super) opening: Option<Opening>,
    pub(super) headers_out: HeadersOut,
    /// A head that does not fit a frame, on its way out.
    pub(super) parts_out: Option<PartsOut>,
    /// The bytes of heads in parts that came for this stream and are kept.
    pub(super) heads_held: usize,
    pub(super) outbox: Queue<Outbound>,
    pub(super) large_out: Option<LargeOut>,
    pub(super) ending: Option<Box<Ending>>,
    pub(super) send: SendWindow,
    pub(super) writer: Writer,

    pub(super) headers_in: Option<Metadata>,
    pub(super) inbox: Inbox,
    pub(super) large_in: LargeIn,
    /// How a call of this side ended.
    pub(super) result: Option<Result<Metadata, Status>>,
    pub(super) receive: ReceiveWindow,
}

impl Stream {
    /// The messages that wait to be sent, with what each counts beside its bytes.
    pub(super) fn queued_len(&self) -> usize {
        let large = self.large_out.as_ref().map_or(0, LargeOut::len);
        usize::try_from(self.outbox.cost()).unwrap_or(usize::MAX) + large
    }

    /// All that waits to be sent.
    pub(super) fn unsent_len(&self) -> usize {
        let opening = self.opening.as_ref().map_or(0, |opening| {
            opening.path.len() + opening.metadata.bytes.len()
        });
        let ending = self.ending.as_ref().map_or(0, |ending| {
            ending.trailers.bytes.len() + ending.text.len() + ending.details.len()
        });
        let headers = self.headers_out.queued().map_or(0, |b| b.bytes.len());
        let parts = self.parts_out.as_ref().map_or(0, |parts| parts.left.len());
        self.queued_len() + opening + ending + headers + parts
    }

    /// Gives a call of this side up.
    pub(super) fn give_up(&mut self) -> Notice {
        if !self.state.is_over() {
            self.clear_outbox();
            self.opening = None;
        }
        self.state.cancel()
    }

    /// Drops what was to be sent.
    pub(super) fn clear_outbox(&mut self) {
        self.outbox.clear();
        self.large_out = None;
        self.headers_out.pass();
        self.parts_out = None;
    }

    #[inline]
    pub(super) fn new(state: State, wire: Option<u32>) -> Self {
        Self {
            state,
            wire,
            channel: 0,
            places: Places::default(),
            opening: None,
            headers_out: HeadersOut::default(),
            parts_out: None,
            heads_held: 0,
            outbox: Queue::default(),
            large_out: None,
            ending: None,
            send: SendWindow::default(),
            writer: Writer::default(),
            headers_in: None,
            inbox: Inbox::default(),
            large_in: LargeIn::default(),
            result: None,
            receive: ReceiveWindow::default(),
        }
    }
}
