//! The frame around each message: a flag byte, the length in four bytes, the message.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::rpc::{Side, SizeLimit, Status, TooLarge};

/// The bytes before each message: a flag (0: not compressed) and a big-endian length.
pub const PREFIX_LEN: usize = 5;

/// The least that is allocated when a message has to be gathered from pieces: HTTP/2's default
/// frame size, so that a message of two frames needs one allocation.
const GATHER_STEP: usize = 16 * 1024;

/// Why the bytes of a stream are not gRPC messages this side can take.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The message is compressed, which was not negotiated.
    #[error("the peer sent a compressed message although no compression was agreed on")]
    Compressed,
    /// The flag byte is neither 0 nor 1: these are not gRPC messages.
    #[error("malformed gRPC message: expected flag 0 or 1, got {flag}")]
    BadFlag {
        /// The byte in the flag's place.
        flag: u8,
    },
    /// The message is larger than allowed.
    #[error(transparent)]
    TooLarge(TooLarge),
    /// The stream ended inside a message.
    #[error("the stream ended inside a gRPC message: {have} bytes of an unfinished frame came")]
    Truncated {
        /// How many bytes of the unfinished frame there are.
        have: u64,
    },
}

impl From<FrameError> for Status {
    fn from(error: FrameError) -> Self {
        let text = error.to_string();
        match error {
            FrameError::TooLarge(error) => error.into(),
            FrameError::Compressed | FrameError::BadFlag { .. } | FrameError::Truncated { .. } => {
                Self::internal(text)
            }
        }
    }
}

/// Checks the size of a message before it is sent.
///
/// # Errors
/// [`FrameError::TooLarge`] if it is over the limit, or over what the prefix can say.
pub fn check_outgoing(length: usize, limit: SizeLimit) -> Result<(), FrameError> {
    let most = clamp(limit.bytes);
    if length as u64 > most {
        return Err(FrameError::TooLarge(TooLarge {
            length: length as u64,
            limit: most,
            whose: limit.side,
            sender: limit.side,
        }));
    }
    Ok(())
}

/// The prefix of a message of `length` bytes, uncompressed. [`check_outgoing`] comes first:
/// lengths of 2^32 and more cannot be said and are cut.
#[must_use]
pub fn prefix(length: usize) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [0, a, b, c, d]
}

/// Takes the bytes of a stream in any pieces and gives its messages.
///
/// A message that lies in one piece is a slice of that piece and is not copied. One that is
/// spread over several is gathered in a buffer that grows with what has come, to at most twice
/// that, whatever length was announced. The first error is final.
///
/// Call [`next`](Self::next) until it gives `None` after each [`push`](Self::push); not doing so
/// costs memory, nothing else.
#[derive(Debug)]
pub struct MessageReader {
    limit: u64,
    /// The side that reads.
    side: Side,
    /// The piece being read.
    current: Bytes,
    /// Pieces that came before `current` was used up.
    queue: VecDeque<Bytes>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Inside a prefix of which `have` bytes are there.
    Prefix {
        bytes: [u8; PREFIX_LEN],
        have: usize,
    },
    /// Inside a message; `gathered` is empty as long as nothing was copied.
    Message { length: usize, gathered: BytesMut },
    /// Nothing more is read.
    Failed(FrameError),
}

const START: State = State::Prefix {
    bytes: [0; PREFIX_LEN],
    have: 0,
};

impl MessageReader {
    /// A reader that takes messages of up to `limit`.
    #[must_use]
    pub fn new(limit: SizeLimit) -> Self {
        Self {
            limit: clamp(limit.bytes),
            side: limit.side,
            current: Bytes::new(),
            queue: VecDeque::new(),
            state: START,
        }
    }

    /// Adds the next piece of the stream.
    pub fn push(&mut self, piece: Bytes) {
        if self.current.is_empty() {
            self.current = piece;
        } else if !piece.is_empty() {
            self.queue.push_back(piece);
        }
    }

