//! Tests of [`Entry`].

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::hclog::{Kind, Record, parse};

const TIME: UnixTime = UnixTime {
    secs: 1_795_195_616,
    nanos: 193_979_999,
};

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

fn entry<'a>(message: &'a str, fields: &'a Map<String, Value>) -> Entry<'a> {
    Entry {
        level: Level::Info,
        message,
        module: Some("kv"),
        time: TIME,
        fields,
    }
}

/// Reads the line as a host does, and checks what every line must keep.
fn read_back(line: &str) -> Record {
    assert!(line.len() <= MAX_LINE + 1, "{} bytes", line.len());
    let line = line.strip_suffix('\n').expect("ends with LF");
    assert!(!line.contains(['\n', '\r']), "{line}");
    let record = parse(line.as_bytes());
    assert_eq!(record.kind, Kind::Structured, "{line}");
    assert!(record.timestamp.is_some(), "{line}");
    record
}

#[test]
fn a_line_has_the_form_of_hclog() {
    let fields = map(json!({"network": "unix", "n": 3}));
    assert_eq!(
        entry("plugin address", &fields).to_line(),
        "{\"@level\":\"info\",\"@timestamp\":\"2026-11-20T17:26:56.193979Z\",\"@module\":\"kv\",\
         \"n\":3,\"network\":\"unix\",\"@message\":\"plugin address\"}\n"
    );
}

#[test]
fn line_breaks_and_control_characters_are_escaped() {
    let fields = map(json!({"a\nb": "c\r\u{1}\"\\"}));
    let record = read_back(&entry("x\ny\u{0}", &fields).to_line());
    assert_eq!(record.message, "x\ny\u{0}");
    assert_eq!(record.fields["a\nb"], json!("c\r\u{1}\"\\"));
}

#[test]
fn reserved_names_get_an_underscore() {
    let fields = map(json!({
        "@message": 1, "@level": null, "@timestamp": 2, "timestamp": "t", "@module": 4,
        "_timestamp": "other", "@caller": "c",
    }));
    let record = read_back(&entry("m", &fields).to_line());
    assert_eq!(record.message, "m");
    assert_eq!(record.module(), Some("kv"));
    assert_eq!(record.fields["_@message"], json!(1));
    assert_eq!(record.fields["_@level"], Value::Null);
    assert_eq!(record.fields["_@timestamp"], json!(2));
    assert_eq!(record.fields["_timestamp"], json!("other"));
    assert_eq!(record.fields["__timestamp"], json!("t"));
    assert_eq!(record.fields["_@module"], json!(4));
    assert_eq!(record.caller(), Some("c"));

    let without = Entry {
        module: None,
        ..entry("m", &fields)
    };
    assert_eq!(read_back(&without.to_line()).fields["@module"], json!(4));
}

#[test]
fn integers_that_floats_cannot_hold_become_text() {
    let fields = map(json!({
        "big": u64::MAX, "low": i64::MIN, "edge": LARGEST_EXACT, "over": LARGEST_EXACT + 1,
        "inside": [{"x": u64::MAX}], "float": 1.5,
    }));
    let record = read_back(&entry("m", &fields).to_line());
    assert_eq!(record.fields["big"], json!("18446744073709551615"));
    assert_eq!(record.fields["low"], json!("-9223372036854775808"));
    assert_eq!(record.fields["edge"], json!(9_007_199_254_740_992_u64));
    assert_eq!(record.fields["over"], json!("9007199254740993"));
    assert_eq!(
        record.fields["inside"],
        json!([{"x": "18446744073709551615"}])
    );
    assert_eq!(record.fields["float"], json!(1.5));
}

#[test]
fn a_line_of_just_the_limit_is_not_cut() {
    let fields = Map::new();
    let rest = entry("", &fields).to_line().len() - 1;
    let fits = "é".repeat((MAX_LINE - rest) / 2);
    let record = read_back(&entry(&fits, &fields).to_line());
    assert_eq!(record.message, fits);
    let long = format!("{fits}xx");
    let record = read_back(&entry(&long, &fields).to_line());
    assert!(record.message.starts_with(&fits[..fits.len() - 100]));
    assert!(
        record
            .message
            .ends_with(&format!("({} bytes in all)", long.len()))
    );
}

#[test]
fn long_values_are_cut_and_short_ones_kept() {
    let long = "\u{1}".repeat(40_000);
    let fields = map(json!({"a": long, "b": "short", "c": vec![7; 60_000], "d": 5}));
    let record = read_back(&entry("the message", &fields).to_line());
    assert_eq!(record.message, "the message");
    assert_eq!(record.fields["b"], json!("short"));
    assert_eq!(record.fields["d"], json!(5));
    let cut = record.fields["c"].as_str().expect("became text");
    assert!(cut.starts_with("[7,7,") && cut.ends_with("(120001 bytes in all)"));
}

#[test]
fn the_message_keeps_its_share() {
    let long = "m".repeat(100_000);
    let fields = map(json!({"a": "v".repeat(100_000)}));
    let record = read_back(&entry(&long, &fields).to_line());
    assert!(record.message.len() > MESSAGE_SHARE - 200);
    assert!(record.fields["a"].as_str().expect("text").len() > MESSAGE_SHARE - 400);
}

#[test]
fn pairs_that_find_no_room_are_counted() {
    let fields: Map<_, _> = (0..5_000)
        .map(|n| (format!("key{n}"), json!("v".repeat(50))))
        .collect();
    let record = read_back(&entry("m", &fields).to_line());
    let left_out = record.fields["fields_left_out"].as_u64().expect("a count");
    assert_eq!(left_out + record.fields.len() as u64 - 2, 5_000);

    let fields = map(json!({"k".repeat(70_000): 1, "x": 2}));
    let record = read_back(&entry("m", &fields).to_line());
    assert_eq!(record.fields["x"], json!(2));
    assert_eq!(record.fields["fields_left_out"], json!(1));
}

#[test]
fn the_count_of_pairs_left_out_takes_nothing_from_the_message() {
    // The second pair takes all the room there is.
    let fields = map(json!({"k".repeat(70_000): 1, "x": "v".repeat(70_000)}));
    let message = "m".repeat(1000);
    let record = read_back(&entry(&message, &fields).to_line());
    assert_eq!(record.fields["fields_left_out"], json!(1));
    assert_eq!(record.message, message);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_line_is_read_as_structured(
        message in ".*",
        module in proptest::option::of(".*"),
        fields in proptest::collection::btree_map("(@level|@module|timestamp|.{0,6})", json_value(), 0..6),
        repeat in prop_oneof![4 => Just(1usize), 1 => 1usize..20_000],
        secs: i64,
    ) {
        let message = message.repeat(repeat);
        let fields: Map<_, _> = fields.into_iter().collect();
        let entry = Entry {
            level: Level::Warn,
            message: &message,
            module: module.as_deref(),
            time: UnixTime { secs, nanos: 5 },
            fields: &fields,
        };
        let line = entry.to_line();
        let record = read_back(&line);
        prop_assert_eq!(record.level, Level::Warn);
        if line.len() < MAX_LINE / 2 {
            prop_assert_eq!(&record.message, &message);
            let module = usize::from(module.is_some());
            prop_assert_eq!(record.fields.len(), fields.len() + module);
        }
    }
}
