//! Dynamic values: what stands behind interfaces, anything read as such, and names that are registered.

mod support;

use std::collections::BTreeMap;
use std::time::SystemTime;

use outboard_gob::{
    BigInt, BinaryBytes, ByteString, Complex, Encoder, ErrorKind, Gob, Kind, Registry, Time, Value,
};
use support::{decode, dynamic, encode};

#[derive(Gob, Clone, Debug, Default, PartialEq)]
struct Record {
    name: String,
    any: Value,
    when: Option<Time>,
    since: Time,
    size: Option<BigInt>,
    binary: BinaryBytes,
}

fn record() -> Record {
    Record {
        name: "n".to_owned(),
        any: Value::from(5_i32),
        when: Some(Time::default()),
        since: Time::from(SystemTime::UNIX_EPOCH).with_offset(Some(3600)),
        size: Some(BigInt::from(-1_i128 << 100)),
        binary: BinaryBytes(vec![9]),
    }
}

/// Every one of them, by Go's names.
fn values() -> Vec<(Value, Option<&'static str>)> {
    let of = |value: Value, name| (value, Some(name));
    vec![
        (Value::Nil, None),
        of(true.into(), "bool"),
        of(1_i8.into(), "int8"),
        of(2_i16.into(), "int16"),
        of((-3_i32).into(), "int32"),
        of(4_i64.into(), "int64"),
        of(0_isize.into(), "int"),
        of(1_u8.into(), "uint8"),
        of(2_u16.into(), "uint16"),
        of(3_u32.into(), "uint32"),
        of(u64::MAX.into(), "uint64"),
        of(5_usize.into(), "uint"),
        of(0.5_f32.into(), "float32"),
        of((-0.1_f64).into(), "float64"),
        of(Complex { re: 1.0, im: 2.0 }.into(), "complex128"),
        of(
            Value::of(&Complex {
                re: 1.0_f32,
                im: 2.0,
            })
            .expect("a value"),
            "complex64",
        ),
        of("text".into(), "string"),
        of(ByteString(vec![0xff]).into(), "string"),
        of(vec![1_u8, 2].into(), "[]uint8"),
        of(Value::of(&vec![1_i32]).expect("a value"), "[]int32"),
        of(Value::of(&vec![1_isize]).expect("a value"), "[]int"),
        of(
            Value::of(&vec![Value::Nil, 7_u8.into()]).expect("a value"),
            "[]interface {}",
        ),
        of(Value::of(&[[1_i64; 2]; 2]).expect("a value"), "[2][2]int64"),
        of(
            Value::of(&BTreeMap::from([("a".to_owned(), Value::from("b"))])).expect("a value"),
            "map[string]interface {}",
        ),
        of(
            Value::named("x.Record", &record()).expect("a value"),
            "x.Record",
        ),
        of(Value::named("Size", &7_i64).expect("a value"), "Size"),
        of(
            Value::named("x.Time", &Time::from_unix(1, 2)).expect("a value"),
            "x.Time",
        ),
    ]
}

#[test]
fn they_cross_by_name() {
    let mut encoder = Encoder::new();
    let all: Vec<Value> = values().into_iter().map(|(value, _)| value).collect();
    for (value, name) in values() {
        assert_eq!(value.name().as_deref(), name);
        let bytes = encode(&value);
        assert_eq!(decode::<Value>(&bytes).expect("read"), value);
        assert_eq!(dynamic(&bytes).expect("read"), value);
        assert_eq!(value.to::<Value>().expect("the same"), value);
        encoder.encode(&value, &mut Vec::new()).expect("sent");
    }
    assert_eq!(decode::<Vec<Value>>(&encode(&all)).expect("read"), all);
    assert_eq!(
        Value::of(&all).expect("a value").as_list().expect("a list"),
        all
    );
}

