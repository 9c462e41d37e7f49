//! Properties: what is sent arrives, however it is cut; bytes of any kind do no harm; and another
//! implementation of gob, `gobwire`, reads and writes the same.

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;

use outboard_gob::{Complex, Decode, Decoder, Encode, Encoder, Error, Gob, Time, Value};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use support::{decode, encode};

/// What both implementations have words for.
#[derive(Gob, gobwire::Gob, Clone, Debug, Default, PartialEq)]
struct Common {
    small: i8,
    signed: i64,
    byte: u8,
    unsigned: u64,
    single: f32,
    double: f64,
    flag: bool,
    text: String,
    bytes: Vec<u8>,
    numbers: Vec<i32>,
    words: Vec<String>,
    array: [u8; 4],
    inner: Inner,
    pointer: Option<Box<Inner>>,
    map: BTreeMap<String, Vec<Inner>>,
}

#[derive(Gob, gobwire::Gob, Clone, Debug, Default, PartialEq)]
struct Inner {
    name: String,
    size: i64,
    parts: Vec<Self>,
}

/// What this one has beside those.
#[derive(Gob, Clone, Debug, Default, PartialEq)]
struct More {
    common: Common,
    any: Value,
    list: Vec<Value>,
    map: BTreeMap<String, Value>,
    complex: Option<Complex<f64>>,
    time: Option<Time>,
    rows: Vec<Vec<Option<Inner>>>,
}

fn float() -> impl Strategy<Value = f64> {
    // Those that are not equal to themselves tell nothing.
    any::<f64>().prop_filter("a number", |float| !float.is_nan())
}

fn inner() -> impl Strategy<Value = Inner> {
    let leaf = (".{0,5}", any::<i64>());
    let leaf = leaf.prop_map(|(name, size)| Inner {
        name,
        size,
        parts: Vec::new(),
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        (".{0,5}", any::<i64>(), vec(inner, 0..3)).prop_map(|(name, size, parts)| Inner {
            name,
            size,
            parts,
        })
    })
}

