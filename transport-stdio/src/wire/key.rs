//! What a call is known by.

use outboard_core::rpc::Side;
use outboard_mux::Handle;

/// A handle to a call. It stays safe to use after the call's end: numbers of streams are used
/// again, but never the same generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub(super) ours: bool,
    pub(super) handle: Handle,
}

impl Key {
    /// Whether this side opened the stream.
    #[must_use]
    pub fn is_ours(self) -> bool {
        self.ours
    }

    /// This side's part in the call.
    pub(crate) fn side(self) -> Side {
        if self.ours {
            Side::Caller
        } else {
            Side::Server
        }
    }

    /// The place in a table of streams of that side, reused after the stream's end.
    #[must_use]
    pub fn index(self) -> usize {
        self.handle.index()
    }
}
