//! The knobs of HTTP/2, with the reasons for their defaults.

use std::time::Duration;

use outboard_core::rpc::{Keepalive, Spin};

use crate::announce::kept_header_list;
use crate::authority::Filter;

/// gRPC over HTTP/2.
///
/// The defaults suit plugins; change them only with a measurement at hand. One value serves any
/// number of connections in both roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H2 {
    stream_window: u32,
    connection_window: u32,
    max_frame_size: u32,
    max_header_list_size: u32,
    unread_frames: Option<usize>,
    spin: Duration,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) last_stream: u32,
}

/// HTTP/2's largest flow-control window (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = i32::MAX as u32;
/// HTTP/2's last stream id (RFC 9113, section 5.1.1). Ids are never used again and a client's are
/// odd, so a connection carries 2^30 calls.
const LAST_STREAM: u32 = i32::MAX as u32;
/// HTTP/2's smallest and largest SETTINGS_MAX_FRAME_SIZE (RFC 9113, section 6.5.2).
const FRAME_SIZES: std::ops::RangeInclusive<u32> = 16_384..=16_777_215;

/// Streams that were reset and are still remembered, so that frames the peer sent before it knew
/// are told from protocol errors. `h2`'s 50 is less than a host cancels at once when it gives up
/// a batch of calls; an entry is a few hundred bytes and lives a second.
const REMEMBERED_RESETS: usize = 4096;

/// Calls that the peer may cancel before this side has looked at them. `h2` treats more as an
/// attack and closes the connection; its 20 is what a host reaches by dropping a few dozen calls
/// in one go. A thousand callers (the most outboard is measured with) have room here, while the
/// memory a hostile peer can pin stays in the megabytes.
const PENDING_RESETS: usize = 4096;

/// Calls that are sent before the peer has said how many it takes: the first, which every peer takes.
/// `h2`'s 100 are refused by one that allows fewer.
const STREAMS_BEFORE_SETTINGS: usize = 1;

impl Default for H2 {
    fn default() -> Self {
        Self::new()
    }
}