    /// The next complete message, `None` if more bytes are needed.
    ///
    /// # Errors
    /// The first [`FrameError`], again on every later call.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` does not mean the end, as it would for an iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if self.current.is_empty() {
                self.current = self.queue.pop_front().unwrap_or_default();
            }
            match &mut self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Prefix { bytes, have } => {
                    let take = self.current.len().min(PREFIX_LEN - *have);
                    if take == 0 {
                        return Ok(None);
                    }
                    bytes[*have..*have + take].copy_from_slice(&self.current[..take]);
                    self.current.advance(take);
                    *have += take;
                    if *have == PREFIX_LEN {
                        self.state = match parse_prefix(*bytes, self.limit, self.side) {
                            Ok(length) => State::Message {
                                length,
                                gathered: BytesMut::new(),
                            },
                            Err(error) => {
                                self.current.clear();
                                self.queue.clear();
                                State::Failed(error)
                            }
                        };
                    }
                }
                State::Message { length, gathered } => {
                    let length = *length;
                    if gathered.is_empty() && self.current.len() >= length {
                        self.state = START;
                        return Ok(Some(self.current.split_to(length)));
                    }
                    if self.current.is_empty() {
                        return Ok(None);
                    }
                    let missing = length - gathered.len();
                    let take = self.current.len().min(missing);
                    if gathered.capacity() - gathered.len() < take {
                        // Doubling keeps copying cheap; the announced length only ever lowers it.
                        let step = gathered.len().max(GATHER_STEP).max(take);
                        gathered.reserve(step.min(missing));
                    }
                    gathered.extend_from_slice(&self.current[..take]);
                    self.current.advance(take);
                    if take == missing {
                        let message = std::mem::take(gathered).freeze();
                        self.state = START;
                        return Ok(Some(message));
                    }
                }
            }
        }
    }

    /// Checks that the stream may end here: between two messages.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if it ends inside a frame, or the error that came before.
    pub fn finish(&self) -> Result<(), FrameError> {
        let rest: usize = self.queue.iter().map(Bytes::len).sum();
        let rest = rest + self.current.len();
        let have = match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Prefix { have, .. } => have + rest,
            State::Message { gathered, .. } => PREFIX_LEN + gathered.len() + rest,
        };
        if have == 0 {
            return Ok(());
        }
        Err(FrameError::Truncated { have: have as u64 })
    }
}

