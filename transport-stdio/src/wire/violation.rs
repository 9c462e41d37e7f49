//! How a peer can break the protocol.

use super::limits::{MAX_PATH, VERSION};

/// The peer broke a rule that both sides' states depend on, so the connection cannot go on.
///
/// Whatever can be answered by ending one call (a message over the size limit, an unknown method
/// or channel, metadata with bad names) is not in here: such a call ends with a status and the
/// connection lives on.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The messages say what the fields are.
pub enum Violation {
    /// The stream of bytes does not begin like one.
    #[error(
        "expected the outboard stdio preface, got {:?}; did something else write to the plugin's stdout?",
        String::from_utf8_lossy(found)
    )]
    BadMagic { found: Vec<u8> },
    /// The peer speaks another major version.
    #[error(
        "the peer speaks version {major} of the stdio protocol, this side version {}; update the older one",
        VERSION.0
    )]
    Version { major: u8 },
    /// The list of settings is malformed.
    #[error("settings of {len} bytes: expected a multiple of 6, at most 600")]
    BadSettings { len: usize },
    /// A setting is out of range.
    #[error("setting {id} is {value}: expected {least} to {most}")]
    BadSetting {
        id: u16,
        value: u32,
        least: u32,
        most: u32,
    },
    /// A frame is larger than this side takes.
    #[error("frame of type {kind:#04x} with {len} bytes: at most {most} were allowed")]
    FrameTooLarge { kind: u8, len: u32, most: u32 },
    /// A frame of a type that this side does not know and may not skip.
    #[error(
        "unknown frame type {kind:#04x}, not marked as ignorable; the peer may be newer than its preface says"
    )]
    UnknownFrame { kind: u8 },
    /// Flags that a frame of this type cannot have.
    #[error("frame of type {kind:#04x} with flags {flags:#04x}, which it cannot have")]
    BadFlags { kind: u8, flags: u8 },
    /// Bits that announce parts of a payload this side does not know.
    #[error("frame of type {kind:#04x} with unknown parts {bits:#04x}")]
    UnknownBits { kind: u8, bits: u8 },
    /// A payload ends too early.
    #[error("frame of type {kind:#04x} is {missing} bytes short")]
    Truncated { kind: u8, missing: usize },
    /// A payload goes on too long.
    #[error("frame of type {kind:#04x} has {extra} bytes too many")]
    TrailingBytes { kind: u8, extra: usize },
    /// What stands before the message is too long.
    #[error("frame of type {kind:#04x} has {len} bytes beside its message: at most {most}")]
    HeadTooLong { kind: u8, len: usize, most: usize },
    /// A piece of a head that does not belong to one, or a frame whose head should be in pieces and
    /// is not.
    #[error("frame of type {kind:#04x} on stream {stream} without the pieces of a head before it")]
    NoParts { kind: u8, stream: u32 },
    /// A text is not UTF-8.
    #[error("frame of type {kind:#04x} has a text that is not UTF-8")]
    NotText { kind: u8 },
    /// A method's path is too long.
    #[error("method path of {len} bytes: at most {MAX_PATH}")]
    PathTooLong { len: usize },
    /// A list of metadata is malformed.
    #[error("metadata that ends in the middle of an entry")]
    BadMetadata,
    /// A list of metadata is too long.
    #[error("metadata of more than {most} entries")]
    TooManyEntries { most: usize },
    /// Another frame in the place of the names that the preface announced.
    #[error("frame of type {kind:#04x} where the names were to come that the preface announced")]
    NoNames { kind: u8 },
    /// Names that the preface did not announce, or that come again.
    #[error("names of interfaces that were not announced, or for the second time")]
    NamesNotAnnounced,
    /// More names than can be told.
    #[error("more than {most} names of interfaces")]
    TooManyNames { most: usize },
    /// A frame for a stream that does not exist, or cannot.
    #[error("frame of type {kind:#04x} for stream {stream}, which is not open")]
    WrongStream { kind: u8, stream: u32 },
    /// A stream is opened that is open already.
    #[error("stream {stream} was opened while it was still in use")]
    StreamBusy { stream: u32 },
    /// Messages after the last.
    #[error("frame of type {kind:#04x} on stream {stream} after its end")]
    AfterEnd { kind: u8, stream: u32 },
    /// A second set of headers, or headers after messages.
    #[error("headers on stream {stream} that come too late")]
    LateHeaders { stream: u32 },
    /// More messages than credit was given for.
    #[error("message of cost {cost} on stream {stream} with credit for {left} ({scope})")]
    CreditExceeded {
        stream: u32,
        cost: u64,
        left: u64,
        scope: &'static str,
    },
    /// More credit than can be counted.
    #[error("credit for stream {stream} grew past 2^31 - 1")]
    CreditOverflow { stream: u32 },
    /// A message while a large one is announced and not complete.
    #[error("a message on stream {stream} in the middle of another")]
    MessageInMessage { stream: u32 },
    /// A chunk that was not announced or granted.
    #[error("a chunk on stream {stream} that was not granted")]
    ChunkNotGranted { stream: u32 },
    /// More chunks than announced.
    #[error("a chunk of {len} bytes on stream {stream} where {left} were left")]
    ChunkTooLong {
        stream: u32,
        len: usize,
        left: usize,
    },
    /// A chunk, or a piece of a head, without content.
    #[error("an empty piece on stream {stream}")]
    EmptyChunk { stream: u32 },
    /// The end of a stream in the middle of a message.
    #[error("stream {stream} ended in the middle of a message")]
    EndInMessage { stream: u32 },
    /// A grant that nobody asked for.
    #[error("a grant for stream {stream}, which has no large message waiting")]
    GrantNotAsked { stream: u32 },
    /// Frames after the last.
    #[error("a frame of type {kind:#04x} after the close frame")]
    AfterClose { kind: u8 },
    /// The bytes ended within a frame.
    #[error("the stream of bytes ended in the middle of a frame")]
    EndOfBytes,
}

outboard_core::debug_as_text!(Violation);