impl H2 {
    /// The defaults: a window of 1 MiB for a stream and no limit of its own for the connection, frames
    /// of up to 256 KiB, header lists of up to 5 MiB.
    ///
    /// So a call that nobody reads holds up no other. What it makes this side hold is bounded by
    /// [`stream_window`](Self::stream_window), but by more than its bytes: `h2` keeps every frame apart,
    /// in a table with 256 bytes for each that doubles when it is full and stays until the connection
    /// ends. Frames of a usual size add nothing to speak of. A peer that means it, with frames of one
    /// byte, makes a call that is not read hold 258 MiB at the default window, and 65 MiB with frames
    /// of five bytes, the smallest message (measured; half as much again while the table grows). A
    /// smaller window makes it less in proportion, and [`unread_frames`](Self::unread_frames) bounds what
    /// such frames alone come to for all calls of a connection together.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            // HTTP/2's own 64 KiB makes a large message wait for a WINDOW_UPDATE every 64 KiB.
            stream_window: 1 << 20,
            // All calls share it, so a smaller one stands full of what some leave unread while the
            // others, the health checks and the broker among them, wait. Go's gRPC gives credit for
            // the connection as data arrives, which comes to the same: the streams' windows are what
            // bounds memory.
            connection_window: MAX_WINDOW,
            // A message below this arrives in one piece and is not copied; larger frames would
            // make small calls wait behind them.
            max_frame_size: 256 << 10,
            // The most that the limits of outboard_core::rpc::limits come to: a status text of 1 MiB,
            // percent-encoded, and 1 MiB of details and metadata in base64.
            max_header_list_size: 5 << 20,
            unread_frames: None,
            spin: Duration::ZERO,
            keepalive: None,
            last_stream: LAST_STREAM,
        }
    }

    /// How much the peer may send on one call beyond what was read, in bytes: 1 to 2^31 - 1, values
    /// outside count as the nearest. It is also what bounds the memory of a call that is not read: see
    /// [`new`](Self::new) for how much that is at most, where the peer is not to be trusted.
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.clamp(1, MAX_WINDOW);
        self
    }

    /// How much the small frames that nobody has read may take on one connection, in bytes: each counts
    /// as 256, as much as `h2` needs to keep it, less its own bytes. Frames of 256 bytes and more do not
    /// count, nor does what has been read. There may be twice as much in use, by a table that doubles.
    /// Larger frames are set off against them by their bytes beyond 256, whether they are read or not: a
    /// peer that sends both can go beyond the limit by as much as it sends in larger ones, up to the
    /// windows of its calls. A smaller [`stream_window`](Self::stream_window) bounds that, too.
    ///
    /// A peer that goes beyond it loses the connection, whose calls then fail. So this is for peers that
    /// are not to be trusted, and should be well above what a reader that pauses may find waiting: 1,000
    /// messages of a few bytes each are a quarter of a megabyte. By default the limit is what a
    /// [`connection_window`](Self::connection_window) full of the smallest messages comes to, five bytes
    /// each, which is none to speak of unless that window is a small one.
    #[must_use]
    pub fn unread_frames(mut self, bytes: usize) -> Self {
        self.unread_frames = Some(bytes);
        self
    }

    /// How much the peer may send on all calls of a connection beyond what was read, in bytes: a
    /// bound on what a connection can hold in memory. Leave room for the stream windows of all calls
    /// that may be left unread at once: when they use it up, all other calls stand still. HTTP/2's
    /// initial 65,535 to 2^31 - 1, values outside count as the nearest.
    #[must_use]
    pub fn connection_window(mut self, bytes: u32) -> Self {
        self.connection_window = bytes.clamp(65_535, MAX_WINDOW);
        self
    }

    /// The largest DATA frame the peer may send, in bytes: 16,384 to 16,777,215, values outside
    /// count as the nearest.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.max_frame_size = bytes.clamp(*FRAME_SIZES.start(), *FRAME_SIZES.end());
        self
    }

    /// The most headers taken per call and direction, in bytes as RFC 9113 counts them (32 per
    /// entry on top); more fail their call. Metadata is among them, binary values in base64, and the
    /// text of a status, percent-encoded to up to three times its length.
    ///
    /// The peer is told, and as a rule keeps the limit. How much of the headers of one call a peer
    /// that does not can make this side hold, before the connection ends, is this limit times the
    /// ratio of [`max_frame_size`](Self::max_frame_size) to 16 KiB: 80 MiB by default.
    #[must_use]
    pub fn max_header_list_size(mut self, bytes: u32) -> Self {
        self.max_header_list_size = bytes;
        self
    }

    /// Looks again for up to this time when there is nothing to read, before the thread may sleep;
    /// see [`Spin`] for when that helps. Off by default. 50 microseconds are a good value, on both
    /// sides, where each side has a processor of its own and nothing else to do. It must be longer
    /// than the other side takes to answer.
    #[must_use]
    pub fn spin(mut self, limit: Duration) -> Self {
        self.spin = limit;
        self
    }

    pub(crate) const fn max_header_list(&self) -> u32 {
        self.max_header_list_size
    }

    fn kept_header_list(&self) -> u32 {
        kept_header_list(self.max_header_list_size, self.max_frame_size)
    }

    /// Pings a peer that has been quiet, and counts the connection as lost when it stays so; see
    /// [`Keepalive`] for what that promises. Off by default. On the host's side it is what ends a
    /// call without a deadline when the plugin is stopped; a plugin can watch its host likewise.
    ///
    /// The peer's HTTP/2 answers pings by itself, but a server in another language may punish them:
    /// grpc-go, and so a plugin on go-plugin, takes more than two pings that are less than five
    /// minutes apart, without anything of its own sent in between, for an attack, and ends the
    /// connection with GOAWAY `too_many_pings`. With such plugins use an interval above five
    /// minutes, or have their author allow it (`keepalive.EnforcementPolicy`). Plugins on outboard
    /// take pings at any rate.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = Some(keepalive);
        self
    }

    pub(crate) const fn spinner(&self) -> Spin {
        Spin::new(self.spin)
    }

    /// The stream id with which a client's connection is used up: for tests, which cannot make 2^30
    /// calls.
    #[doc(hidden)]
    #[must_use]
    pub fn last_stream(mut self, id: u32) -> Self {
        self.last_stream = id.min(LAST_STREAM);
        self
    }

    pub(crate) fn client_builder(&self) -> h2::client::Builder {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.max_frame_size)
            .max_header_list_size(self.kept_header_list())
            .enable_push(false)
            .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
            .data_frame_budget(self.data_frame_budget())
            .max_concurrent_reset_streams(REMEMBERED_RESETS)
            .max_local_error_reset_streams(None);
        builder
    }

    /// No limit on concurrent streams is announced: go-plugin keeps two open for ever, and Go
    /// takes the absence as "unlimited".
    pub(crate) fn server_builder(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.max_frame_size)
            .max_header_list_size(self.kept_header_list())
            .data_frame_budget(self.data_frame_budget())
            .max_concurrent_reset_streams(REMEMBERED_RESETS)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            // h2 counts these over the life of a connection and closes it at 1,024. A plugin can
            // collect them over the months without anybody doing wrong: late DATA frames of calls
            // that were answered before the caller had sent everything are among them.
            .max_local_error_reset_streams(None);
        builder
    }

    /// What stands in front of `h2` on the serving side. It knows the size of the HPACK table that
    /// [`server_builder`](Self::server_builder) leaves as it is.
    pub(crate) fn filter(&self) -> Filter {
        Filter::new(self.max_header_list_size)
    }

    /// h2 charges 256 bytes less the payload for each small DATA frame that waits to be read, and
    /// closes the connection when the budget is used up. gRPC's smallest message is five bytes,
    /// so a connection window full of those costs this much: flow control stops the peer first,
    /// and a reader that pauses never loses its connection.
    fn data_frame_budget(&self) -> usize {
        if let Some(bytes) = self.unread_frames {
            return bytes;
        }
        const SMALLEST: usize = outboard_core::grpc::PREFIX_LEN;
        const CHARGE: usize = 256 - SMALLEST;
        let frames = (self.connection_window as usize).div_ceil(SMALLEST);
        frames.saturating_mul(CHARGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_within_what_http2_allows() {
        let config = H2::new()
            .stream_window(u32::MAX)
            .connection_window(1)
            .max_frame_size(1);
        assert_eq!(config.stream_window, MAX_WINDOW);
        assert_eq!(config.connection_window, 65_535);
        assert_eq!(config.max_frame_size, 16_384);
        // h2 asserts on values out of range.
        let _ = (config.client_builder(), config.server_builder());
    }
}
