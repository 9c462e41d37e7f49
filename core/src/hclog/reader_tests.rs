//! Tests of [`LogReader`].

use proptest::prelude::*;

use super::*;

const GO_PANIC: &str =
    "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:5 +0x1d\n";

fn drain(reader: &mut LogReader) -> Vec<(Level, Kind, String)> {
    std::iter::from_fn(|| reader.poll_record())
        .map(|record| (record.level, record.kind, record.message))
        .collect()
}

fn read(options: LogOptions, bytes: &[u8]) -> Vec<(Level, Kind, String)> {
    let now = Instant::now();
    let mut reader = LogReader::new(options);
    reader.handle_bytes(now, bytes);
    reader.handle_closed(now);
    assert_eq!(reader.poll_timeout(), None, "nothing waits after the end");
    drain(&mut reader)
}

fn item(level: Level, kind: Kind, message: &str) -> (Level, Kind, String) {
    (level, kind, message.to_owned())
}

#[test]
fn every_kind_of_line_keeps_its_place() {
    let long = "y".repeat(20);
    let input =
        format!("plain\n[INFO] i\n{{\"@level\":\"warn\",\"@message\":\"w\"}}\n{{}}\n{long}\nlast");
    let options = LogOptions::default().with_buffer(64);
    let short = LogOptions::default().with_buffer(16);
    assert_eq!(
        read(options, input.as_bytes()),
        [
            item(Level::Debug, Kind::Text, "plain"),
            item(Level::Info, Kind::Text, "[INFO] i"),
            item(Level::Warn, Kind::Structured, "w"),
            item(Level::Debug, Kind::Unlevelled, "{}"),
            item(Level::Debug, Kind::Text, &long),
            item(Level::Debug, Kind::Text, "last"),
        ]
    );
    assert_eq!(
        read(short, format!("{long}\nx\n").as_bytes()),
        [
            item(Level::Debug, Kind::Piece, &long[..16]),
            item(Level::Debug, Kind::Piece, &long[16..]),
            item(Level::Debug, Kind::Text, "x"),
        ]
    );
}

#[test]
fn pieces_of_long_lines_are_never_interpreted() {
    let start = "[ERROR] panic: {}";
    let input = format!("panic: {}\n{start}{}\nx\n", "a".repeat(40), "b".repeat(40));
    let found = read(LogOptions::default().with_buffer(16), input.as_bytes());
    for (level, kind, message) in &found[..found.len() - 1] {
        assert_eq!((*level, *kind), (Level::Debug, Kind::Piece), "{message}");
    }
    let last = found.last().expect("there are records");
    assert_eq!(*last, item(Level::Debug, Kind::Text, "x"), "no panic mode");
}

#[test]
fn a_panic_is_one_error_record() {
    assert_eq!(
        read(
            LogOptions::default(),
            format!("before\n{GO_PANIC}").as_bytes()
        ),
        [
            item(Level::Debug, Kind::Text, "before"),
            item(Level::Error, Kind::Panic, GO_PANIC.trim_end()),
        ]
    );
    assert_eq!(
        read(LogOptions::default(), b"fatal error: all asleep\nmore"),
        [item(
            Level::Error,
            Kind::Panic,
            "fatal error: all asleep\nmore"
        )]
    );
}

#[test]
fn without_gathering_each_line_is_an_error() {
    let found = read(
        LogOptions::default().gathering_panics(false),
        GO_PANIC.as_bytes(),
    );
    let lines: Vec<_> = GO_PANIC.lines().collect();
    assert_eq!(found.len(), lines.len());
    for ((level, kind, message), line) in found.iter().zip(lines) {
        assert_eq!(
            (*level, *kind, &**message),
            (Level::Error, Kind::Panic, line)
        );
    }
}

#[test]
fn panic_mode_lasts_and_levelled_lines_keep_their_own_in_it() {
    let input =
        b"panic: a\nx\n[INFO] i\ny\n{\"@level\":\"debug\",\"@message\":\"j\"}\n{}\nz\npanic: b\n";
    assert_eq!(
        read(LogOptions::default(), input),
        [
            item(Level::Error, Kind::Panic, "panic: a\nx"),
            item(Level::Info, Kind::Text, "[INFO] i"),
            item(Level::Error, Kind::Panic, "y"),
            item(Level::Debug, Kind::Structured, "j"),
            item(Level::Debug, Kind::Unlevelled, "{}"),
            item(Level::Error, Kind::Panic, "z"),
            item(Level::Error, Kind::Panic, "panic: b"),
        ]
    );
}

#[test]
fn json_with_bad_keys_is_an_error_in_panic_mode() {
    let line = r#"{"@level":null}"#;
    assert_eq!(
        read(
            LogOptions::default(),
            format!("panic: a\n{line}\n").as_bytes()
        ),
        [item(
            Level::Error,
            Kind::Panic,
            &format!("panic: a\n{line}")
        )]
    );
}

#[test]
fn a_block_is_handed_out_after_a_quiet_time() {
    let start = Instant::now();
    let mut reader = LogReader::default();
    assert_eq!(reader.poll_timeout(), None);
    reader.handle_bytes(start, b"panic: a\n");
    assert_eq!(reader.poll_timeout(), Some(start + QUIET));
    assert_eq!(drain(&mut reader), []);

    reader.handle_bytes(start + QUIET / 2, b"b\n");
    let deadline = start + QUIET / 2 + QUIET;
    assert_eq!(reader.poll_timeout(), Some(deadline));
    reader.handle_timeout(start + QUIET);
    assert_eq!(drain(&mut reader), [], "too early");
    reader.handle_timeout(deadline);
    assert_eq!(reader.poll_timeout(), None);
    assert_eq!(
        drain(&mut reader),
        [item(Level::Error, Kind::Panic, "panic: a\nb")]
    );
}

