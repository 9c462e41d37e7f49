//! Any record a plugin may log, of any size: one line that a host reads as structured, in which no
//! key stands twice.
#![no_main]

use std::collections::BTreeSet;
use std::fmt;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use outboard_core::hclog::{
    Entry, Kind, Level, LogOptions, LogReader, MAX_LINE, UnixTime, format_panic, parse,
};
use outboard_fuzz::json_object;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

#[derive(Arbitrary, Debug)]
struct Input {
    message: String,
    repeat: u16,
    module: Option<String>,
    secs: i64,
    nanos: u32,
    json: Vec<(String, String)>,
}

/// An object in which each key stands once. A map of `serde_json` would keep the last of several.
struct Keys;

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            assert!(!seen.contains(&key), "{key:?} stands twice");
            seen.insert(key);
        }
        Ok(self)
    }
}

fuzz_target!(|input: Input| {
    // Up to what has to be cut, and no more: that takes nothing but time.
    let most = 2 * MAX_LINE / input.message.len().max(1);
    let message = input.message.repeat(usize::from(input.repeat).min(most));
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
    let Keys = serde_json::from_str(line).expect("an object without repeats");

    let text = format_panic(&message, input.module.as_deref(), None, None);
    let mut reader = LogReader::new(LogOptions::default().gathering_panics(false));
    reader.handle_bytes(std::time::Instant::now(), text.as_bytes());
    assert!(reader.partial_line().is_empty());
    while let Some(record) = reader.poll_record() {
        assert_eq!((record.kind, record.level), (Kind::Panic, Level::Error));
    }
});
