//! The numbers that several files go by: limits of the protocol and of this implementation.

use outboard_core::rpc::limits::{MAX_METADATA_SIZE, MAX_STATUS_MESSAGE};

/// The version of the protocol: other major numbers cannot be understood, other minor ones can.
pub const VERSION: (u8, u8) = (2, 1);
/// The most bytes of a frame that are not the message: a limit of the protocol, so that the
/// memory for calls that have no message yet is bounded by their number. Everything that small
/// fits the smallest frame size a peer may set (16,384) beside a length.
pub const MAX_HEAD: usize = 16_000;
/// The most entries in one list of metadata. In memory an entry takes some 90 bytes beside its name
/// and value, on the wire as few as 4, so without a limit a list could take twenty times its
/// length.
pub const MAX_ENTRIES: usize = 128;
/// The longest path of a method, in bytes (a guess with slack; gRPC paths are tens of bytes).
pub const MAX_PATH: usize = 1_024;
/// What a message costs beside its bytes, so that empty messages cannot pile up without limit:
/// about what a receiver spends to keep one in a queue.
pub const MESSAGE_COST: u32 = 64;
/// The most credit that there can be.
pub(super) const MOST_CREDIT: u32 = i32::MAX as u32;
/// The longest head that this implementation sends: a status with the longest text, the most
/// details and metadata, and their lengths.
pub(super) const MAX_LONG_HEAD: u32 = (MAX_STATUS_MESSAGE + MAX_METADATA_SIZE + 1024) as u32;
/// Pieces of large messages are at most this long even if the peer takes longer frames.
pub(super) const MAX_PIECE: usize = 128 * 1024;
/// How much a stream may have queued for sending before its maker should wait, in bytes: enough
/// to fill a pipe.
pub(super) const OUTBOX_ROOM: usize = 64 * 1024;
/// How many of the peer's `max_streams` are kept for urgent calls. The protocol has 16 at least.
pub(super) const RESERVED: usize = 1;
