//! Which stream a frame of the peer is for.

use super::Mux;
use crate::wire::frame::Header;
use crate::wire::key::Key;
use crate::wire::state::{Invalid, State};
use crate::wire::table::Table;
use crate::wire::violation::Violation;

impl Mux {
    pub(super) fn table(&self, opener: bool) -> &Table {
        if opener { &self.theirs } else { &self.ours }
    }

    /// The stream that a frame with messages, headers or a status belongs to.
    pub(super) fn receiving(
        &self,
        header: Header,
        opener: bool,
        stream: u32,
    ) -> Result<Key, Violation> {
        let kind = header.kind;
        let key = self
            .table(opener)
            .by_wire(stream)
            .ok_or(Violation::WrongStream { kind, stream })?;
        let state = self.stream(key).map(|found| found.state);
        match state.map_or(Err(Invalid::NotOpen), State::check_receiving) {
            Ok(()) => Ok(key),
            Err(invalid) => Err(invalid.of(kind, stream)),
        }
    }

    /// The stream that a frame about this side's sending belongs to. The opener of a stream may
    /// send such frames before it learns that the stream is over; the acceptor knows.
    pub(super) fn sending(
        &self,
        header: Header,
        opener: bool,
        stream: u32,
    ) -> Result<Option<Key>, Violation> {
        if !opener {
            return self.receiving(header, false, stream).map(Some);
        }
        self.check_theirs(header, stream)?;
        Ok(self.theirs.by_wire(stream))
    }

    pub(super) fn check_theirs(&self, header: Header, stream: u32) -> Result<(), Violation> {
        if stream < self.config.settings.max_streams {
            return Ok(());
        }
        Err(Violation::WrongStream {
            kind: header.kind,
            stream,
        })
    }
}