#[test]
fn a_talkative_block_is_handed_out_in_the_end() {
    let start = Instant::now();
    let mut reader = LogReader::default();
    let mut now = start;
    reader.handle_bytes(now, b"panic: a\n");
    let mut records = Vec::new();
    while now < start + LONGEST * 2 {
        now += QUIET / 2;
        reader.handle_bytes(now, b"x\n");
        let deadline = reader.poll_timeout().expect("a block waits");
        assert!(deadline > now && deadline <= now + LONGEST);
        records.extend(drain(&mut reader));
    }
    assert!(!records.is_empty(), "handed out although lines keep coming");
}

#[test]
fn flushing_hands_out_the_block() {
    let now = Instant::now();
    let mut reader = LogReader::default();
    reader.handle_bytes(now, b"panic: a\npart");
    reader.flush();
    assert_eq!(
        drain(&mut reader),
        [item(Level::Error, Kind::Panic, "panic: a")]
    );
    assert_eq!(reader.partial_line(), b"part");
    reader.handle_closed(now);
    assert_eq!(
        drain(&mut reader),
        [item(Level::Error, Kind::Panic, "part")]
    );
}

#[test]
fn endless_panics_come_in_bounded_records() {
    let mut input = b"panic: a\n".to_vec();
    for _ in 0..5_000 {
        input.extend_from_slice(&[b'x'; 99]);
        input.push(b'\n');
    }
    let found = read(LogOptions::default(), &input);
    assert!(found.len() > 5);
    assert!(found.iter().all(|(level, kind, message)| {
        *level == Level::Error && *kind == Kind::Panic && message.len() <= MAX_BLOCK
    }));
    let joined: Vec<_> = found.iter().map(|(_, _, message)| &**message).collect();
    assert_eq!(joined.join("\n").as_bytes(), input.trim_ascii_end());
}

#[test]
fn raw_only_parses_nothing() {
    let now = Instant::now();
    let mut reader = LogReader::new(LogOptions::raw_only().with_buffer(16));
    let input = b"panic: a\r\n{\"@level\":\"info\"}\n\xff\xfe a very long line without end";
    reader.handle_bytes(now, input);
    reader.handle_closed(now);
    assert_eq!(reader.poll_record(), None);
    assert_eq!(reader.poll_timeout(), None);
    assert_eq!(
        reader.poll_raw().expect("there are bytes"),
        b"panic: a\n{\"@level\":\"info\"}\n\xff\xfe a very long line without end\n"
    );
    assert_eq!(reader.poll_raw(), None);
}

#[test]
fn raw_bytes_are_kept_only_on_request() {
    let now = Instant::now();
    let mut reader = LogReader::default();
    reader.handle_bytes(now, b"x\n");
    assert_eq!(reader.poll_raw(), None);
    let mut reader = LogReader::new(LogOptions::default().with_raw(true));
    reader.handle_bytes(now, b"\xffx\ny");
    assert_eq!(reader.poll_raw().as_deref(), Some(&b"\xffx\n"[..]));
    assert_eq!(reader.poll_record().expect("a line").message, "\u{fffd}x");
}

/// Streams of lines of every kind, and of bytes of no kind.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"panic: x\n".to_vec()),
        Just(b"plain\r\n".to_vec()),
        Just(b"[WARN] w\n".to_vec()),
        Just(b"{\"@level\":\"info\",\"@message\":\"m\"}\n".to_vec()),
        Just(b"{\"@level\":null}\n".to_vec()),
        Just(b"null\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..60),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_records(bytes in stream(), size in 1usize..30) {
        let options = LogOptions::default().with_buffer(48).with_raw(true);
        let now = Instant::now();
        let read = |size: usize| {
            let mut reader = LogReader::new(options);
            let mut records = Vec::new();
            let mut raw = Vec::new();
            for portion in bytes.chunks(size) {
                reader.handle_bytes(now, portion);
                records.extend(drain(&mut reader));
                raw.extend(reader.poll_raw().unwrap_or_default());
            }
            reader.handle_closed(now);
            records.extend(drain(&mut reader));
            raw.extend(reader.poll_raw().unwrap_or_default());
            (records, raw)
        };
        let at_once = read(bytes.len().max(1));
        prop_assert_eq!(read(size), at_once);
    }

    #[test]
    fn no_line_is_lost(bytes in stream()) {
        let found = read(LogOptions::default().with_buffer(4096), &bytes);
        let shown: Vec<&str> = found
            .iter()
            .filter(|(_, kind, _)| *kind != Kind::Structured)
            .flat_map(|(_, _, message)| message.split('\n'))
            .collect();
        let mut expected = Vec::new();
        let mut assembler = LineAssembler::new(4096);
        let mut take = |piece: Piece<'_>| {
            let line = String::from_utf8_lossy(piece.bytes).into_owned();
            if parse_json(&line).is_none_or(|record| record.kind != Kind::Structured) {
                expected.push(line);
            }
        };
        assembler.push(&bytes, &mut take);
        assembler.finish(&mut take);
        prop_assert_eq!(shown, expected);
    }
}
