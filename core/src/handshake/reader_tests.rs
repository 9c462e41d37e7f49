//! Tests of [`HandshakeReader`].

use proptest::prelude::*;

use super::*;

const LINE: &[u8] = b"1|1|unix|/tmp/p|grpc|";

/// Everything that comes out of a reader: verdict, strays, and the output after the line.
type Outcome = (
    Result<Option<Vec<u8>>, HandshakeError>,
    Vec<Vec<u8>>,
    Vec<u8>,
);

fn read<'a>(mut reader: HandshakeReader, portions: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut found = None;
    let mut strays = Vec::new();
    let mut after = Vec::new();
    for portion in portions {
        match reader.push(portion) {
            Ok(Progress::NeedMore) => {}
            Ok(Progress::Line { line, rest }) => {
                assert_eq!(found.replace(line), None, "one line only");
                after.extend_from_slice(rest);
            }
            Ok(Progress::AfterLine(rest)) => after.extend_from_slice(rest),
            Err(error) => {
                assert_eq!(reader.push(b"x\n"), Err(error), "errors are final");
                assert!(reader.finish().is_err(), "errors are final");
                break;
            }
        }
    }
    let end = reader.finish().map(|last| found.or(last));
    strays.extend(std::iter::from_fn(|| reader.poll_stray()));
    (end, strays, after)
}

fn strict(bytes: &[u8]) -> Outcome {
    read(HandshakeReader::new(), [bytes])
}

fn tolerant(lines: usize, bytes: usize) -> HandshakeReader {
    HandshakeReader::new().tolerate(StrayTolerance { lines, bytes })
}

#[test]
fn the_first_line_decides() {
    let (line, strays, after) = strict(b"1|1|unix|/tmp/p|grpc|\r\nmore\nand more");
    assert_eq!(line, Ok(Some(LINE.to_vec())));
    assert_eq!(after, b"more\nand more");
    assert!(strays.is_empty());
    let (line, ..) = strict(b"hello\n1|1|unix|/tmp/p|grpc|\n");
    assert_eq!(line, Ok(Some(b"hello".to_vec())));
    let (line, ..) = strict(b"\n1|1|unix|/tmp/p|grpc|\n");
    assert_eq!(line, Ok(Some(Vec::new())));
}

#[test]
fn the_end_of_stdout_ends_a_line() {
    let (line, ..) = strict(LINE);
    assert_eq!(line, Ok(Some(LINE.to_vec())));
}

#[test]
fn nothing_at_all_is_an_error() {
    let (line, ..) = strict(b"");
    let error = line.expect_err("nothing came");
    assert_eq!(error, HandshakeError::NoLine);
    assert!(
        error.to_string().contains("nothing could be read"),
        "{error}"
    );
}

#[test]
fn bytes_after_the_line_are_handed_through() {
    let mut reader = HandshakeReader::new();
    assert!(matches!(
        reader.push(b"x\ny"),
        Ok(Progress::Line { rest: b"y", .. })
    ));
    assert_eq!(reader.push(b"z\n"), Ok(Progress::AfterLine(b"z\n")));
    assert_eq!(reader.finish(), Ok(None));
}

#[test]
fn an_endless_line_is_refused_at_the_limit() {
    let longest = vec![b'x'; DEFAULT_LIMIT];
    let (line, ..) = strict(&[&longest[..], b"\n"].concat());
    assert_eq!(line, Ok(Some(longest.clone())));

    let mut reader = HandshakeReader::new();
    assert_eq!(reader.push(&longest), Ok(Progress::NeedMore));
    let error = reader.push(b"x").expect_err("too long");
    assert!(matches!(
        error,
        HandshakeError::LineTooLong { limit: 65_536, .. }
    ));
    assert!(error.to_string().len() < 1_500, "{error}");
    assert!(reader.partial_line().is_empty(), "memory is given back");
    let huge = vec![b'x'; 10 * DEFAULT_LIMIT];
    assert_eq!(reader.push(&huge), Err(error.clone()));

    let mut at_once = HandshakeReader::new();
    assert_eq!(at_once.push(&huge), Err(error));
}