fn parse_prefix(bytes: [u8; PREFIX_LEN], limit: u64, side: Side) -> Result<usize, FrameError> {
    let [flag, a, b, c, d] = bytes;
    match flag {
        0 => {}
        1 => return Err(FrameError::Compressed),
        flag => return Err(FrameError::BadFlag { flag }),
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    let too_large = FrameError::TooLarge(TooLarge {
        length: u64::from(length),
        limit,
        whose: side,
        sender: side.other(),
    });
    if u64::from(length) > limit {
        return Err(too_large);
    }
    usize::try_from(length).map_err(|_| too_large)
}

/// No limit can be above what the prefix can say.
fn clamp(limit: usize) -> u64 {
    (limit as u64).min(u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rpc::Code;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend(prefix(message.len()));
            bytes.extend(message);
        }
        bytes
    }

    fn read_all(reader: &mut MessageReader) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut messages = Vec::new();
        while let Some(message) = reader.next()? {
            messages.push(message.to_vec());
        }
        Ok(messages)
    }

    #[test]
    fn a_message_in_one_piece_is_not_copied() {
        let mut reader = MessageReader::new(SizeLimit::of_server(100));
        let piece = Bytes::from(framed(&[b"hello".to_vec(), b"you".to_vec()]));
        reader.push(piece.clone());
        let message = reader.next().expect("valid").expect("complete");
        assert_eq!(message.as_ptr(), piece[5..].as_ptr());
        let message = reader.next().expect("valid").expect("complete");
        assert_eq!(message.as_ptr(), piece[15..].as_ptr());
        assert_eq!(reader.next(), Ok(None));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn empty_messages_count() {
        let mut reader = MessageReader::new(SizeLimit::of_server(0));
        reader.push(Bytes::from_static(&[0; 10]));
        assert_eq!(read_all(&mut reader), Ok(vec![vec![], vec![]]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut reader = MessageReader::new(SizeLimit::of_server(usize::MAX));
        reader.push(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]));
        reader.push(Bytes::from_static(b"abc"));
        assert_eq!(reader.next(), Ok(None));
        let State::Message { gathered, .. } = &reader.state else {
            panic!("inside the message");
        };
        assert!(gathered.capacity() <= 2 * GATHER_STEP);
        assert_eq!(reader.finish(), Err(FrameError::Truncated { have: 8 }));
    }

    #[test]
    fn gathering_stays_within_twice_what_came() {
        let mut reader = MessageReader::new(SizeLimit::of_server(usize::MAX));
        reader.push(Bytes::from_static(&[0, 0x40, 0, 0, 0]));
        let piece = Bytes::from(vec![7; 10_000]);
        for pieces in 1..200 {
            reader.push(piece.clone());
            assert_eq!(reader.next(), Ok(None));
            let State::Message { gathered, .. } = &reader.state else {
                panic!("inside the message");
            };
            assert!(gathered.capacity() <= 2 * pieces * piece.len() + 2 * GATHER_STEP);
        }
    }

    #[test]
    fn errors_are_named_and_final() {
        let cases: [(&[u8], FrameError, Code); 3] = [
            (&[1, 0, 0, 0, 0], FrameError::Compressed, Code::Internal),
            (
                &[7, 0, 0, 0, 0],
                FrameError::BadFlag { flag: 7 },
                Code::Internal,
            ),
            (
                &[0, 0, 0, 0, 9],
                FrameError::TooLarge(TooLarge {
                    length: 9,
                    limit: 8,
                    whose: Side::Server,
                    sender: Side::Caller,
                }),
                Code::ResourceExhausted,
            ),
        ];
        for (bytes, error, code) in cases {
            let mut reader = MessageReader::new(SizeLimit::of_server(8));
            reader.push(Bytes::copy_from_slice(bytes));
            assert_eq!(reader.next(), Err(error.clone()));
            reader.push(Bytes::from_static(&[0, 0, 0, 0, 0]));
            assert_eq!(reader.next(), Err(error.clone()));
            assert_eq!(reader.finish(), Err(error.clone()));
            assert_eq!(Status::from(error).code(), code);
        }
    }

    #[test]
    fn outgoing_sizes_are_checked() {
        assert_eq!(check_outgoing(8, SizeLimit::of_caller(8)), Ok(()));
        assert!(check_outgoing(9, SizeLimit::of_caller(8)).is_err());
        if let Ok(too_long) = usize::try_from(u64::from(u32::MAX) + 1) {
            assert!(check_outgoing(too_long, SizeLimit::of_caller(usize::MAX)).is_err());
        }
        assert_eq!(prefix(0x0102_0304), [0, 1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            eager in any::<bool>(),
        ) {
            let bytes = Bytes::from(framed(&messages));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut reader = MessageReader::new(SizeLimit::of_server(1000));
            let mut got = Vec::new();
            let mut start = 0;
            for cut in cuts {
                reader.push(bytes.slice(start..cut));
                start = cut;
                if eager {
                    got.extend(read_all(&mut reader).expect("valid"));
                }
            }
            got.extend(read_all(&mut reader).expect("valid"));
            prop_assert_eq!(got, messages);
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_without_harm(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
            limit in 0..64usize,
        ) {
            let mut reader = MessageReader::new(SizeLimit::of_server(limit));
            for piece in pieces {
                reader.push(Bytes::from(piece));
                while let Ok(Some(message)) = reader.next() {
                    prop_assert!(message.len() <= limit);
                }
            }
            let _ = reader.finish();
        }
    }
}
