//! How a peer can break the protocol.

/// The peer broke a rule that both sides' states depend on, so the session cannot go on.
///
/// Some of what the protocol forbids is not in here, because a peer that keeps the rules does it
/// without knowing, or `hashicorp/yamux` puts up with it: frames for streams that are gone, data that
/// crosses the sender's own FIN, flags without a meaning, answers to pings that nobody sent.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The messages say what the fields are.
pub enum Violation {
    /// The frame is of another version, or what came is no yamux.
    #[error(
        "expected a yamux frame of version 0, got version {version}; does the peer speak yamux at all?"
    )]
    Version { version: u8 },
    /// The frame is of a kind that does not exist.
    #[error("expected a yamux frame of type 0 to 3, got {kind}")]
    UnknownKind { kind: u8 },
    /// The peer opens a stream with a number that only this side gives.
    #[error(
        "the peer opened stream {stream}, expected an {} number; are both sides {}?",
        if *even { "even" } else { "odd" },
        if *even { "clients" } else { "servers" }
    )]
    WrongParity { stream: u32, even: bool },
    /// A stream is opened that is open already.
    #[error("stream {stream} was opened while it was still in use")]
    StreamBusy { stream: u32 },
    /// A frame for a stream of this side's that it has not opened yet.
    #[error("a frame for stream {stream}, which this side never opened")]
    NeverOpened { stream: u32 },
    /// The end of a stream for the second time.
    #[error("stream {stream} was finished for the second time")]
    FinTwice { stream: u32 },
    /// More data than there was credit for.
    #[error("{len} bytes on stream {stream} with credit for {left}")]
    WindowExceeded { stream: u32, len: u32, left: u64 },
    /// More credit than can be counted.
    #[error("credit for stream {stream} grew past 2^32 - 1")]
    WindowOverflow { stream: u32 },
    /// The peer asks for answers and does not read them.
    #[error(
        "{answers} answers to pings and refused streams wait to be read by the peer: at most {most}"
    )]
    Flood { answers: usize, most: usize },
}

outboard_core::debug_as_text!(Violation);
