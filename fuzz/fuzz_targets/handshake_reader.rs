//! Any bytes on stdout, cut anywhere: the same line, strays, rest and error as in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outboard_core::handshake::{HandshakeError, HandshakeReader, Progress, StrayTolerance};
use outboard_fuzz::portions;

type Outcome = (
    Result<Option<Vec<u8>>, HandshakeError>,
    Vec<Vec<u8>>,
    Vec<u8>,
);

fn read<'a>(
    mut reader: HandshakeReader,
    limit: usize,
    portions: impl Iterator<Item = &'a [u8]>,
) -> Outcome {
    let mut found = None;
    let mut after = Vec::new();
    for portion in portions {
        match reader.push(portion) {
            Ok(Progress::NeedMore) => {}
            Ok(Progress::Line { line, rest }) => {
                found = Some(line);
                after.extend_from_slice(rest);
            }
            Ok(Progress::AfterLine(rest)) => after.extend_from_slice(rest),
            Err(_) => break,
        }
        assert!(reader.partial_line().len() <= limit);
    }
    let end = reader.finish().map(|last| found.or(last));
    let strays = std::iter::from_fn(|| reader.poll_stray()).collect();
    (end, strays, after)
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8, Option<(u8, u8)>)| {
    let (bytes, cuts, limit, tolerance) = input;
    let limit = usize::from(limit);
    let mut reader = HandshakeReader::new().with_limit(limit);
    if let Some((lines, bytes)) = tolerance {
        let (lines, bytes) = (usize::from(lines), usize::from(bytes));
        reader = reader.tolerate(StrayTolerance::new(lines, bytes));
    }
    let at_once = read(reader.clone(), limit, std::iter::once(&bytes[..]));
    assert_eq!(read(reader, limit, portions(&bytes, &cuts)), at_once);
});
