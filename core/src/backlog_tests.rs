use proptest::prelude::*;

use super::*;
use crate::hclog::{UnixTime, parse};

fn tell(missing: &Missing) -> String {
    missing.to_line(UnixTime::from(std::time::Duration::ZERO))
}

/// Whether there is nothing to take.
fn is_empty(backlog: &Backlog) -> bool {
    let none = backlog.output.pieces.is_empty() && backlog.log.pieces.is_empty();
    none && backlog.missing.is_nothing() && backlog.current.is_none()
}

/// One that a host has left, so that what is missing is told.
fn left(limit: usize) -> Backlog {
    let mut backlog = Backlog::new(limit);
    backlog.leave();
    backlog
}

/// All that is there, pieces of one source put together.
fn all(backlog: &mut Backlog) -> Vec<(Source, String)> {
    let mut taken: Vec<(Source, String)> = Vec::new();
    while let Some((source, bytes)) = backlog.take(7, tell) {
        let text = String::from_utf8_lossy(&bytes);
        match taken.last_mut() {
            Some((last, so_far)) if *last == source => so_far.push_str(&text),
            _ => taken.push((source, text.into_owned())),
        }
    }
    taken
}

/// What a line says is missing.
fn told(line: &str) -> Missing {
    let missing = Missing::of(&parse(line.trim_end().as_bytes()));
    missing.unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn what_came_is_given_in_its_order() {
    let mut backlog = left(4096);
    for (source, text) in [
        (Source::Stdout, "one\ntw"),
        (Source::Log, "logged\n"),
        (Source::Stderr, "aside"),
        (Source::Stdout, "o\n"),
        (Source::Log, "without an end"),
    ] {
        assert_eq!(backlog.push(source, text.as_bytes()), 0);
    }
    assert!(!is_empty(&backlog));
    backlog.begin(true);
    let expected = [
        (Source::Stdout, "one\ntw"),
        (Source::Log, "logged\n"),
        (Source::Stderr, "aside"),
        (Source::Stdout, "o\n"),
        (Source::Log, "without an end\n"),
    ];
    let expected = expected.map(|(source, text)| (source, text.to_owned()));
    assert_eq!(all(&mut backlog), expected);
    assert!(is_empty(&backlog));
}

#[test]
fn who_knows_no_log_has_its_lines_whole_on_stderr() {
    let mut backlog = left(4096);
    backlog.push(Source::Stderr, b"begun");
    backlog.push(Source::Log, b"a longer record\n");
    backlog.push(Source::Log, b"another\n");
    backlog.push(Source::Stderr, b", ended\n");
    backlog.begin(false);
    let text = "begun\na longer record\nanother\n, ended\n".to_owned();
    assert_eq!(all(&mut backlog), [(Source::Stderr, text)]);
}

#[test]
fn the_newest_stays_in_whole_lines_and_the_rest_is_counted() {
    let mut backlog = left(4096);
    let line = |n: usize| format!("{n:0>99}\n");
    let text: String = (0..100).map(line).collect();
    let mut lost = backlog.push(Source::Stdout, text.as_bytes());
    for n in 100..200 {
        lost += backlog.push(Source::Stdout, line(n).as_bytes());
    }
    backlog.begin(true);
    let taken = all(&mut backlog);
    let [(Source::Log, notice), (Source::Stdout, kept)] = &taken[..] else {
        panic!("{taken:?}");
    };
    let missing = told(notice);
    assert_eq!(missing.stdout, Lost::new(lost, lost / 100));
    assert_eq!((missing.stderr, missing.log), Default::default());
    let lost = usize::try_from(lost / 100).expect("few");
    assert_eq!(*kept, (lost..200).map(line).collect::<String>());
    assert!(kept.len() > 4096 / 2, "{}", kept.len());
}

#[test]
fn a_line_that_was_printed_in_parts_goes_as_a_whole() {
    let mut backlog = left(4096);
    let mut expected = String::new();
    for n in 0..200 {
        // As two streams that nobody buffers.
        for part in ["line ", &n.to_string(), "\n"] {
            backlog.push(Source::Stderr, part.as_bytes());
            backlog.push(Source::Stdout, part.as_bytes());
        }
        expected.push_str(&format!("line {n}\n"));
    }
    backlog.begin(true);
    let taken = all(&mut backlog);
    let missing = told(&taken[0].1);
    for (source, lost) in [
        (Source::Stdout, missing.stdout),
        (Source::Stderr, missing.stderr),
    ] {
        let parts = taken.iter().filter(|(of, _)| *of == source);
        let kept: String = parts.map(|(_, text)| text.as_str()).collect();
        let at = usize::try_from(lost.bytes).expect("few");
        assert_eq!(kept, expected[at..]);
        assert!(kept.starts_with("line ") && lost.lines > 100, "{kept}");
    }
}

#[test]
fn a_flood_of_one_kind_leaves_the_other() {
    let mut backlog = left(4096);
    backlog.push(Source::Log, b"the one record\n");
    backlog.push(Source::Stdout, b"the one print\n");
    for _ in 0..1000 {
        backlog.push(Source::Stderr, &[b'x'; 200]);
    }
    backlog.begin(true);
    let log: String = all(&mut backlog)
        .into_iter()
        .filter(|(source, _)| *source == Source::Log)
        .map(|(_, text)| text)
        .collect();
    let (notice, record) = log.split_once('\n').expect("two lines");
    assert_eq!(record, "the one record\n");
    let missing = told(notice);
    assert_eq!(missing.stdout, Lost::new(14, 1));
    assert_eq!(missing.stderr.lines, 1, "they are all one line");
    for n in 0..1000 {
        backlog.push(Source::Log, format!("record {n}\n").as_bytes());
    }
    backlog.push(Source::Stdout, b"another print\n");
    let taken = all(&mut backlog);
    let print = (Source::Stdout, "another print\n".to_owned());
    assert_eq!(taken.last(), Some(&print));
    assert!(taken[0].1.ends_with("record 999\n"), "{taken:?}");
}

#[test]
fn a_record_that_is_too_large_is_counted_and_no_part_of_it_given() {
    let mut backlog = left(4096);
    backlog.push(Source::Log, b"before\n");
    let dropped = backlog.push(Source::Log, &[b'x'; 5000]);
    assert_eq!(dropped, 5008, "with what is older");
    backlog.push(Source::Log, b"after\n");
    backlog.begin(true);
    let taken = all(&mut backlog);
    let [(Source::Log, text)] = &taken[..] else {
        panic!("{taken:?}");
    };
    let (notice, rest) = text.split_once('\n').expect("two lines");
    assert_eq!(told(notice).log, Lost::new(5008, 2));
    assert_eq!(rest, "after\n");
}

#[test]
fn while_the_first_host_lives_its_log_is_where_losses_are_told() {
    let mut backlog = Backlog::new(4096);
    for n in 0..1000 {
        backlog.push(Source::Stdout, format!("line {n}\n").as_bytes());
    }
    assert!(backlog.dropped > 0);
    backlog.begin(true);
    let taken = all(&mut backlog);
    assert!(taken.iter().all(|(source, _)| *source == Source::Stdout));
    // Nor is the next one told of those.
    backlog.leave();
    assert_eq!(all(&mut backlog), []);
    assert!(is_empty(&backlog));
}

#[test]
fn lost_lines_of_the_log_are_told_to_whoever_takes_although_the_first_host_lives() {
    let mut backlog = Backlog::new(4096);
    for n in 0..200 {
        backlog.push(Source::Log, format!("record {n:03}\n").as_bytes());
        backlog.push(Source::Stdout, format!("this is print {n:03}\n").as_bytes());
    }
    backlog.begin(true);
    let taken = all(&mut backlog);
    assert_eq!(taken[0].0, Source::Log);
    let missing = told(taken[0].1.lines().next().expect("a line"));
    assert_eq!(missing.stdout, Lost::default(), "its log has said so");
    let kept = taken.iter().filter(|(source, _)| *source == Source::Log);
    let kept: u64 = kept.map(|(_, text)| text.lines().count() as u64).sum();
    assert_eq!(missing.log.lines + kept - 1, 200);
    assert_eq!(backlog.first_logged(tell), None, "they are the other's");
}

#[test]
fn a_cut_line_before_all_others_is_one_of_its_own() {
    let mut backlog = left(4096);
    backlog.push_before_all(&[b'x'; 5000]);
    backlog.push(Source::Log, &[b'y'; 5000]);
    backlog.begin(true);
    let taken = all(&mut backlog);
    assert_eq!(told(&taken[0].1).log, Lost::new(10_001, 2));
}

#[test]
fn the_last_to_come_takes() {
    let mut backlog = left(4096);
    assert_eq!((backlog.taker(), backlog.is_waited_for()), (None, false));
    let first = backlog.begin(true);
    backlog.push(Source::Log, b"a record\n");
    let part = backlog.take(3, tell);
    assert_eq!(part, Some((Source::Log, Bytes::from_static(b"a r"))));
    let second = backlog.begin(true);
    assert_eq!(backlog.taker(), Some(second));
    assert!(!backlog.end(first), "it does no more");
    let whole = (Source::Log, "a record\n".to_owned());
    assert_eq!(
        all(&mut backlog),
        [whole],
        "the first had no use for a part"
    );
    assert!(backlog.end(second));
    assert_eq!(backlog.taker(), None);
}

#[test]
fn output_goes_on_where_the_last_host_has_stopped() {
    let mut backlog = left(4096);
    backlog.begin(false);
    backlog.push(Source::Stdout, b"abcdef");
    let _first = backlog.take(2, tell);
    backlog.begin(false);
    let rest = (Source::Stdout, "cdef".to_owned());
    assert_eq!(all(&mut backlog), [rest]);
}

#[test]
fn who_does_not_make_room_is_not_waited_for_until_it_does() {
    let mut backlog = left(4096);
    backlog.begin(true);
    assert!(backlog.is_waited_for());
    while backlog.has_room(backlog.portion()) {
        assert_eq!(
            backlog.push(Source::Stdout, &vec![b'x'; backlog.portion()]),
            0
        );
    }
    assert!(backlog.is_waited_for(), "nothing was lost");
    // The log waits for nobody, and says nothing of who takes.
    while backlog.push(Source::Log, b"a record\n") == 0 {}
    assert!(backlog.is_waited_for());
    assert!(backlog.push(Source::Stdout, &vec![b'x'; 1000]) > 0);
    assert!(!backlog.is_waited_for());
    assert!(backlog.take(1, tell).is_some());
    assert!(backlog.is_waited_for());
}

#[test]
fn the_first_host_reads_the_log_after_all() {
    let mut backlog = Backlog::new(4096);
    assert_eq!(backlog.first_logged(tell), None);
    for n in 0..200 {
        backlog.push(Source::Log, format!("record {n:03}\n").as_bytes());
    }
    let (notice, number, line) = backlog.first_logged(tell).expect("there is some");
    let lost = told(&notice.expect("some are missing")).log;
    assert_eq!(lost, Lost::new(lost.lines * 11, lost.lines));
    assert_eq!(&line[..], format!("record {:03}\n", lost.lines).as_bytes());
    backlog.told_logged();
    backlog.logged(number - 1);
    backlog.logged(number);
    let (none, next, line) = backlog.first_logged(tell).expect("there is more");
    assert!(none.is_none() && next > number);
    let second = format!("record {:03}\n", lost.lines + 1);
    assert_eq!(&line[..], second.as_bytes());
}

#[test]
fn what_a_dead_host_has_not_read_comes_before_the_rest() {
    let mut backlog = left(4096);
    backlog.push(Source::Log, b"third\n");
    backlog.push(Source::Stdout, b"printed\n");
    backlog.push_before_all(b"ll of it\nsecond\ncut");
    backlog.begin(true);
    let expected = [
        (Source::Log, "ll of it\nsecond\ncut\nthird\n".to_owned()),
        (Source::Stdout, "printed\n".to_owned()),
    ];
    assert_eq!(all(&mut backlog), expected);
    // As far as there is room.
    backlog.push(Source::Log, b"the newest\n");
    let many: String = (0..1000).map(|n| format!("line {n:04}\n")).collect();
    backlog.push_before_all(many.as_bytes());
    let taken = all(&mut backlog);
    let (notice, rest) = taken[0].1.split_once('\n').expect("lines");
    let lost = told(notice).log;
    assert_eq!(lost.bytes, lost.lines * 10);
    let first = format!("line {:04}\n", lost.lines);
    assert!(rest.starts_with(&first), "{rest}");
    assert!(rest.ends_with("line 0999\nthe newest\n"), "{rest}");
}

#[test]
fn stderr_can_be_taken_back() {
    let mut backlog = Backlog::new(4096);
    backlog.begin(true);
    backlog.push(Source::Stderr, b"sent, not sent; ");
    backlog.push(Source::Stdout, b"aside");
    backlog.push(Source::Stderr, b"fatal");
    let _sent = backlog.take(6, tell);
    assert_eq!(backlog.take_stderr(), b"not sent; fatal");
    assert_eq!(all(&mut backlog), [(Source::Stdout, "aside".to_owned())]);
    assert_eq!((backlog.output.cost, backlog.log.cost), (0, 0));
}

#[test]
fn a_smaller_limit_drops_what_is_beyond() {
    let mut backlog = left(1 << 18);
    for n in 0..1000 {
        backlog.push(Source::Stdout, format!("{n}\n").as_bytes());
        backlog.push(Source::Log, format!("{n}\n").as_bytes());
    }
    assert_eq!(backlog.dropped, 0);
    backlog.set_limit(0);
    assert!(backlog.output.cost <= Backlog::MIN_LIMIT && backlog.log.cost <= Backlog::MIN_LIMIT);
    assert!(backlog.dropped > 0 && !is_empty(&backlog));
}

const SOURCES: [Source; 3] = [Source::Stdout, Source::Stderr, Source::Log];

/// What came of each source, and how far somebody has got with it.
#[derive(Default)]
struct Streams {
    pushed: [Vec<u8>; 3],
    at: [usize; 3],
    /// What a line that is being given says.
    notice: Vec<u8>,
}

impl Streams {
    fn push(&mut self, backlog: &mut Backlog, source: Source, bytes: &[u8]) {
        backlog.push(source, bytes);
        let stream = &mut self.pushed[index(source)];
        stream.extend_from_slice(bytes);
        if source == Source::Log && bytes.last().is_some_and(|last| *last != b'\n') {
            stream.push(b'\n');
        }
    }

    fn take(&mut self, backlog: &mut Backlog, most: usize) -> Result<bool, TestCaseError> {
        let mut missing = Missing::default();
        let Some((source, bytes)) = backlog.take(most, |what| {
            missing = *what;
            tell(what)
        }) else {
            return Ok(false);
        };
        prop_assert!(!bytes.is_empty() && bytes.len() <= most);
        for source in SOURCES {
            let lost = *missing.get(source);
            let at = &mut self.at[index(source)];
            let end = *at + usize::try_from(lost.bytes).expect("small");
            let gap = &self.pushed[index(source)][*at..end];
            let lines = gap.split_inclusive(|byte| *byte == b'\n').count();
            prop_assert_eq!(lost.lines, lines as u64);
            *at = end;
        }
        if !missing.is_nothing() {
            self.notice = tell(&missing).into_bytes();
        }
        if self.notice.is_empty() {
            let at = self.at[index(source)];
            let expected = &self.pushed[index(source)][at..];
            prop_assert!(expected.starts_with(&bytes), "{source:?} at {at}");
            self.at[index(source)] += bytes.len();
        } else {
            prop_assert_eq!(source, Source::Log);
            prop_assert!(self.notice.starts_with(&bytes));
            self.notice.drain(..bytes.len());
        }
        Ok(true)
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'x'), 1 => Just(b'\n')];
    prop_oneof![
        4 => prop::collection::vec(byte, 0..40),
        // In lines, and without.
        2 => (1..60_usize, 500..3000_usize).prop_map(|(line, n)| {
            (0..n).map(|at| if at % line == 0 { b'\n' } else { b'x' }).collect()
        }),
        1 => (4000..9000_usize).prop_map(|n| vec![b'y'; n]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever comes, each source is given in order and whole but for gaps, which are told before what
    /// follows them, to the byte and the line; what is kept is bounded.
    #[test]
    fn nothing_is_missing_that_is_not_told(
        ops in prop::collection::vec((0..8_u8, bytes(), 1..2000_usize), 1..60),
        limit in 4096..16_384_usize,
    ) {
        let mut backlog = left(limit);
        let mut streams = Streams::default();
        backlog.begin(true);
        for (op, bytes, most) in ops {
            match op {
                0..=4 => streams.push(&mut backlog, SOURCES[usize::from(op) % 3], &bytes),
                5 => {
                    let before = backlog.output.cost;
                    // What is left of a line that has lost its beginning goes with that.
                    let room = backlog.has_room(bytes.len()) && !backlog.cut[0];
                    let dropped = backlog.dropped;
                    streams.push(&mut backlog, Source::Stdout, &bytes);
                    prop_assert!(!room || backlog.dropped == dropped, "{before}");
                }
                _ => {
                    streams.take(&mut backlog, most)?;
                }
            }
            for share in [&backlog.output, &backlog.log] {
                let cost = share.pieces.iter().map(|piece| piece.bytes.len() + PIECE).sum::<usize>();
                prop_assert_eq!(share.cost, cost);
                prop_assert!(cost <= limit);
                prop_assert!(share.pieces.iter().all(|piece| !piece.bytes.is_empty()));
                prop_assert!(share.pieces.iter().is_sorted_by_key(|piece| piece.number));
            }
        }
        while streams.take(&mut backlog, 1000)? {}
        prop_assert!(is_empty(&backlog));
        for source in SOURCES {
            prop_assert_eq!(streams.at[index(source)], streams.pushed[index(source)].len());
        }
    }

    /// Who knows no log gets its records as whole lines of stderr, whoever took a part of them before.
    #[test]
    fn records_on_stderr_are_whole_lines(
        ops in prop::collection::vec((0..4_u8, 1..30_usize), 1..100),
    ) {
        let mut backlog = left(1 << 16);
        let mut stderr = Vec::new();
        let mut number = 0;
        backlog.begin(false);
        for (op, size) in ops {
            match op {
                0 => drop(backlog.push(Source::Stderr, &vec![b'p'; size])),
                1 => {
                    let record = format!("{{{number}{}}}\n", "r".repeat(size));
                    backlog.push(Source::Log, record.as_bytes());
                    number += 1;
                }
                2 => {
                    if let Some((Source::Stderr, bytes)) = backlog.take(size, tell) {
                        stderr.extend_from_slice(&bytes);
                    }
                }
                _ => {
                    backlog.begin(false);
                    // What the one before has got is its own affair.
                    stderr.clear();
                }
            }
        }
        while let Some((_, bytes)) = backlog.take(9, tell) {
            stderr.extend_from_slice(&bytes);
        }
        let text = String::from_utf8(stderr).expect("ASCII");
        for line in text.lines().filter(|line| line.contains(['{', '}'])) {
            prop_assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
            prop_assert_eq!(line.matches('{').count(), 1, "{}", line);
        }
    }
}
