//! Any bytes on stderr, cut anywhere: the same records and raw bytes as in one piece, and nothing
//! waits after the end.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use outboard_core::hclog::{LogOptions, LogReader, Record};
use outboard_fuzz::portions;

fn read<'a>(
    options: LogOptions,
    portions: impl Iterator<Item = &'a [u8]>,
    step: Duration,
) -> (Vec<Record>, Vec<u8>) {
    let mut now = Instant::now();
    let mut reader = LogReader::new(options);
    let mut records = Vec::new();
    let mut raw = Vec::new();
    for portion in portions {
        reader.handle_bytes(now, portion);
        assert!(reader.partial_line().len() < options.buffer.max(16));
        if let Some(deadline) = reader.poll_timeout() {
            assert!(deadline > now);
        }
        now += step;
        reader.handle_timeout(now);
        assert!(reader.poll_timeout().is_none_or(|deadline| deadline > now));
        records.extend(std::iter::from_fn(|| reader.poll_record()));
        raw.extend(reader.poll_raw().unwrap_or_default());
    }
    reader.handle_closed(now);
    assert_eq!(reader.poll_timeout(), None);
    records.extend(std::iter::from_fn(|| reader.poll_record()));
    raw.extend(reader.poll_raw().unwrap_or_default());
    (records, raw)
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8, u8, bool)| {
    let (bytes, cuts, buffer, step, gather) = input;
    let options = LogOptions::default()
        .with_buffer(usize::from(buffer))
        .with_raw(true)
        .gathering_panics(gather);
    let at_once = read(options, std::iter::once(&bytes[..]), Duration::ZERO);
    let cut = read(options, portions(&bytes, &cuts), Duration::ZERO);
    assert_eq!(cut, at_once);

    // Time only decides where panic blocks are parted.
    let step = Duration::from_millis(u64::from(step));
    let (slow, raw) = read(options, portions(&bytes, &cuts), step);
    assert_eq!(raw, at_once.1);
    let text = |records: &[Record]| {
        let messages: Vec<_> = records.iter().map(|record| &*record.message).collect();
        messages.join("\n")
    };
    assert_eq!(text(&slow), text(&at_once.0));
});