#[test]
fn they_become_what_they_are() {
    let [value] = [Value::named("x.Record", &record()).expect("a value")];
    assert_eq!(value.to::<Record>().expect("of that shape"), record());
    assert_eq!(value.kind(), Kind::Struct);
    assert_eq!(value.get("Name").and_then(Value::as_str), Some("n"));
    assert_eq!(value.get("Any").and_then(Value::as_i64), Some(5));
    assert_eq!(value.get("Nope"), None);
    let shape = value.as_struct().expect("a struct").shape();
    let names: Vec<&str> = shape.fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["Name", "Any", "When", "Since", "Size", "Binary"]);
    let error = value.to::<String>().expect_err("it fails");
    assert!(
        matches!(error.kind(), ErrorKind::Mismatch { .. }),
        "{error}"
    );

    let map = Value::of(&BTreeMap::from([("k".to_owned(), b"v".to_vec())])).expect("a value");
    assert_eq!(map.get("k").and_then(Value::as_bytes), Some(&b"v"[..]));
    assert_eq!(Value::from(9_u8).to::<u64>().expect("it fits"), 9);
    assert_eq!(Value::from(Some("a")).as_str(), Some("a"));
    assert!(Value::from(None::<bool>).is_nil());
}

/// Whatever comes can be sent on as it came.
#[test]
fn they_are_sent_on_as_they_came() {
    let bytes = encode(&record());
    let value = dynamic(&bytes).expect("read");
    let mut out = Vec::new();
    Encoder::new()
        .encode_concrete(&value, &mut out)
        .expect("sent");
    assert_eq!(decode::<Record>(&out).expect("read"), record());
    assert_eq!(dynamic(&out).expect("read"), value);
    Encoder::new()
        .encode_concrete(&Value::Nil, &mut out)
        .expect_err("it is nothing");
}

/// A type is defined once in a stream, also where it comes of different values.
#[test]
fn their_types_are_defined_once() {
    let mut encoder = Encoder::new();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let mut out = Vec::new();
        let value = Value::named("x.Record", &record()).expect("a value");
        encoder.encode(&value, &mut out).expect("sent");
        sizes.push(out.len());
    }
    assert!(sizes[0] > sizes[1], "{sizes:?}");
    assert_eq!(sizes[1], sizes[2]);
}

#[test]
fn names_stand_for_types() {
    #[derive(Gob, Debug, PartialEq)]
    struct Circle {
        radius: f64,
    }
    let mut registry = Registry::new();
    registry
        .register::<Circle>("shapes.Circle")
        .expect("it is new");
    registry
        .register::<Circle>("shapes.Round")
        .expect_err("the type is there");
    registry
        .register::<Record>("shapes.Circle")
        .expect_err("the name is there");
    registry.register::<Record>("").expect_err("that is nil's");
    assert_eq!(registry.name_of::<Circle>(), Some("shapes.Circle"));
    assert_eq!(registry.name_of::<Vec<u8>>(), Some("[]uint8"));
    assert!(registry.contains("int") && !registry.contains("shapes.Square"));
    let value = registry
        .value(&Circle { radius: 1.5 })
        .expect("it is registered");
    let value = decode::<Value>(&encode(&value)).expect("read");
    let any = registry.to_any(&value).expect("it is registered");
    assert_eq!(any.downcast_ref::<Circle>(), Some(&Circle { radius: 1.5 }));
    let any = registry
        .to_any(&Value::from(5_isize))
        .expect("Go has registered it");
    assert_eq!(any.downcast_ref::<isize>(), Some(&5));
    assert!(registry.to_any(&Value::Nil).expect("nothing").is::<()>());
    let other = Value::named("shapes.Square", &Circle { radius: 1.0 }).expect("a value");
    let error = registry.to_any(&other).expect_err("it fails");
    assert!(
        matches!(error.kind(), ErrorKind::Unregistered { .. }),
        "{error}"
    );
    registry
        .value(&Record::default())
        .expect_err("it is not registered");
}