fn common() -> impl Strategy<Value = Common> {
    let scalars = (
        any::<i8>(),
        any::<i64>(),
        any::<u8>(),
        any::<u64>(),
        any::<f32>().prop_filter("a number", |float| !float.is_nan()),
        float(),
        any::<bool>(),
        ".{0,200}",
    );
    let lists = (
        vec(any::<u8>(), 0..300),
        vec(any::<i32>(), 0..6),
        vec(".{0,9}", 0..4),
        any::<[u8; 4]>(),
    );
    let structs = (
        inner(),
        option::of(inner().prop_map(Box::new)),
        btree_map(".{0,5}", vec(inner(), 0..3), 0..4),
    );
    (scalars, lists, structs).prop_map(|(scalars, lists, structs)| {
        let (small, signed, byte, unsigned, single, double, flag, text) = scalars;
        let (bytes, numbers, words, array) = lists;
        let (inner, pointer, map) = structs;
        Common {
            small,
            signed,
            byte,
            unsigned,
            single,
            double,
            flag,
            text,
            bytes,
            numbers,
            words,
            array,
            inner,
            pointer,
            map,
        }
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<isize>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        float().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        vec(any::<u8>(), 0..20).prop_map(Value::from),
        vec(any::<i16>(), 0..5).prop_map(|list| Value::of(&list).expect("a value")),
        ("[a-z.]{1,9}", inner()).prop_map(|(name, it)| Value::named(&name, &it).expect("a value")),
    ];
    leaf.prop_recursive(3, 20, 4, |value| {
        prop_oneof![
            vec(value.clone(), 0..4).prop_map(|list| Value::of(&list).expect("a value")),
            btree_map(".{0,5}", value, 0..4).prop_map(|map| Value::of(&map).expect("a value")),
        ]
    })
}

fn more() -> impl Strategy<Value = More> {
    let time = (
        any::<i64>(),
        0..1_000_000_000_u32,
        option::of(-80_000..80_000_i32),
    );
    let time = time.prop_map(|(seconds, nanos, offset)| {
        // A minute west of UTC stands for UTC itself.
        let offset = offset.filter(|offset| offset / 60 != -1);
        Time::from_unix(seconds, nanos).with_offset(offset)
    });
    let rows = vec(vec(inner().prop_map(Some), 0..3), 0..3);
    (
        common(),
        value(),
        vec(value(), 0..4),
        btree_map(".{0,5}", value(), 0..4),
        option::of((float(), float())),
        option::of(time),
        rows,
    )
        .prop_map(|(common, any, list, map, complex, time, rows)| More {
            common,
            any,
            list,
            map,
            // A pointer to zero arrives as nil.
            complex: complex
                .filter(|parts| *parts != (0.0, 0.0))
                .map(|(re, im)| Complex { re, im }),
            time,
            rows,
        })
}

/// All values of a stream that comes in pieces, and how it ends.
fn read<T: Decode>(bytes: &[u8], piece: usize) -> Vec<Result<T, Error>> {
    let mut decoder = Decoder::new();
    let mut values = Vec::new();
    for mut chunk in bytes.chunks(piece) {
        loop {
            match decoder.next(&mut chunk) {
                Ok(Some(mut received)) => values.push(received.decode()),
                Ok(None) => break,
                Err(error) => {
                    let is_fatal = error.is_fatal();
                    values.push(Err(error));
                    if is_fatal {
                        return values;
                    }
                }
            }
        }
        assert!(decoder.buffered() <= bytes.len());
    }
    values
}

fn crosses<T: Encode + Decode + Clone + PartialEq + Debug>(
    value: &T,
    piece: usize,
) -> Result<(), TestCaseError> {
    let mut encoder = Encoder::new();
    let mut bytes = Vec::new();
    encoder.encode(value, &mut bytes).expect("sent");
    let first = bytes.len();
    encoder.encode(value, &mut bytes).expect("sent");
    prop_assert!(bytes.len() - first <= first);
    for piece in [piece, bytes.len()] {
        let values: Vec<T> = read(&bytes, piece)
            .into_iter()
            .map(|it| it.expect("read"))
            .collect();
        prop_assert_eq!(values, [value.clone(), value.clone()]);
    }
    let dynamic = support::dynamic(&bytes).expect("read");
    prop_assert_eq!(&dynamic.to::<T>().expect("of that shape"), value);
    Ok(())
}

/// The other implementation's, out of whole messages.
fn theirs<T: gobwire::Decode + Default>(bytes: &[u8]) -> Vec<T> {
    let mut decoder = gobwire::StreamDecoder::new(bytes);
    std::iter::from_fn(|| decoder.decode::<T>().expect("it reads that")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_sent_arrives(value in more(), piece in 1..50_usize) {
        crosses(&value, piece)?;
    }

    #[test]
    fn any_value_arrives(value in value(), piece in 1..50_usize) {
        crosses(&value, piece)?;
    }

    #[test]
    fn another_implementation_reads_it(value in common()) {
        let mut encoder = Encoder::new();
        let mut bytes = Vec::new();
        encoder.encode(&value, &mut bytes).expect("sent");
        encoder.encode(&value.inner, &mut bytes).expect("sent");
        encoder.encode(&value, &mut bytes).expect("sent");
        let first = encode(&value);
        prop_assert_eq!(theirs::<Common>(&first), [value.clone()]);
        let mut decoder = gobwire::StreamDecoder::new(&bytes[..]);
        prop_assert_eq!(decoder.decode::<Common>().expect("read"), Some(value.clone()));
        prop_assert_eq!(decoder.decode::<Inner>().expect("read"), Some(value.inner.clone()));
        prop_assert_eq!(decoder.decode::<Common>().expect("read"), Some(value));
    }

    #[test]
    fn what_another_implementation_writes_is_read(value in common()) {
        let bytes = gobwire::Encoder::new().encode(&value).expect("it writes that");
        prop_assert_eq!(decode::<Common>(&bytes).expect("read"), value);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300), piece in 1..50_usize) {
        harmless(&bytes, piece)?;
    }

    #[test]
    fn bytes_that_are_nearly_right_do_no_harm(
        value in more(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..5),
        piece in 1..50_usize,
    ) {
        let mut bytes = encode(&value);
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at + 1),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(byte);
            }
        }
        harmless(&bytes, piece)?;
    }
}

/// They are the same whole and in pieces, and what is read of them can be sent and is the same again.
fn harmless(bytes: &[u8], piece: usize) -> Result<(), TestCaseError> {
    let whole = read::<More>(bytes, bytes.len().max(1));
    // Those that are not equal to themselves are the same in words.
    prop_assert_eq!(
        format!("{:?}", read::<More>(bytes, piece)),
        format!("{whole:?}")
    );
    let mut decoder = Decoder::new();
    let mut input = bytes;
    loop {
        match decoder.next(&mut input) {
            Ok(Some(received)) => {
                if let Ok(value) = received.to_value()
                    && !value.is_nil()
                {
                    let mut out = Vec::new();
                    if Encoder::new().encode_concrete(&value, &mut out).is_ok() {
                        let again = support::dynamic(&out).expect("it was sent");
                        prop_assert_eq!(format!("{again:?}"), format!("{value:?}"));
                    }
                }
            }
            Ok(None) => return Ok(()),
            Err(error) if error.is_fatal() => return Ok(()),
            Err(_) => {}
        }
    }
}