#[test]
fn any_limit_will_do() {
    let (line, ..) = read(HandshakeReader::new().with_limit(usize::MAX), [&b"x\n"[..]]);
    assert_eq!(line, Ok(Some(b"x".to_vec())));
    let (line, ..) = read(HandshakeReader::new().with_limit(0), [&b"\nx"[..]]);
    assert_eq!(line, Ok(Some(Vec::new())));
}

#[test]
fn an_unfinished_line_can_be_shown() {
    let mut reader = HandshakeReader::new();
    assert_eq!(reader.push(b"Password: "), Ok(Progress::NeedMore));
    assert_eq!(reader.partial_line(), b"Password: ");
}

#[test]
fn strays_are_skipped_and_reported_on_request() {
    let input = [b"Welcome!\r\n\na|b|c|d\n", LINE, b"\nrest"].concat();
    let (line, strays, after) = read(tolerant(3, 100), [&input[..]]);
    assert_eq!(line, Ok(Some(LINE.to_vec())));
    assert_eq!(strays, [&b"Welcome!"[..], b"", b"a|b|c|d"]);
    assert_eq!(after, b"rest");
}

#[test]
fn a_broken_handshake_is_no_stray() {
    let (line, strays, _) = read(tolerant(3, 100), [&b"7|x|unix|/p|bad\n"[..]]);
    assert_eq!(line, Ok(Some(b"7|x|unix|/p|bad".to_vec())));
    assert!(strays.is_empty());
}

#[test]
fn tolerance_ends() {
    let input = [b"one\ntwo\nthree\n", LINE, b"\n"].concat();
    let (line, strays, _) = read(tolerant(2, 100), [&input[..]]);
    let expected = HandshakeError::OnlyStrayLines {
        lines: 3,
        first: "one".to_owned(),
        why: StrayEnd::TooManyLines(2),
    };
    assert_eq!(line, Err(expected));
    assert_eq!(strays, [&b"one"[..], b"two", b"three"]);

    let (line, ..) = read(tolerant(9, 5), [&input[..]]);
    let HandshakeError::OnlyStrayLines { why, .. } = line.expect_err("six bytes") else {
        panic!("another error")
    };
    assert_eq!(why, StrayEnd::TooManyBytes(5));

    let (line, strays, _) = read(tolerant(9, 100), [&b"one\ntwo"[..]]);
    let error = line.expect_err("no handshake");
    assert!(error.to_string().contains("2 other lines"), "{error}");
    assert!(error.to_string().contains("\"one\""), "{error}");
    assert_eq!(strays, [&b"one"[..], b"two"]);

    let (line, ..) = read(tolerant(9, 100), [&b""[..]]);
    assert_eq!(line, Err(HandshakeError::NoLine));
}

#[test]
fn a_long_stray_is_an_error_too() {
    let reader = tolerant(9, 1 << 30).with_limit(10);
    let (line, ..) = read(reader, [&b"short\nmuch too long\n"[..]]);
    assert!(matches!(
        line,
        Err(HandshakeError::LineTooLong { limit: 10, .. })
    ));
}

fn stdout() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"banner".to_vec()),
        Just(LINE.to_vec()),
        proptest::collection::vec(any::<u8>(), 0..30),
    ];
    proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        bytes in stdout(),
        size in 1usize..20,
        limit in 1usize..60,
        tolerance in proptest::option::of((0usize..4, 0usize..60)),
    ) {
        let mut reader = HandshakeReader::new().with_limit(limit);
        if let Some((lines, bytes)) = tolerance {
            reader = reader.tolerate(StrayTolerance { lines, bytes });
        }
        let at_once = read(reader.clone(), [&bytes[..]]);
        prop_assert_eq!(&read(reader.clone(), bytes.chunks(size)), &at_once);
        prop_assert_eq!(&read(reader, bytes.chunks(1)), &at_once);
    }

    #[test]
    fn no_byte_is_lost(bytes in stdout()) {
        let (line, strays, after) = read(tolerant(1000, 10_000), [&bytes[..]]);
        let found = line.unwrap_or_default().unwrap_or_default();
        let seen = strays.iter().map(Vec::len).sum::<usize>() + found.len() + after.len();
        // What is missing are line ends.
        let ends = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
        prop_assert!(seen <= bytes.len() && bytes.len() - seen <= ends);
    }
}
