//! Any record a plugin may log, of any size: one line that a host reads as structured.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use outboard_core::hclog::{
    Entry, Kind, Level, LogOptions, LogReader, MAX_LINE, UnixTime, format_panic, parse,
};
use outboard_fuzz::json_object;

#[derive(Arbitrary, Debug)]
struct Input {
    message: String,
    repeat: u16,
    module: Option<String>,
    secs: i64,
    nanos: u32,
    json: Vec<(String, String)>,
}

fuzz_target!(|input: Input| {
    let message = input.message.repeat(usize::from(input.repeat) % 4000);
    let fields = json_object(&input.json);
    let line = Entry {
        level: Level::Info,
        message: &message,
        module: input.module.as_deref(),
        time: UnixTime {
            secs: input.secs,
            nanos: input.nanos,
        },
        fields: &fields,
    }
    .to_line();
    assert!(line.len() <= MAX_LINE + 1);
    let line = line.strip_suffix('\n').expect("ends with LF");
    assert!(!line.contains('\n'));
    assert_eq!(parse(line.as_bytes()).kind, Kind::Structured);

    let text = format_panic(&message, input.module.as_deref(), None, None);
    let mut reader = LogReader::new(LogOptions::default().gathering_panics(false));
    reader.handle_bytes(std::time::Instant::now(), text.as_bytes());
    assert!(reader.partial_line().is_empty());
    while let Some(record) = reader.poll_record() {
        assert_eq!((record.kind, record.level), (Kind::Panic, Level::Error));
    }
});
