//! Any bytes as a log line: a record, and one that can be logged again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outboard_core::hclog::{Entry, Kind, MAX_LINE, UnixTime, parse};

fuzz_target!(|line: &[u8]| {
    let record = parse(line);
    if record.kind != Kind::Structured {
        assert_eq!(record.message, String::from_utf8_lossy(line));
    }
    let printed = Entry {
        level: record.level,
        message: &record.message,
        module: None,
        time: record
            .timestamp
            .as_ref()
            .map_or(UnixTime { secs: 0, nanos: 0 }, |stamp| stamp.time()),
        fields: &record.fields,
    }
    .to_line();
    assert!(printed.len() <= MAX_LINE + 1);
    let again = parse(printed.trim_end_matches('\n').as_bytes());
    assert_eq!(again.kind, Kind::Structured);
    assert_eq!(again.level, record.level);
    if printed.len() < MAX_LINE / 2 {
        assert_eq!(again.message, record.message);
        assert_eq!(again.fields.len(), record.fields.len());
    }
});
