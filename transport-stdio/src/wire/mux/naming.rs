//! Telling the peer the names of what is provided, and learning those of the peer. They come directly
//! behind the preface that announces them.

use outboard_mux::OutBuf;

use super::Mux;
use crate::wire::frame::Frame;
use crate::wire::header::{Header, Kind};
use crate::wire::limits::MAX_HEAD;
use crate::wire::names::{PeerNames, encode};
use crate::wire::preface::Preface;
use crate::wire::violation::Violation;

impl Mux {
    /// Tells the peer the names under which this side provides interfaces, none or many. To be
    /// called before anything was sent. Whether they can be told: not if there are more than
    /// [`MAX_NAMES`](crate::wire::MAX_NAMES), if one is longer than [`MAX_NAME`](crate::wire::MAX_NAME), or if
    /// all together do not fit a frame. Nothing is told then, and the peer learns of a name that is
    /// not there by its calls.
    pub fn tell_names<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> bool {
        debug_assert!(!self.sent_preface, "the preface has left without them");
        self.names.ours = encode(names, MAX_HEAD);
        self.names.ours.is_some()
    }

    /// What the peer has told of its names. It changes with what [`received`](Self::received)
    /// takes, as long as it is [`PeerNames::NotYet`].
    #[must_use]
    pub fn peer_names(&self) -> PeerNames<'_> {
        self.names.of_peer()
    }

    /// Appends the preface, and the names that it announces.
    pub(super) fn send_preface(&mut self, out: &mut OutBuf) {
        self.sent_preface = true;
        let names = self.names.ours.take();
        let preface = Preface {
            settings: self.config.settings,
            names: names.is_some(),
        };
        preface.encode(out.tail());
        if let Some(names) = &names {
            Frame::Names { names }.encode(out.tail());
        }
    }

    /// Checks that names come where they were announced, and nowhere else.
    pub(super) fn check_names(&self, header: Header) -> Result<(), Violation> {
        let kind = header.kind;
        match (self.names.is_announced(), kind == Kind::Names as u8) {
            (true, false) => Err(Violation::NoNames { kind }),
            (false, true) => Err(Violation::NamesNotAnnounced),
            (true, true) | (false, false) => Ok(()),
        }
    }
}
