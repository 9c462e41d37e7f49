//! Any bytes as a stream of gRPC messages, cut anywhere: the same messages and error as in one
//! piece, and never more memory than came in.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use outboard_core::grpc::{FrameError, MessageReader, prefix};
use outboard_core::rpc::SizeLimit;
use outboard_fuzz::portions;

fn read<'a>(
    limit: usize,
    portions: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Bytes>, Result<(), FrameError>) {
    let mut reader = MessageReader::new(SizeLimit::of_server(limit));
    let mut messages = Vec::new();
    for portion in portions {
        reader.push(Bytes::copy_from_slice(portion));
        loop {
            match reader.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, reader.finish())
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u16)| {
    let (bytes, cuts, limit) = input;
    let limit = usize::from(limit);
    let (messages, end) = read(limit, std::iter::once(&bytes[..]));
    assert_eq!(
        read(limit, portions(&bytes, &cuts)),
        (messages.clone(), end.clone())
    );
    let mut again = Vec::new();
    for message in &messages {
        assert!(message.len() <= limit);
        again.extend_from_slice(&prefix(message.len()));
        again.extend_from_slice(message);
    }
    assert!(again.len() <= bytes.len());
    if end.is_ok() {
        assert_eq!(again, bytes);
    }
});
